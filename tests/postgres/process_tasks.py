"""What a job process runs in tests: it finds this module by its name."""

from __future__ import annotations

import sys

from sqlite_job import WorkerSettings


def has_driver():
    """Tell whether this process has loaded what it takes to speak to the server."""
    return "psycopg" in sys.modules


class InProcesses(WorkerSettings):
    functions = [has_driver]
    serializer = "json"
    executor = "process"
    max_jobs = 1
