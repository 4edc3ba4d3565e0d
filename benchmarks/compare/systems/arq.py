"""arq: coroutines; a worker looks for jobs twice a second (`poll_delay`), so only many at once make it fast."""

from __future__ import annotations

import sys
from typing import Any, List

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.constants import default_queue_name, result_key_prefix
from arq.jobs import Job

from benchmarks.compare import loop, place, stores
from benchmarks.compare.jobs import COROUTINES, Arguments

_place = place.here()
_settings = RedisSettings.from_dsn(_place.store)
_pool: List[Any] = []

enqueue_bulk = None


async def _run(_context: Any, *arguments: Any) -> Any:
    return await COROUTINES[_place.kind](*arguments)


class WorkerSettings:
    functions = [func(_run, name=_place.kind)]
    redis_settings = _settings
    max_jobs = _place.concurrency or 1_000


def prepare() -> None:
    _pool.append(loop.run(create_pool(_settings)))


def enqueue(arguments: List[Arguments]) -> List[str]:
    return loop.run(_enqueue(arguments))


async def _enqueue(arguments: List[Arguments]) -> List[str]:
    return [(await _pool[0].enqueue_job(_place.kind, *each)).job_id for each in arguments]


def commands(processes: int) -> List[List[str]]:
    return [[sys.executable, "-m", "arq", f"{__name__}.WorkerSettings"] for _ in range(processes)]


def waiting() -> int:
    return loop.run(_pool[0].zcard(default_queue_name))


def finished() -> int:
    return stores.count_keys(_place.store, f"{result_key_prefix}*")


def results(ids: List[str]) -> List[Any]:
    return loop.run(_results(ids))


async def _results(ids: List[str]) -> List[Any]:
    infos = [await Job(each, _pool[0]).result_info() for each in ids]
    return [info and info.result for info in infos]
