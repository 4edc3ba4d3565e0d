"""rq with SimpleWorker, which its notes on performance name for jobs of milliseconds; one job at a time a process."""

from __future__ import annotations

import sys
from typing import Any, List

from redis import Redis
from rq import Queue
from rq.job import Job

from benchmarks.compare import place
from benchmarks.compare.jobs import PLAIN, Arguments

_place = place.here()
_connection = Redis.from_url(_place.store)
_queue = Queue("default", connection=_connection)
_function = PLAIN[_place.kind]


def prepare() -> None:
    _connection.ping()


def enqueue(arguments: List[Arguments]) -> List[str]:
    return [_queue.enqueue(_function, *each).id for each in arguments]


def enqueue_bulk(arguments: List[Arguments]) -> List[str]:
    return [job.id for job in _queue.enqueue_many([Queue.prepare_data(_function, each) for each in arguments])]


def commands(processes: int) -> List[List[str]]:
    workers = processes * (_place.concurrency or 1)
    rq = [sys.executable, "-m", "rq.cli"]
    options = ["-u", _place.store, "-w", "rq.worker.SimpleWorker", "-q", "default"]
    if workers == 1:
        return [[*rq, "worker", *options]]
    return [[*rq, "worker-pool", "-n", str(workers), *options]]


def waiting() -> int:
    return _queue.count + _queue.started_job_registry.get_job_count(cleanup=False)


def finished() -> int:
    return _queue.finished_job_registry.get_job_count(cleanup=False)


def results(ids: List[str]) -> List[Any]:
    return [job and job.return_value() for job in Job.fetch_many(ids, connection=_connection)]
