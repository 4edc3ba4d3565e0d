"""How long a job waits for an idle worker: from just before `enqueue` in one process to the function in another.

Both read the same clock of the machine: the producer before the call, the function in its first line, as its result.
The jobs are spaced so that the worker has settled one, and sleeps, before the next comes.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Iterator, List

from benchmarks import child
from benchmarks.check import expect
from benchmarks.figures import Figure, Goal
from benchmarks.jobs import settings, stamp
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker

# Jittered, so that no timer's period, ours or the kernel's, is met again and again.
_SPACE_SECONDS = (0.010, 0.030)

# Untimed: the worker may still be starting, and both sides import and compile at their first job.
_WARM_UP = 5

_LONGEST_SECONDS = 30.0


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for durability in ("full", "normal"):
        samples = [_sample(durability, sizes.latencies, folder / f"{durability}-{n}.db") for n in range(sizes.repeat)]
        goals = {"p50": Goal(1.5, is_least=False), "p99": Goal(5.0, is_least=False)} if durability == "full" else {}
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            found = [percentile(one, share) for one in samples]
            yield Figure("latency", f"{name}, {durability.upper()}", "ms", found, [], goals.get(name))


def percentile(values: List[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def serve(path: str, durability: str) -> int:
    return Worker("default", settings(path, durability, "stamp")).run()


def produce(path: str, durability: str, jobs: int) -> List[float]:
    """Return the latency of each job in milliseconds."""
    queue = SQLiteJob(database=path, durability=durability)
    for _ in range(_WARM_UP):
        queue.enqueue(stamp).result(_LONGEST_SECONDS)
    enqueued = []
    for _ in range(jobs):
        time.sleep(random.uniform(*_SPACE_SECONDS))  # noqa: S311 - jitter
        began = time.time_ns()
        enqueued.append((began, queue.enqueue(stamp)))
    latencies = [(job.result(_LONGEST_SECONDS) - began) / 1e6 for began, job in enqueued]
    expect(min(latencies) > 0, "a job started before it was enqueued")
    queue.close()
    return latencies


def _sample(durability: str, jobs: int, path: Path) -> List[float]:
    place = {"path": str(path), "durability": durability}
    with child.start(serve, **place) as worker:
        latencies: List[float] = child.call(produce, jobs=jobs, **place)
        worker.terminate()
        ran = worker.answer()
    expect(ran == jobs + _WARM_UP, f"the worker ran {ran} jobs of {jobs + _WARM_UP}")
    return latencies
