"""procrastinate: coroutines, up to thirty at once in a worker as its guide shows; it stores no results."""

from __future__ import annotations

import sys
from typing import Any, Dict, List

import procrastinate

from benchmarks.compare import loop, place, stores
from benchmarks.compare.jobs import COROUTINES, Arguments

_place = place.here()
_names = {"noop": ("number",), "nap": ("number", "milliseconds"), "weigh": ("number", "payload")}[_place.kind]

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=stores.plain_url(_place.store)))
_task = app.task(name=_place.kind)(COROUTINES[_place.kind])


def prepare() -> None:
    loop.run(app.open_async())
    loop.run(app.schema_manager.apply_schema_async())


def enqueue(arguments: List[Arguments]) -> List[str]:
    return loop.run(_enqueue(arguments))


async def _enqueue(arguments: List[Arguments]) -> List[str]:
    return [str(await _task.defer_async(**_named(each))) for each in arguments]


def enqueue_bulk(arguments: List[Arguments]) -> List[str]:
    return [str(each) for each in loop.run(_task.batch_defer_async(*map(_named, arguments)))]


def commands(processes: int) -> List[List[str]]:
    options = ["worker", "--concurrency", str(_place.concurrency or 30)]
    return [[sys.executable, "-m", "procrastinate", f"--app={__name__}.app", *options] for _ in range(processes)]


def waiting() -> int:
    return _count("'todo', 'doing'")


def finished() -> int:
    return _count("'succeeded'")


def results(_ids: List[str]) -> None:
    return None


def _named(arguments: Arguments) -> Dict[str, Any]:
    return dict(zip(_names, arguments))


def _count(statuses: str) -> int:
    return stores.count_rows(_place.store, f"procrastinate_jobs WHERE status IN ({statuses})")
