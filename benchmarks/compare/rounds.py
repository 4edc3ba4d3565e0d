"""Let all systems take turns, benchmark by benchmark, round by round: what disturbs one disturbs its neighbours."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Dict, List

from benchmarks.child import ChildError
from benchmarks.compare.comparison import Comparison, Failure
from benchmarks.compare.measures import Figures
from benchmarks.compare.runs import BENCHMARKS, Run
from benchmarks.compare.sizes import Sizes

# A killed system has the machine to itself for so long. Who is still waiting then only waits, beside the next.
_ALONE_SECONDS = 6.0


def measure(compared: Comparison, runs: List[Run], benchmarks: List[str], sizes: Sizes) -> None:
    for turn in range(sizes.rounds):
        # Nobody is always first, or always behind the same neighbour's dirty pages.
        ordered = runs[turn % len(runs) :] + runs[: turn % len(runs)] if runs else []
        for benchmark in benchmarks:
            _say(f"round {turn + 1} of {sizes.rounds}: {benchmark}")
            if benchmark == "kill":
                _kill(compared, ordered)
            else:
                for run in ordered:
                    _take(compared, run, benchmark)


def _take(compared: Comparison, run: Run, benchmark: str) -> None:
    try:
        found = BENCHMARKS[benchmark](run)
    except ChildError as error:
        _fail(compared, run, benchmark, error)
    else:
        _add(compared, run, found)


def _kill(compared: Comparison, runs: List[Run]) -> None:
    waiting: Dict[str, Future[Figures]] = {}
    with ThreadPoolExecutor(max(1, len(runs))) as pool:
        for run in runs:
            waiting[run.system.name] = pool.submit(BENCHMARKS["kill"], run)
            deadline = time.monotonic() + _ALONE_SECONDS
            while not waiting[run.system.name].done() and time.monotonic() < deadline:
                time.sleep(0.05)
        for run in runs:
            try:
                found = waiting[run.system.name].result()
            except ChildError as error:
                _fail(compared, run, "kill", error)
            else:
                _add(compared, run, found)


def _add(compared: Comparison, run: Run, found: Figures) -> None:
    figures = {name: value for name, value in found.items() if value is not None or name == "kill_seconds"}
    compared.add(run.system.name, figures)
    shown = ", ".join(f"{name} {'-' if value is None else f'{value:,.1f}'}" for name, value in found.items())
    _say(f"  {run.system.name}: {shown}")


def _fail(compared: Comparison, run: Run, benchmark: str, error: Exception) -> None:
    message = str(error).strip()
    compared.failures.append(Failure(run.system.name, benchmark, message.splitlines()[-1]))
    _say(f"  {run.system.name}: FAILED: {message}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
