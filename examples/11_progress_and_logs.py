"""Let a job say how far it has come, keep what it logs, and watch both from outside."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path

from sqlite_job import Inspector, SQLiteJob, Worker, WorkerSettings, current_job

logger = logging.getLogger("import")

# So that this example prints the same each time: the job goes on when its progress was seen.
seen = threading.Event()


def import_rows(rows):
    job = current_job()
    for number, row in enumerate(rows, 1):
        if not row:
            logger.warning("row %d is empty", number)
        job.progress(number, len(rows), "importing")  # call it as often as you like
        if number == 2:
            seen.wait(10)
    logger.warning("all is imported")
    return len(rows)


class Settings(WorkerSettings):
    functions = [import_rows]
    capture_logs = True


def show(progress):
    if progress.done == 2 and not seen.is_set():
        print(f"While it runs: {progress.done:g} of {progress.total:g} ({progress.fraction:.0%}), {progress.message}")
        seen.set()


def main():
    logging.getLogger().addHandler(logging.NullHandler())  # nothing on the terminal but what is printed here
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings).with_options(meta={"customer": 42})
        job = jobs.enqueue(import_rows, ["a", "", "c", "d"])

        with Worker("default", settings).running_in_background():
            Inspector(settings.location).wait(job, timeout=60, on_progress=show)

        print(f"In the end: {job.progress().fraction:.0%}")
        for record in job.logs():
            print(f"It logged: {record.level_name} {record.message}")
        print(f"Found by its customer: {[found.id for found in jobs.list_jobs(meta={'customer': 42})] == [job]}")


if __name__ == "__main__":
    main()
