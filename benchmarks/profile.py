"""Show where time goes: `python -m benchmarks.profile drain|enqueue|bulk [--jobs N] [--durability normal] ...`.

Two runs: one without a profiler says how much CPU each thread takes for a job; one with a profiler in each thread says
in which functions. The profiler makes Python calls dearer than C calls: take its figures as shares, not as times.
"""

from __future__ import annotations

import argparse
import cProfile
import logging
import os
import pstats
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from benchmarks.check import check_drained, check_enqueued
from benchmarks.drain import fill, run_burst
from benchmarks.jobs import echo, settings
from sqlite_job import SQLiteJob, call

# 3.12 made cProfile one for all threads: a second one is refused.
_LAST_WITH_ONE_EACH = (3, 11)

_WARM_UP = 10

Made = Dict[str, List[Any]]


def main(arguments: List[str]) -> None:
    options = parse(arguments)
    # As many log lines as ever, but not on this screen.
    logging.basicConfig(filename=os.devnull, level=logging.INFO)
    with tempfile.TemporaryDirectory(prefix="sqlite-job-profile-", dir=options.folder) as folder:
        usage, seconds = measure(Path(folder) / "plain.db", options, Usage)
        report_usage(usage, seconds, options.jobs)
        if sys.version_info[:2] > _LAST_WITH_ONE_EACH:
            sys.exit("A profile of each thread needs Python 3.11 or older")
        clock = time.perf_counter if options.wall else time.thread_time
        profiles, _ = measure(Path(folder) / "profiled.db", options, lambda: cProfile.Profile(clock))
        for role, several in profiles.items():
            report_profile(role, several, options)


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(WORK), help="what to profile")
    parser.add_argument("--jobs", type=int, default=30_000, metavar="N", help="how many (30,000)")
    parser.add_argument("--durability", choices=["full", "normal"], default="full")
    parser.add_argument("--function", choices=["echo", "async_echo"], default="echo", help="a plain one or a coroutine")
    parser.add_argument("--wall", action="store_true", help="count waiting (for locks and the disk) too, not CPU alone")
    parser.add_argument("--lines", type=int, default=25, metavar="N", help="how many functions to show (25)")
    parser.add_argument("--sort", choices=["tottime", "cumulative"], default="tottime")
    parser.add_argument("--folder", metavar="FOLDER", help="on which disk (where temporary files go)")
    return parser.parse_args(arguments)


class Usage:
    """What the thread that enables and disables it uses, counted with a profiler's two methods."""

    def __init__(self) -> None:
        self.user = self.system = 0.0
        self.switches = 0

    def enable(self) -> None:
        self._add(-1)

    def disable(self) -> None:
        self._add(1)

    def _add(self, sign: int) -> None:
        now = resource.getrusage(resource.RUSAGE_THREAD)
        self.user += sign * now.ru_utime
        self.system += sign * now.ru_stime
        # Most of them are waits for the interpreter's lock.
        self.switches += sign * (now.ru_nvcsw + now.ru_nivcsw)


def measure(path: Path, options: argparse.Namespace, make: Callable[[], Any]) -> Tuple[Made, float]:
    """Return what `make` made for this thread and for all that it starts, and the seconds of the work."""
    work = WORK[options.what]
    work.prepare(str(path), options)
    others: List[Any] = []
    with in_each_thread(make, others):
        own = make()
        own.enable()
        seconds = work.run(str(path), options)
        own.disable()
    work.check(str(path), options)
    return {"main": [own], "others": others}, seconds


class in_each_thread:  # noqa: N801 - reads as what it does
    """Enable one of what `make` makes in each thread that starts inside the block."""

    def __init__(self, make: Callable[[], Any], made: List[Any]) -> None:
        self._make = make
        self._made = made
        self._run = threading.Thread.run

    def __enter__(self) -> None:
        make, made, run = self._make, self._made, self._run

        def measured(thread: threading.Thread) -> None:
            one = make()
            made.append(one)
            one.enable()
            try:
                run(thread)
            finally:
                one.disable()

        threading.Thread.run = measured  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        threading.Thread.run = self._run  # type: ignore[method-assign]


def report_usage(usage: Made, seconds: float, jobs: int) -> None:
    print(f"{jobs:,} jobs in {seconds:.2f} s: {jobs / seconds:,.0f} jobs/s")
    print(f"{'for each job':>13} {'user us':>9} {'system us':>9} {'switches':>9}")
    print(f"{'wall':>13} {seconds / jobs * 1e6:9.2f}")
    for role, several in usage.items():
        user, system = (sum(getattr(one, kind) for one in several) / jobs * 1e6 for kind in ("user", "system"))
        switches = sum(one.switches for one in several) / jobs
        print(f"{role:>13} {user:9.2f} {system:9.2f} {switches:9.3f}  threads: {len(several)}")


def report_profile(role: str, several: List[cProfile.Profile], options: argparse.Namespace) -> None:
    if not several:
        return
    stats = pstats.Stats(several[0])
    for one in several[1:]:
        stats.add(one)
    column = 2 if options.sort == "tottime" else 3
    rows = sorted(stats.stats.items(), key=lambda row: -row[1][column])  # type: ignore[attr-defined]
    clock = "wall" if options.wall else "CPU"
    print(f"\n{role}: {clock} under the profiler, by {options.sort}")
    print(f"{'own us/job':>11} {'with callees':>13} {'calls/job':>10}  function")
    for (file, line, name), (_, calls, own, cumulative, _callers) in rows[: options.lines]:
        where = name if file == "~" else f"{name} ({Path(file).name}:{line})"
        shown = f"{own / options.jobs * 1e6:11.2f} {cumulative / options.jobs * 1e6:13.2f} {calls / options.jobs:10.2f}"
        print(f"{shown}  {where}")


def _prepare_drain(path: str, options: argparse.Namespace) -> None:
    fill(path, options.function, options.jobs)


def _drain(path: str, options: argparse.Namespace) -> float:
    stopwatch = run_burst(settings(path, options.durability, options.function), options.jobs)
    print(f"{stopwatch.turns} turns of {options.jobs / stopwatch.turns:.0f} jobs")
    return stopwatch.elapsed.wall


def _check_drain(path: str, options: argparse.Namespace) -> None:
    check_drained(path, range(options.jobs))


def _prepare_enqueue(path: str, options: argparse.Namespace) -> None:
    # Imports SQLAlchemy, makes the file, compiles the statements.
    queue = SQLiteJob(database=path, durability=options.durability)
    for number in range(_WARM_UP):
        queue.enqueue(echo, number)
    queue.enqueue_many([call(echo, number) for number in range(_WARM_UP, 2 * _WARM_UP)])


def _enqueue(path: str, options: argparse.Namespace) -> float:
    queue = SQLiteJob(database=path, durability=options.durability)
    began = time.perf_counter()
    for number in _numbers(options):
        queue.enqueue(echo, number)
    seconds = time.perf_counter() - began
    queue.close()
    return seconds


def _enqueue_bulk(path: str, options: argparse.Namespace) -> float:
    queue, numbers = SQLiteJob(database=path, durability=options.durability), _numbers(options)
    began = time.perf_counter()
    for first in range(0, len(numbers), 1_000):
        queue.enqueue_many([call(echo, number) for number in numbers[first : first + 1_000]])
    seconds = time.perf_counter() - began
    queue.close()
    return seconds


def _check_enqueue(path: str, options: argparse.Namespace) -> None:
    check_enqueued(path, range(2 * _WARM_UP + options.jobs))


def _numbers(options: argparse.Namespace) -> range:
    return range(2 * _WARM_UP, 2 * _WARM_UP + options.jobs)


class Work(NamedTuple):
    """What can be profiled; `run` returns the seconds it took."""

    prepare: Callable[[str, argparse.Namespace], None]
    run: Callable[[str, argparse.Namespace], float]
    check: Callable[[str, argparse.Namespace], None]


WORK: Dict[str, Work] = {
    "drain": Work(_prepare_drain, _drain, _check_drain),
    "enqueue": Work(_prepare_enqueue, _enqueue, _check_enqueue),
    "bulk": Work(_prepare_enqueue, _enqueue_bulk, _check_enqueue),
}


if __name__ == "__main__":
    main(sys.argv[1:])
