"""celery with Redis: prefork, prefetching as its guide to optimizing says for short tasks; threads where jobs wait.

Acknowledged late, so that a killed worker's tasks are not given up: what the others do without being asked.
"""

from __future__ import annotations

import sys
from typing import Any, List

from celery import Celery

from benchmarks.compare import place, stores
from benchmarks.compare.jobs import PLAIN, Arguments

_place = place.here()

app = Celery("compared", broker=_place.store, backend=_place.store)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
_task = app.task(name=_place.kind)(PLAIN[_place.kind])

enqueue_bulk = None


def prepare() -> None:
    stores.count_keys(_place.store, "*")


def enqueue(arguments: List[Arguments]) -> List[str]:
    return [_task.delay(*each).id for each in arguments]


def commands(processes: int) -> List[List[str]]:
    if _place.concurrency:
        pool = ["-P", "threads", "-c", str(_place.concurrency), "--prefetch-multiplier", "4"]
    else:
        pool = ["-P", "prefork", "-c", str(processes)]
    return [[sys.executable, "-m", "celery", "-A", f"{__name__}:app", "worker", "-l", "WARNING", *pool]]


def waiting() -> int:
    client = stores.redis_client(_place.store)
    return client.llen("celery") + client.hlen("unacked")


def finished() -> int:
    return stores.count_keys(_place.store, "celery-task-meta-*")


def results(ids: List[str]) -> List[Any]:
    # Not by AsyncResult: when many are thrown away, one may unsubscribe in the middle of another, and wait for ever.
    return [app.backend.get_task_meta(each)["result"] for each in ids]
