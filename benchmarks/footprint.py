"""What sqlite_job costs when nothing happens: an idle worker's CPU and memory, and the time to import it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List

from benchmarks import child
from benchmarks.check import check_drained, check_enqueued, expect
from benchmarks.figures import Figure, at_most
from benchmarks.jobs import echo, settings
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker, call
from sqlite_job.core.events import Event, JobsSettled

_JOBS = 100

# Until a worker that has run some jobs has gone to sleep.
_SETTLING_SECONDS = 1.0

_IMPORT = "import time; began = time.perf_counter(); import sqlite_job; print(time.perf_counter() - began)"

# The first use imports SQLAlchemy, opens the file, and compiles the statements; the untimed run has made the file.
_FIRST_USE = (
    "import sys, time; began = time.perf_counter(); import sqlite_job;"
    "sqlite_job.SQLiteJob(database=sys.argv[1]).enqueue('echo', 1); print(time.perf_counter() - began)"
)


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    yield from _idle_figures(sizes, folder)
    imports = [_milliseconds(_IMPORT, sizes.imports) for _ in range(sizes.repeat)]
    yield Figure("footprint", "import sqlite_job", "ms", sizes.imports, imports, [], at_most(80))
    path = str(folder / "first-use.db")
    first_uses = [_milliseconds(_FIRST_USE, sizes.imports, path) for _ in range(sizes.repeat)]
    check_enqueued(path, [1] * sizes.repeat * (sizes.imports + 1))
    yield Figure("footprint", "import and first enqueue", "ms", sizes.imports, first_uses, [])


def _idle_figures(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    paths = [str(folder / f"idle-{n}.db") for n in range(sizes.repeat)]
    idle = [child.call(idle_worker, path=path, seconds=sizes.idle_seconds) for path in paths]
    cpu, memory = ([one[name] for one in idle] for name in ("cpu_percent", "rss_mb"))
    yield Figure("footprint", "CPU of an idle worker", "%", _JOBS, cpu, [], at_most(0.3))
    if all(memory):
        yield Figure("footprint", "memory of an idle worker", "MB", _JOBS, memory, [], at_most(60))


def idle_worker(path: str, seconds: float) -> Dict[str, float]:
    """Run some jobs, then stay idle, and return the CPU used in that time and the memory held."""
    SQLiteJob(database=path).enqueue_many([call(echo, number) for number in range(_JOBS)])
    worker = Worker("default", settings(path, "full", "echo"))
    idle, settled = threading.Event(), []
    found: Dict[str, float] = {}

    def notice(event: Event) -> None:
        if isinstance(event, JobsSettled):
            settled.extend(event.settled)
            if len(settled) == _JOBS:
                idle.set()

    def watch() -> None:
        # It only sleeps, so it adds nothing to what the process uses meanwhile.
        idle.wait()
        time.sleep(_SETTLING_SECONDS)
        began, used = time.perf_counter(), time.process_time()
        time.sleep(seconds)
        found["cpu_percent"] = 100 * (time.process_time() - used) / (time.perf_counter() - began)
        found["rss_mb"] = _resident_mb()
        worker.stop()

    worker.subscribe(notice)
    threading.Thread(target=watch, daemon=True).start()
    expect(worker.run() == _JOBS, "the worker did not run its jobs")
    check_drained(path, range(_JOBS))
    return found


def _resident_mb() -> float:
    """Return what Linux says of this process, or 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


def _milliseconds(code: str, times: int, *arguments: str) -> float:
    """Return the median of fresh interpreters; one more before them, untimed, writes the compiled files."""
    seconds: List[float] = []
    for _ in range(times + 1):
        command = [sys.executable, "-c", code, *arguments]
        seconds.append(float(subprocess.check_output(command, cwd=str(child.ROOT), env=child.environment())))
    return statistics.median(seconds[1:]) * 1000
