"""saq with Redis: coroutines, its default ten at once."""

from __future__ import annotations

import sys
from typing import Any, List

from saq import Queue

from benchmarks.compare import loop, place
from benchmarks.compare.jobs import COROUTINES, Arguments

_place = place.here()
_queue = Queue.from_url(_place.store)
_enqueued: List[str] = []

enqueue_bulk = None


async def _run(_context: Any, *, arguments: List[Any]) -> Any:
    return await COROUTINES[_place.kind](*arguments)


settings = {"queue": _queue, "functions": [(_place.kind, _run)], "concurrency": _place.concurrency or 10}


def prepare() -> None:
    loop.run(_queue.connect())
    if _place.kind != "nap":
        # At its start a worker sweeps: what it has just fetched, but not yet marked as active, it takes for stuck. In a
        # full queue two jobs were aborted. Here somebody has swept already; what a kill leaves, a worker sweeps itself.
        loop.run(_queue.sweep())


def enqueue(arguments: List[Arguments]) -> List[str]:
    return loop.run(_enqueue(arguments))


async def _enqueue(arguments: List[Arguments]) -> List[str]:
    keys = [(await _queue.enqueue(_place.kind, arguments=list(each))).key for each in arguments]
    _enqueued.extend(keys)
    return keys


def commands(processes: int) -> List[List[str]]:
    return [[sys.executable, "-m", "saq", "--quiet", f"{__name__}.settings"] for _ in range(processes)]


def waiting() -> int:
    return loop.run(_queue.count("incomplete"))


def finished() -> int:
    return len(_enqueued) - waiting()


def results(ids: List[str]) -> List[Any]:
    return [job and job.result for job in loop.run(_queue.jobs(ids))]
