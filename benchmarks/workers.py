"""What a second worker process on the same file is worth: for jobs that do nothing, and for jobs that need a CPU.

Timed from the first start of a worker to the last commit of any. Both are started at once and not at the same instant:
what they start apart counts against two.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

from benchmarks import child
from benchmarks.check import check_drained, expect
from benchmarks.drain import Stopwatch, fill, flush
from benchmarks.figures import Figure, Goal
from benchmarks.jobs import settings
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker


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
        template = folder / "template.db"
        child.call(fill, path=str(template), function=case.function, jobs=jobs)
        ours: List[float] = []
        compared: List[float] = []
        for number in range(sizes.repeat):
            for workers in (1, 2) if number % 2 else (2, 1):
                (compared if workers == 1 else ours).append(_drain(template, case.function, jobs, workers))
        template.unlink()
        yield Figure("workers", case.what, "jobs/s", jobs, ours, compared, case.goal, "one process")


def drain(path: str, function: str) -> Tuple[Tuple[float, float], int]:
    """Run a worker until nothing is left; returns when it began and ended, and how many jobs it ran."""
    chosen = settings(path, "full", function)
    worker, stopwatch = Worker("default", chosen), Stopwatch()
    worker.subscribe(stopwatch)
    ran = worker.run(burst=True)
    SQLiteJob(settings=chosen).close()
    return stopwatch.span, ran


def _drain(template: Path, function: str, jobs: int, workers: int) -> float:
    path = template.with_name("drained.db")
    shutil.copy(str(template), str(path))
    flush(path)
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
