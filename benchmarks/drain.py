"""How fast one worker process empties a queue of jobs that do nothing, each with a stored result.

Timed inside the worker's process, from the event that it has started (the next thing is the first claim) to the event
that the last results are committed; the raw loop from its first claim to its last commit. Not in it: the start of the
interpreter, imports, opening the database.
"""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Optional

from benchmarks import child, raw
from benchmarks.check import check_drained, expect
from benchmarks.figures import Figure, Goal, rates
from benchmarks.jobs import FUNCTIONS, settings
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker, WorkerSettings, call
from sqlite_job.core.events import Event, JobsSettled, WorkerStarted


class Case(NamedTuple):
    """What is drained: jobs of `function`, by a worker that lists `functions`, against the yardstick."""

    what: str
    durability: str
    function: str
    functions: List[str]
    yardstick: str = "raw"
    goal: Optional[Goal] = None


CASES = [
    Case("no-op, FULL", "full", "echo", ["echo"], goal=Goal(0.4, stretch=0.6)),
    Case("no-op, NORMAL", "normal", "echo", ["echo"]),
    Case("coroutine, FULL", "full", "async_echo", ["async_echo"]),
    Case("no-op, worker of both kinds", "full", "echo", ["echo", "async_echo"]),
    Case("1 ms of sleep, 10 at once", "full", "nap", ["nap"], yardstick="bare threads"),
]


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for case in CASES:
        jobs = sizes.naps if case.function == "nap" else sizes.drain
        template = folder / "template.db"
        child.call(fill, path=str(template), function=case.function, jobs=jobs)
        yardstick = _bare_threads if case.function == "nap" else _raw
        seconds = [_pair(case, template, jobs, yardstick, is_raw_first=n % 2 == 0) for n in range(sizes.repeat)]
        ours, compared = ([pair[side] for pair in seconds] for side in (0, 1))
        ours, compared = rates(jobs, ours), rates(jobs, compared)
        yield Figure("drain", case.what, "jobs/s", jobs, ours, compared, case.goal, case.yardstick)
        template.unlink()


class Stopwatch:
    """A subscriber that runs from the worker's start to its last commit."""

    def __init__(self) -> None:
        self._began = self._ended = 0.0
        self.turns = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobsSettled):
            self._ended = time.perf_counter()
            self.turns += 1
        elif isinstance(event, WorkerStarted):
            self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._ended - self._began


def fill(path: str, function: str, jobs: int) -> None:
    queue = SQLiteJob(database=path)
    for first in range(0, jobs, 1_000):
        queue.enqueue_many([call(FUNCTIONS[function], number) for number in range(first, min(first + 1_000, jobs))])
    queue.close()


def drain_by_worker(path: str, durability: str, functions: List[str], jobs: int) -> float:
    return run_burst(settings(path, durability, *functions), jobs).seconds


def run_burst(chosen: WorkerSettings, jobs: int) -> Stopwatch:
    """Run a worker until the queue is empty."""
    worker, stopwatch = Worker("default", chosen), Stopwatch()
    worker.subscribe(stopwatch)
    ran = worker.run(burst=True)
    SQLiteJob(settings=chosen).close()  # the connections, which the worker shares with whoever enqueues in its process
    expect(ran == jobs, f"the worker ran {ran:,} of {jobs:,} jobs")
    return stopwatch


def drain_by_hand(path: str, durability: str, jobs: int) -> float:
    connection = raw.connect(path, durability)
    # The loop awaits nothing: a coroutine function is measured against the plain one that does the same.
    functions = {**FUNCTIONS, "async_echo": FUNCTIONS["echo"]}
    began = time.perf_counter()
    ran = raw.drain(connection, functions)
    seconds = time.perf_counter() - began
    connection.close()
    expect(ran == jobs, f"the raw loop ran {ran:,} of {jobs:,} jobs")
    return seconds


def _pair(case: Case, template: Path, jobs: int, yardstick: Callable[..., float], *, is_raw_first: bool) -> List[float]:
    """Return our seconds and the yardstick's, measured one right after the other."""
    if is_raw_first:
        compared = yardstick(case, template, jobs)
        return [_ours(case, template, jobs), compared]
    return [_ours(case, template, jobs), yardstick(case, template, jobs)]


def _ours(case: Case, template: Path, jobs: int) -> float:
    return _on_copy(template, jobs, drain_by_worker, durability=case.durability, functions=case.functions)


def _raw(case: Case, template: Path, jobs: int) -> float:
    return _on_copy(template, jobs, drain_by_hand, durability=case.durability)


def _bare_threads(_case: Case, _template: Path, jobs: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(WorkerSettings.max_jobs) as pool:
        expect(list(pool.map(FUNCTIONS["nap"], range(jobs))) == list(range(jobs)), "the threads returned nonsense")
    return time.perf_counter() - began


def _on_copy(template: Path, jobs: int, function: Callable[..., float], /, **arguments: Any) -> float:
    path = template.with_name("drained.db")
    shutil.copy(str(template), str(path))
    _flush(path)
    seconds: float = child.call(function, path=str(path), jobs=jobs, **arguments)
    check_drained(str(path), range(jobs))
    for left in path.parent.glob("drained.db*"):
        left.unlink()
    return seconds


def _flush(path: Path) -> None:
    # What the copy left to be written would be written while we measure.
    with path.open("rb+") as file:
        os.fsync(file.fileno())
