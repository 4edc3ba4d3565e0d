"""Do something with every job: carry the request's id to the job, measure each call, hear of what failed."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from sqlite_job import Middleware, SQLiteJob, Worker, WorkerSettings

request_id = ContextVar("request_id", default="none")
measured = []


class CarryRequestId(Middleware):
    """What was set where the job was enqueued is set again where it runs."""

    def enqueue(self, job):
        job.meta["request_id"] = request_id.get()

    def run(self, job, proceed):
        request_id.set(job.meta["request_id"])  # it ends with the call
        return proceed()

    async def run_async(self, job, proceed):
        request_id.set(job.meta["request_id"])
        return await proceed()


# The short form, for what needs no look at the result: it wraps plain and coroutine functions alike.
@contextmanager
def measure(job):
    started = time.perf_counter()
    try:
        yield
    finally:
        measured.append((job.function, time.perf_counter() - started))


def resize(picture):
    return f"{picture} for request {request_id.get()}"


async def publish(picture):
    raise ConnectionError(f"{picture}: no answer to request {request_id.get()}")


class Settings(WorkerSettings):
    functions = [resize, publish]
    middleware = [CarryRequestId(), measure]  # the first one is the outermost

    def on_failure(self, job, failure):
        print(f"on_failure: {job.function}: {failure.summary}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings)

        request_id.set("r-17")
        resized = jobs.enqueue(resize, "cat.png")
        jobs.enqueue(publish, "cat.png")
        request_id.set("r-18")
        Worker("default", settings).run(burst=True)

        print(f"The result: {resized.result()}")
        print(f"Measured: {', '.join(sorted(name for name, _ in measured))}")


if __name__ == "__main__":
    main()
