"""taskiq with Redis streams, the broker of its package that acknowledges, and its result backend."""

from __future__ import annotations

import sys
from typing import Any, List

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.compare import loop, place, stores
from benchmarks.compare.jobs import COROUTINES, Arguments

_place = place.here()
_backend: Any = RedisAsyncResultBackend(redis_url=_place.store, prefix_str="result")
broker = RedisStreamBroker(url=_place.store).with_result_backend(_backend)
_task = broker.task(task_name=_place.kind)(COROUTINES[_place.kind])

enqueue_bulk = None


def prepare() -> None:
    # It makes the group of consumers, which sees only what comes later.
    loop.run(broker.startup())


def enqueue(arguments: List[Arguments]) -> List[str]:
    return loop.run(_enqueue(arguments))


async def _enqueue(arguments: List[Arguments]) -> List[str]:
    return [(await _task.kiq(*each)).task_id for each in arguments]


def commands(processes: int) -> List[List[str]]:
    options = ["-w", str(processes), "--max-async-tasks", str(_place.concurrency or 100), "--log-level", "WARNING"]
    return [[sys.executable, "-m", "taskiq", "worker", f"{__name__}:broker", *options]]


def waiting() -> int:
    (group,) = stores.redis_client(_place.store).xinfo_groups("taskiq")
    return group["lag"] + group["pending"]


def finished() -> int:
    return stores.count_keys(_place.store, "result:*")


def results(ids: List[str]) -> List[Any]:
    return loop.run(_results(ids))


async def _results(ids: List[str]) -> List[Any]:
    return [(await _backend.get_result(each)).return_value for each in ids]
