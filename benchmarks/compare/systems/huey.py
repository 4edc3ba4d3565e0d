"""huey with SQLite, in its default WAL mode; threads where jobs wait."""

from __future__ import annotations

import sys
from typing import Any, List

from huey import SqliteHuey

from benchmarks.compare import place
from benchmarks.compare.jobs import PLAIN, Arguments

_place = place.here()

huey = SqliteHuey(filename=_place.store, fsync=_place.variant == "full")
_task = huey.task(name=_place.kind)(PLAIN[_place.kind])

enqueue_bulk = None


def prepare() -> None:
    huey.storage.queue_size()


def enqueue(arguments: List[Arguments]) -> List[str]:
    return [_task(*each).id for each in arguments]


def commands(processes: int) -> List[List[str]]:
    consumer = [sys.executable, "-m", "huey.bin.huey_consumer", f"{__name__}.huey", "-q"]
    return [[*consumer, "-k", "thread", "-w", str(_place.concurrency or 1)] for _ in range(processes)]


def waiting() -> int:
    return huey.pending_count()


def finished() -> int:
    return huey.result_count()


def results(ids: List[str]) -> List[Any]:
    return [huey.result(each, preserve=True) for each in ids]
