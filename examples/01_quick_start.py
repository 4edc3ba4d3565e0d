"""Define functions, enqueue calls by name, run a worker until nothing is left, read the results."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlite_job import SQLiteJob, Worker, WorkerSettings


def add_numbers(a, b):
    return a + b


def process_data(items, multiplier=2):
    return [item * multiplier for item in items]


class MyWorkerSettings(WorkerSettings):
    functions = [add_numbers, process_data]


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = MyWorkerSettings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings)

        job1 = jobs.enqueue("add_numbers", 10, 20)
        job2 = jobs.enqueue("process_data", [1, 2, 3, 4], multiplier=3)
        print(f"Enqueued: {job1.status()} and {job2.status()}")

        # Usually this is a program of its own, and runs for ever: worker.run().
        ran = Worker("default", settings).run(burst=True)

        print(f"The worker ran {ran} jobs")
        print(f"add_numbers gave {jobs.get_job_result(job1)}")
        print(f"process_data gave {jobs.get_job_result(job2)}")


if __name__ == "__main__":
    main()
