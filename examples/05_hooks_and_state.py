"""Prepare what jobs share when the worker starts, do something around each job, and ask who is running."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from sqlite_job import SQLiteJob, Worker, WorkerSettings, current_job


def add_order(article, amount):
    job = current_job()
    job.state.orders.execute("INSERT INTO orders VALUES (?, ?)", (article, amount))
    return f"{job.function} by {job.meta['user']}, tagged {' and '.join(job.tags)}"


class Settings(WorkerSettings):
    functions = [add_order]
    max_jobs = 1  # one connection, so one job at a time

    # A hook is a function or, as here, a method; it may be async.
    def on_startup(self, state):
        print("on_startup: open the orders")
        state.orders = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        state.orders.execute("CREATE TABLE orders (article, amount)")

    def on_job_start(self, job):
        print(f"on_job_start: {job.function}, try {job.tries} of {job.max_tries}")

    def on_job_end(self, job):
        print(f"on_job_end: {job.function}")

    def on_shutdown(self, state):
        count = state.orders.execute("SELECT count(*) FROM orders").fetchone()[0]
        print(f"on_shutdown: {count} orders; close them")
        state.orders.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings).with_options(tags=["shop", "test"], meta={"user": "ada"})

        lamp = jobs.enqueue(add_order, "lamp", 2)
        jobs.enqueue(add_order, "chair", 4)
        Worker("default", settings).run(burst=True)

        print(f"The first result: {lamp.result()}")
        print(f"Found by its tag: {len(jobs.list_jobs(tag='shop'))} jobs")


if __name__ == "__main__":
    main()
