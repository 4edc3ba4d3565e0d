"""How long a job waits for an idle worker: from just before `enqueue` in one process to the function in another.

Both read the same clock of the machine: the producer before the call, the function in its first line, as its result.
The jobs are spaced so that the worker has settled one, and sleeps, before the next comes.

Two commits lie in that time, the producer's and the one that claims the job; at FULL the first waits for the disk. So
there is a yardstick, which tells a slow disk from a slow program: one insert and commit by hand, timed in each of the
pauses, in a file of its own.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Dict, Iterator, List

from benchmarks import child, raw
from benchmarks.check import expect
from benchmarks.figures import Figure, at_most
from benchmarks.jobs import settings, stamp
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker

# Two of them between jobs. Jittered, so that no timer's period, ours or the kernel's, is met again and again.
_PAUSE_SECONDS = (0.005, 0.015)

# Untimed: the worker may still be starting, and both sides import and compile at their first job.
_WARM_UP = 5

_LONGEST_SECONDS = 30.0


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for durability in ("full", "normal"):
        samples = [_sample(durability, sizes.latencies, folder / f"{durability}-{n}") for n in range(sizes.repeat)]
        goals = {"p50": at_most(1.5), "p99": at_most(5)} if durability == "full" else {}
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            ours, commits = ([percentile(one[side], share) for one in samples] for side in ("ours", "raw"))
            what = f"{name}, {durability.upper()}"
            details = {"every": samples} if name == "max" else {}
            yield Figure("latency", what, "ms", sizes.latencies, ours, commits, goals.get(name), "raw commit", details)


def percentile(values: List[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def serve(path: str, durability: str) -> int:
    return Worker("default", settings(path, durability, "stamp")).run()


def produce(path: str, raw_path: str, durability: str, jobs: int) -> Dict[str, List[float]]:
    """Return the latency of each job, and of as many commits by hand, in milliseconds."""
    queue = SQLiteJob(database=path, durability=durability)
    for _ in range(_WARM_UP):
        queue.enqueue(stamp).result(_LONGEST_SECONDS)
    raw.make_database(raw_path)
    connection = raw.connect(raw_path, durability)
    enqueued, commits = [], []
    for number in range(jobs):
        _pause()
        began = time.time_ns()
        raw.enqueue_each(connection, [number])
        commits.append(_milliseconds(began, time.time_ns()))
        _pause()
        began = time.time_ns()
        enqueued.append((began, queue.enqueue(stamp)))
    latencies = [_milliseconds(began, job.result(_LONGEST_SECONDS)) for began, job in enqueued]
    expect(min(latencies) > 0, "a job started before it was enqueued")
    queue.close()
    connection.close()
    return {"ours": latencies, "raw": commits}


def _milliseconds(began: int, ended: int) -> float:
    return round((ended - began) / 1e6, 3)


def _pause() -> None:
    time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - jitter


def _sample(durability: str, jobs: int, folder: Path) -> Dict[str, List[float]]:
    # In folders of their own: the worker watches the one that its file is in.
    (folder / "raw").mkdir(parents=True)
    place = {"path": str(folder / "ours.db"), "durability": durability}
    with child.start(serve, **place) as worker:
        found: Dict[str, List[float]] = child.call(produce, raw_path=str(folder / "raw" / "raw.db"), jobs=jobs, **place)
        worker.terminate()
        ran = worker.answer()
    expect(ran == jobs + _WARM_UP, f"the worker ran {ran} jobs of {jobs + _WARM_UP}")
    return found
