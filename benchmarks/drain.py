"""How fast one worker process empties a queue of jobs that do nothing, each with a stored result.

Timed inside the worker's process, from the event that it has started (the next thing is the first claim) to the event
that the last results are committed; the raw loop from its first claim to its last commit. Not in it: the start of the
interpreter, imports, opening the database.

The CPU that both need for a job is shown too. On a busy machine it is the better guide: the worker has more threads
than the raw loop, and so gets more of a CPU that is fought for.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple

from benchmarks import child, clocks, raw
from benchmarks.check import check_drained, expect
from benchmarks.clocks import Clocks
from benchmarks.figures import Figure, Goal
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
    Case("two job processes, FULL", "full", "process_echo", ["process_echo"]),
    Case("Limit(1) for each of 1,000 keys", "full", "limited_echo", ["limited_echo"], yardstick="no limit"),
    Case("1 ms of sleep, 10 at once", "full", "nap", ["nap"], yardstick="bare threads"),
]


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for case in CASES:
        jobs = sizes.naps if case.function == "nap" else sizes.drain
        template = folder / "template.db"
        child.call(fill, path=str(template), function=case.function, jobs=jobs)
        if case.yardstick == "no limit":
            child.call(fill, path=str(_without_limit(template)), function="echo", jobs=jobs)
        pairs = [_pair(case, template, jobs, is_raw_first=number % 2 == 0) for number in range(sizes.repeat)]
        for made in folder.glob("*template.db"):
            made.unlink()
        yield from _figures(case, jobs, [pair.ours for pair in pairs], [pair.raw for pair in pairs])


def _figures(case: Case, jobs: int, ours: List[Clocks], compared: List[Clocks]) -> Iterator[Figure]:
    walls = ([jobs / one.wall for one in side] for side in (ours, compared))
    yield Figure("drain", case.what, "jobs/s", jobs, *walls, case.goal, case.yardstick)
    if case.yardstick == "raw":
        cpus = ([1e6 * one.cpu / jobs for one in side] for side in (ours, compared))
        yield Figure("drain", f"CPU, {case.what}", "us/job", jobs, *cpus)


class Stopwatch:
    """A subscriber that runs from the worker's start to its last commit."""

    def __init__(self) -> None:
        self._began = self._ended = Clocks(0, 0)
        self.turns = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobsSettled):
            self._ended = clocks.read()
            self.turns += 1
        elif isinstance(event, WorkerStarted):
            self._began = clocks.read()

    @property
    def elapsed(self) -> Clocks:
        return self._ended.since(self._began)

    @property
    def span(self) -> Tuple[float, float]:
        """When it began and ended, by a clock that all processes of a machine share."""
        return self._began.wall, self._ended.wall


def fill(path: str, function: str, jobs: int) -> None:
    queue = SQLiteJob(database=path)
    for first in range(0, jobs, 1_000):
        queue.enqueue_many([call(FUNCTIONS[function], number) for number in range(first, min(first + 1_000, jobs))])
    queue.close()


def drain_by_worker(path: str, durability: str, functions: List[str], jobs: int) -> Clocks:
    return run_burst(settings(path, durability, *functions), jobs).elapsed


def run_burst(chosen: WorkerSettings, jobs: int) -> Stopwatch:
    """Run a worker until the queue is empty."""
    worker, stopwatch = Worker("default", chosen), Stopwatch()
    worker.subscribe(stopwatch)
    ran = worker.run(burst=True)
    SQLiteJob(settings=chosen).close()  # the connections, which the worker shares with whoever enqueues in its process
    expect(ran == jobs, f"the worker ran {ran:,} of {jobs:,} jobs")
    return stopwatch


def drain_by_hand(path: str, durability: str, jobs: int) -> Clocks:
    connection = raw.connect(path, durability)
    # The loop awaits nothing: a coroutine function is measured against the plain one that does the same.
    functions = {**FUNCTIONS, "async_echo": FUNCTIONS["echo"]}
    began = clocks.read()
    ran = raw.drain(connection, functions)
    elapsed = clocks.read().since(began)
    connection.close()
    expect(ran == jobs, f"the raw loop ran {ran:,} of {jobs:,} jobs")
    return elapsed


class Pair(NamedTuple):
    """What both sides took, one right after the other."""

    ours: Clocks
    raw: Clocks


def _pair(case: Case, template: Path, jobs: int, *, is_raw_first: bool) -> Pair:
    if is_raw_first:
        compared = _compared(case, template, jobs)
        return Pair(_ours(case, template, jobs), compared)
    return Pair(_ours(case, template, jobs), _compared(case, template, jobs))


def _ours(case: Case, template: Path, jobs: int) -> Clocks:
    return _on_copy(template, jobs, drain_by_worker, durability=case.durability, functions=case.functions)


def _compared(case: Case, template: Path, jobs: int) -> Clocks:
    if case.function == "nap":
        return _bare_threads(jobs)
    if case.yardstick == "no limit":
        plain = _without_limit(template)
        return _on_copy(plain, jobs, drain_by_worker, durability=case.durability, functions=["echo"])
    return _on_copy(template, jobs, drain_by_hand, durability=case.durability)


def _without_limit(template: Path) -> Path:
    return template.with_name(f"plain-{template.name}")


def _bare_threads(jobs: int) -> Clocks:
    began = clocks.read()
    with ThreadPoolExecutor(WorkerSettings.max_jobs) as pool:
        expect(list(pool.map(FUNCTIONS["nap"], range(jobs))) == list(range(jobs)), "the threads returned nonsense")
    return clocks.read().since(began)


def _on_copy(template: Path, jobs: int, function: Callable[..., Clocks], /, **arguments: Any) -> Clocks:
    path = template.with_name("drained.db")
    shutil.copy(str(template), str(path))
    _flush(path)
    elapsed = Clocks(*child.call(function, path=str(path), jobs=jobs, **arguments))
    check_drained(str(path), range(jobs))
    for left in path.parent.glob("drained.db*"):
        left.unlink()
    return elapsed


def _flush(path: Path) -> None:
    # What the copy left to be written would be written while we measure.
    with path.open("rb+") as file:
        os.fsync(file.fileno())
