"""Keep arguments and results as JSON, so that whoever can write the database still cannot run code as the worker."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlite_job import EncodeError, JobFailedError, SQLiteJob, Worker, WorkerSettings


def greet(name, greeting="Hello"):
    return {"text": f"{greeting}, {name}!"}


class Settings(WorkerSettings):
    functions = [greet]
    serializer = "json"
    accept = ["json"]  # what the worker decodes: pickle is no longer among it


def main():
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "jobs.db"
        settings = Settings(database)
        jobs = SQLiteJob("default", settings)

        with Worker("default", settings).running_in_background():
            print(f"A result: {jobs.enqueue(greet, 'Ada', greeting='Good day').result(timeout=10)}")

            try:
                jobs.enqueue(greet, {"a", "set"})
            except EncodeError as error:
                print(f"Not JSON, so nothing was enqueued: {error}")

            # A program that still pickles: its job fails, and its bytes are never decoded.
            pickling = SQLiteJob("default", database=database, serializer="pickle")
            try:
                pickling.enqueue("greet", "Eve").result(timeout=10)
            except JobFailedError as error:
                print(f"{error.error_type.rpartition('.')[2]}: {error.message}")


if __name__ == "__main__":
    main()
