"""Settings that a job process can import."""

from __future__ import annotations

from sqlite_job import WorkerSettings


def work():
    return "done"


class Settings(WorkerSettings):
    functions = [work]
    executor = "process"

    def on_job_end(self, _):
        raise ValueError("a\n12:00:00 ERROR forged\r\x1b[2J\x9b31m\u2028\u202eb")
