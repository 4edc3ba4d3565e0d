"""sqlite_job: plain functions for short jobs, coroutines for those that wait; SQLite, or PostgreSQL by its URL."""

from __future__ import annotations

import pickle
import sys
from typing import Any, List

import sqlalchemy

from benchmarks.compare import place
from benchmarks.compare.jobs import COROUTINES, PLAIN, Arguments
from sqlite_job import SQLiteJob, WorkerSettings, call

_place = place.here()
_kinds = COROUTINES if _place.kind == "nap" else PLAIN
_function = _kinds[_place.kind]

_RESULTS = "SELECT job.id, result.value FROM sqlitejob_job AS job JOIN sqlitejob_result AS result USING (seq)"


class ComparedSettings(WorkerSettings):
    functions = [_function]
    database = _place.store
    durability = "normal" if _place.variant == "normal" else "full"
    max_jobs = _place.concurrency or 10


_queue = SQLiteJob("default", ComparedSettings())


def prepare() -> None:
    _queue.counts()


def enqueue(arguments: List[Arguments]) -> List[str]:
    return [_queue.enqueue(_function, *each) for each in arguments]


def enqueue_bulk(arguments: List[Arguments]) -> List[str]:
    return list(_queue.enqueue_many([call(_function, *each) for each in arguments]))


def commands(processes: int) -> List[List[str]]:
    settings = f"{__name__}.{ComparedSettings.__name__}"
    return [[sys.executable, "-m", "sqlite_job", "worker", settings] for _ in range(processes)]


def waiting() -> int:
    counts = _queue.counts()
    return sum(counts.get(status, 0) for status in ("pending", "running", "scheduled", "blocked"))


def finished() -> int:
    return _queue.counts().get("completed", 0)


def results(ids: List[str]) -> List[Any]:
    url = _place.store if "://" in _place.store else f"sqlite:///{_place.store}"
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        stored = {str(row[0]): row[1] for row in connection.execute(sqlalchemy.text(_RESULTS))}
    engine.dispose()
    return [pickle.loads(stored[each]) if each in stored else None for each in ids]  # noqa: S301 - our own
