"""Give a small real fleet and the model the same load: `python -m benchmarks.fleet --check`."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from benchmarks import child
from benchmarks.check import expect
from benchmarks.fleet.assumptions import EACH_COMMIT, Durations, Fleet, Load
from benchmarks.fleet.playing import play
from benchmarks.fleet.processes import Cost
from benchmarks.fleet.simulation import Case
from benchmarks.jobs import settings, stamp
from sqlite_job import Inspector, JobStatus, SQLiteJob, Worker
from sqlite_job.storage.opening import locate, open_storage
from tools.postgres_server import PostgresServer

_LONGEST_SECONDS = 30.0

# Workers, and jobs a second.
LOADS = ((1, 30.0), (4, 30.0), (8, 30.0))

COUNTED = ("peeks", "turns", "turns in vain")


class Sample(NamedTuple):
    """A load; how many of each there were for a job, in the real fleet and in the model; and how many cores."""

    workers: int
    rate: float
    real: Dict[str, float]
    modelled: Dict[str, float]


def check(server: PostgresServer, loads: Sequence[Tuple[int, float]] = LOADS, seconds: float = 10.0) -> List[Sample]:
    return [_sample(server, workers, rate, seconds) for workers, rate in loads]


def _sample(server: PostgresServer, workers: int, rate: float, seconds: float) -> Sample:
    name = f"fleet_{time.time_ns()}"
    url = server.create_database(name)
    queue, inspector = SQLiteJob(database=url), Inspector(url)
    counted: Counter[str] = Counter()
    with ExitStack() as stack:
        running = [stack.enter_context(child.start(serve, url=url)) for _ in range(workers)]
        _await(lambda: len(inspector.workers()) == workers)
        queue.enqueue(stamp).result(_LONGEST_SECONDS)
        cost, began = Cost(server), time.perf_counter()
        before = cost.spent()
        jobs = _produce(queue, rate, seconds)
        _await(lambda: queue.counts()[JobStatus.COMPLETED] == jobs + 1)
        spent, took = cost.spent() - before, time.perf_counter() - began
        for worker in running:
            worker.terminate()
        for worker in running:
            counted.update(worker.answer())
    queue.close()
    server.drop_database(name)
    real = {what: counted[what] / jobs for what in COUNTED}
    return Sample(workers, jobs / took, {**real, "cores": spent / took}, model(workers, jobs / took))


def model(workers: int, rate: float) -> Dict[str, float]:
    load, fleet = Load(durations=Durations(0.0002, 0.0)), Fleet(workers, producers=1)
    played = play(Case(rate, EACH_COMMIT, load, fleet, seconds=60.0))
    return {**{what: played.rate(what) / played.rate("claimed") for what in COUNTED}, "cores": played.cores}


def serve(url: str) -> Dict[str, int]:
    """Run a worker until it is told to end; returns how often it looked, and took its turn."""
    storage = open_storage(locate(url), "full")
    counts: Counter[str] = Counter()
    exchange, peek = storage.exchange, storage.peek

    def counted_exchange(worker_id: int, outcomes: Any, *arguments: Any) -> Any:
        found = exchange(worker_id, outcomes, *arguments)
        counts["turns"] += 1
        counts["turns in vain"] += not outcomes and not found.claimed
        return found

    def counted_peek(*arguments: Any) -> Any:
        counts["peeks"] += 1
        return peek(*arguments)

    storage.exchange, storage.peek = counted_exchange, counted_peek  # type: ignore[method-assign]
    Worker("default", settings(url, "full", "stamp")).run()
    return counts


def _produce(queue: SQLiteJob, rate: float, seconds: float) -> int:
    """Enqueue at random moments; returns how many jobs it was."""
    dice, jobs, end = random.Random(1), 0, time.perf_counter() + seconds  # noqa: S311 - no secret
    while time.perf_counter() < end:
        time.sleep(dice.expovariate(rate))
        queue.enqueue(stamp)
        jobs += 1
    return jobs


def _await(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_so():
        expect(time.monotonic() < deadline, "it has not come so far")
        time.sleep(0.1)
