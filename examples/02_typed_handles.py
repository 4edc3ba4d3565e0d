"""Enqueue functions instead of names: a type checker checks the arguments, and knows the type of the result."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import List

from sqlite_job import Job, JobFailedError, ResultTimeoutError, SQLiteJob, Worker, WorkerSettings, call


def word_lengths(text: str) -> List[int]:
    return [len(word) for word in text.split()]


def divide(a: float, b: float) -> float:
    return a / b


class Settings(WorkerSettings):
    functions = [word_lengths, divide]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings)

        # A type checker rejects jobs.enqueue(word_lengths, 5), and knows that `lengths` is a Job[List[int]].
        lengths: Job[List[int]] = jobs.enqueue(word_lengths, "a job is its id")
        print(f"A Job is a str: {isinstance(lengths, str)}")

        try:
            lengths.result(timeout=0.1)
        except ResultTimeoutError:
            print(f"No worker yet, so the job is {lengths.status()}")

        with Worker("default", settings).running_in_background():
            print(f"The lengths: {lengths.result(timeout=10)}")

            try:
                jobs.enqueue(divide, 1, 0).result(timeout=10)
            except JobFailedError as error:
                print(f"divide failed with {error.error_type}: {error.message}")

            # Many calls in one transaction: all of them are stored, or none.
            halves = jobs.enqueue_many([call(divide, number, 2) for number in range(5)])
            print(f"The halves: {[half.result(timeout=10) for half in halves]}")

        # The id is all that needs to be kept, in a database or a web page; later it becomes a handle again.
        kept = str(lengths)
        print(f"Looked up again: {jobs.job(kept).info().function} is {jobs.job(kept).status()}")


if __name__ == "__main__":
    main()
