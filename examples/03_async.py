"""Run coroutine functions as jobs, many at once, and enqueue and wait from asynchronous code."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from sqlite_job import SQLiteJob, Worker, WorkerSettings


async def fetch(page):
    await asyncio.sleep(0.3)  # Instead of a real request
    return f"<h1>{page}</h1>"


class Settings(WorkerSettings):
    functions = [fetch]
    max_jobs = 20  # that many run at once, on one event loop


async def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "jobs.db")
        jobs = SQLiteJob("default", settings)

        with Worker("default", settings).running_in_background():
            started = time.perf_counter()
            handles = [await jobs.aenqueue(fetch, f"page {number}") for number in range(20)]
            pages = await asyncio.gather(*(handle.aresult(timeout=10) for handle in handles))
            seconds = time.perf_counter() - started

        print(f"The first page: {pages[0]}")
        print(f"{len(pages)} pages of 0.3 s each, at once: {'less' if seconds < len(pages) * 0.3 else 'more'} than 6 s")


if __name__ == "__main__":
    asyncio.run(main())
