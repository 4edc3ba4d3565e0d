"""pgqueuer with asyncpg: coroutines, a large batch size; it stores no results, and writes completions in batches."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, AsyncIterator, List

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.compare import loop, place, stores
from benchmarks.compare.jobs import COROUTINES, Arguments

_place = place.here()
_opened: List[Any] = []

_BATCH = 100


@contextlib.asynccontextmanager
async def main() -> AsyncIterator[PgQueuer]:
    """Yield what `pgq run` runs."""
    connection = await asyncpg.connect(stores.plain_url(_place.store))
    made = PgQueuer(AsyncpgDriver(connection))

    @made.entrypoint(_place.kind)
    async def run(job: Job) -> None:
        await COROUTINES[_place.kind](*json.loads(job.payload or b"[]"))

    yield made
    await connection.close()


def prepare() -> None:
    loop.run(_prepare())


async def _prepare() -> None:
    _opened.append(Queries(AsyncpgDriver(await asyncpg.connect(stores.plain_url(_place.store)))))
    await _opened[0].install()
    await _opened[0].optimize_autovacuum()  # as its page on tuning says


def enqueue(arguments: List[Arguments]) -> List[str]:
    return loop.run(_enqueue(arguments))


async def _enqueue(arguments: List[Arguments]) -> List[str]:
    return [str((await _opened[0].enqueue(_place.kind, json.dumps(each).encode()))[0]) for each in arguments]


def enqueue_bulk(arguments: List[Arguments]) -> List[str]:
    payloads = [json.dumps(each).encode() for each in arguments]
    count = len(payloads)
    return [str(each) for each in loop.run(_opened[0].enqueue([_place.kind] * count, payloads, [0] * count))]


def commands(processes: int) -> List[List[str]]:
    options = ["--batch-size", str(_BATCH)]
    if _place.concurrency:
        # It takes no batch that is more than half of what may run.
        options = ["--max-concurrent-tasks", str(_place.concurrency), "--batch-size", str(_place.concurrency // 2)]
    return [[sys.executable, "-m", "pgqueuer", "run", f"{__name__}:main", *options] for _ in range(processes)]


def waiting() -> int:
    return stores.count_rows(_place.store, "pgqueuer")


def finished() -> int:
    return stores.count_rows(_place.store, "pgqueuer_log WHERE status = 'successful'")


def results(_ids: List[str]) -> None:
    return None
