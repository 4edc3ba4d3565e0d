"""What a second worker process on the same file is worth: for jobs that do nothing, and for jobs that need a CPU.

And what a worker that needs the CPU costs those who enqueue in other processes: it writes to the same file.

Two have twice the jobs. Timed from the first start of a worker to the last commit of any: both are started at once, not
at the same instant, and what they start apart counts against two.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

from benchmarks import child
from benchmarks.check import check_drained, expect
from benchmarks.drain import Stopwatch, fill
from benchmarks.figures import Figure, Goal
from benchmarks.jobs import echo, settings
from benchmarks.latency import percentile
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker

# Between two enqueues: the worker goes on all the while.
_PAUSE_SECONDS = (0.002, 0.008)


class Case(NamedTuple):
    what: str
    function: str
    goal: Goal


# Two CPUs: jobs that need one cannot be done more than twice as fast.
CASES = [
    Case("two processes, no-op, FULL", "echo", Goal(1.2)),
    Case("two processes, 1 ms of CPU, FULL", "compute", Goal(1.2, stretch=1.8)),
]


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for case in CASES:
        jobs = sizes.drain if case.function == "echo" else sizes.naps
        ours: List[float] = []
        compared: List[float] = []
        for number in range(sizes.repeat):
            for workers in (1, 2) if number % 2 else (2, 1):
                (compared if workers == 1 else ours).append(_drain(folder, case.function, jobs, workers))
        yield Figure("workers", case.what, "jobs/s", jobs, ours, compared, case.goal, "one process")
    beside, alone = [], []
    for _ in range(sizes.repeat):
        alone.append(_enqueue(folder, 0, sizes.latencies))
        beside.append(_enqueue(folder, sizes.naps, sizes.latencies))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        what = f"enqueue beside a worker with 1 ms of CPU, {name}"
        figures = ([percentile(one, share) for one in side] for side in (beside, alone))
        yield Figure("workers", what, "ms", sizes.latencies, *figures, yardstick="alone")


def drain(path: str, function: str) -> Tuple[Tuple[float, float], int]:
    """Run a worker until nothing is left; returns when it began and ended, and how many jobs it ran."""
    chosen = settings(path, "full", function)
    worker, stopwatch = Worker("default", chosen), Stopwatch()
    worker.subscribe(stopwatch)
    ran = worker.run(burst=True)
    SQLiteJob(settings=chosen).close()
    return stopwatch.span, ran


def produce(path: str, beside: bool, jobs: int) -> List[float]:  # noqa: FBT001 - called by name
    """Enqueue jobs now and then; returns how long each took, in milliseconds."""
    queue = SQLiteJob("others", database=path)
    queue.enqueue(echo, 0)
    while beside and not queue.counts("default")["completed"]:
        time.sleep(0.01)
    took = []
    for number in range(1, jobs + 1):
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - jitter
        began = time.perf_counter()
        queue.enqueue(echo, number)
        took.append((time.perf_counter() - began) * 1000)
    expect(sum(queue.counts().values()) == jobs + 1, "some jobs are missing")
    queue.close()
    return took


def _enqueue(folder: Path, computing: int, jobs: int) -> List[float]:
    path = folder / "enqueued.db"
    with ExitStack() as stack:
        if computing:
            child.call(fill, path=str(path), function="compute", jobs=computing)
            stack.enter_context(child.start(drain, path=str(path), function="compute"))
        took: List[float] = child.call(produce, path=str(path), beside=computing > 0, jobs=jobs)
    for left in folder.glob("enqueued.db*"):
        left.unlink()
    return took


def _drain(folder: Path, function: str, jobs_each: int, workers: int) -> float:
    path, jobs = folder / "drained.db", jobs_each * workers
    child.call(fill, path=str(path), function=function, jobs=jobs)
    with ExitStack() as stack:
        running = [stack.enter_context(child.start(drain, path=str(path), function=function)) for _ in range(workers)]
        answers = [one.answer() for one in running]
    expect(sum(ran for _, ran in answers) == jobs, f"the workers ran {[ran for _, ran in answers]} of {jobs:,} jobs")
    check_drained(str(path), range(jobs))
    for left in path.parent.glob("drained.db*"):
        left.unlink()
    # A worker that found nothing left has settled nothing.
    spans = [span for span, ran in answers if ran]
    return jobs / (max(ended for _, ended in spans) - min(began for began, _ in spans))
