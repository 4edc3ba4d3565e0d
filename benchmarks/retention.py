"""What pruning costs those who work meanwhile, how fast it is, and how large the file gets.

A worker finds a database full of finished jobs that are older than it keeps them. While it prunes, a producer in
another process enqueues one job after the other, each when the one before has run, and notes how long `enqueue` took,
and when the function began. The yardstick is the same with jobs that are kept: in a file as full, nothing is pruned.

Then as many jobs flow through a database whose worker keeps nothing; of the file it is the largest size that counts.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import sqlite3
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

from benchmarks import child, raw
from benchmarks.check import expect
from benchmarks.figures import Figure, at_most
from benchmarks.jobs import FUNCTIONS, settings, stamp
from benchmarks.latency import percentile
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker, WorkerSettings, call

DURABILITY = "full"

_LONGEST_SECONDS = 60.0

# A worker that keeps nothing looks each second.
_A_WHILE = 3.0
_BUILT_AT_ONCE = 10_000
_DAY = 24 * 3600 * 1_000_000
_MEGABYTE = 1_000_000

# So many microseconds between the ends of two old jobs: a thousand a second.
_APART = 1_000

# How many jobs are enqueued at once where they flow, and how many may wait: a producer that is faster than the worker
# would only measure what waits.
_FLOW_BATCH = 1_000
_MOST_WAITING = 10_000

_INSERT_JOB = (
    "INSERT INTO sqlitejob_job (seq, id, queue, function, status, created_at, started_at, finished_at, tries,"
    " claim_number) VALUES (?, ?, 'default', 'echo', 'completed', ?, ?, ?, 1, 1)"
)
_INSERT_PAYLOAD = "INSERT INTO sqlitejob_payload (seq, codec, args, preview) VALUES (?, 'pickle', ?, ?)"
_INSERT_RESULT = "INSERT INTO sqlitejob_result (seq, codec, value, preview) VALUES (?, 'pickle', ?, ?)"


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    jobs = sizes.retention
    samples = [_sample(sizes, folder / f"retention-{number}") for number in range(sizes.repeat)]
    for what in ("start", "enqueue"):
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            pruning, kept = ([percentile(one[side][what], share) for one in samples] for side in ("pruning", "kept"))
            title = {"start": "from enqueue to start", "enqueue": "enqueue"}[what]
            details = {"every": samples} if (what, name) == ("start", "max") else {}
            goal = at_most(250) if name == "max" else None
            title = f"{title}, {name}, while {jobs:,} are pruned"
            yield Figure("retention", title, "ms", jobs, pruning, kept, goal, "while kept", details)
    yield Figure("retention", "pruned", "jobs/s", jobs, [one["pruned"] for one in samples], [])
    before, after = ([one["pruning"][side] for one in samples] for side in ("before", "after"))
    yield Figure("retention", f"file after {jobs:,} were pruned", "MB", jobs, after, before, yardstick="before")
    largest = [one["flow"] for one in samples]
    yield Figure("retention", f"file while {jobs:,} flow", "MB", jobs, largest, before, yardstick="all kept")


def build(path: str, jobs: int, age: int) -> None:
    """Make a database of jobs that ended `age` microseconds ago."""
    raw.make_database(path)
    ended = time.time_ns() // 1000 - age
    with contextlib.closing(raw.connect(path, DURABILITY)) as connection:
        for first in range(1, jobs + 1, _BUILT_AT_ONCE):
            _insert(connection, range(first, min(first + _BUILT_AT_ONCE, jobs + 1)), ended)


def serve(path: str) -> int:
    return Worker("default", settings(path, DURABILITY, "echo", "stamp")).run()


def serve_and_keep_nothing(path: str) -> int:
    knobs = {"functions": [FUNCTIONS["echo"]], "durability": DURABILITY, "keep_result": 0}
    forgetful: WorkerSettings = type("Forgetful", (WorkerSettings,), knobs)(path)
    return Worker("default", forgetful).run()


def produce(path: str, jobs: int, least: int, *, is_pruned: bool) -> Dict[str, List[float]]:
    """Return the milliseconds of each enqueue and each start, until the old jobs are gone."""
    queue = SQLiteJob(database=path, durability=DURABILITY)
    found: Dict[str, List[float]] = {"enqueue": [], "start": []}
    queue.enqueue(stamp).result(_LONGEST_SECONDS)
    with contextlib.closing(sqlite3.connect(path)) as reader:
        while len(found["start"]) < least or (is_pruned and _is_left(reader, jobs)):
            began = time.time_ns()
            job = queue.enqueue(stamp)
            found["enqueue"].append(round((time.time_ns() - began) / 1e6, 3))
            found["start"].append(round((job.result(_LONGEST_SECONDS) - began) / 1e6, 3))
            time.sleep(random.uniform(0, 0.01))  # noqa: S311 - jitter
    queue.close()
    return found


def flow(path: str, jobs: int) -> float:
    """Enqueue jobs, and return the largest size of the file, in MB, until all of them are gone."""
    queue = SQLiteJob(database=path, durability=DURABILITY)
    echo = FUNCTIONS["echo"]
    largest = 0
    with contextlib.closing(sqlite3.connect(path)) as reader:
        for first in range(0, jobs, _FLOW_BATCH):
            queue.enqueue_many([call(echo, number) for number in range(first, min(first + _FLOW_BATCH, jobs))])
            while _count(reader, "WHERE status = 'pending'") > _MOST_WAITING:
                time.sleep(0.005)
            largest = max(largest, Path(path).stat().st_size)
        before, left = jobs + 1, _count(reader, "")
        while left:
            expect(left < before, f"nothing was pruned for a while, {left} jobs are left")
            time.sleep(_A_WHILE)
            before, left = left, _count(reader, "")
    queue.close()
    return max(largest, Path(path).stat().st_size) / _MEGABYTE


def _sample(sizes: Sizes, folder: Path) -> Dict[str, Any]:
    sample: Dict[str, Any] = {}
    for name, age in (("kept", 0), ("pruning", 60 * _DAY)):
        path = str(_place(folder / name))
        child.call(build, path=path, jobs=sizes.retention, age=age)
        before = Path(path).stat().st_size
        began = time.monotonic()
        with child.start(serve, path=path) as worker:
            work = {"jobs": sizes.retention, "least": sizes.latencies, "is_pruned": name == "pruning"}
            sample[name] = child.call(produce, path=path, **work)
            sample["pruned"] = sizes.retention / (time.monotonic() - began)
            time.sleep(sizes.idle_seconds)  # in which it gives space back
            worker.terminate()
            worker.answer()
        expect(_left(path) == (sizes.retention if name == "kept" else 0), f"{name}: {_left(path)} old jobs are left")
        sample[name].update(before=before / _MEGABYTE, after=Path(path).stat().st_size / _MEGABYTE)
        Path(path).unlink()
    path = str(_place(folder / "flow"))
    raw.make_database(path)
    with child.start(serve_and_keep_nothing, path=path) as worker:
        sample["flow"] = child.call(flow, path=path, jobs=sizes.retention)
        worker.terminate()
        expect(worker.answer() == sizes.retention, "the worker ran another number of jobs")
    Path(path).unlink()
    return sample


def _place(folder: Path) -> Path:
    # In folders of their own: a worker watches the one that its file is in.
    folder.mkdir(parents=True)
    return folder / "jobs.db"


def _is_left(reader: sqlite3.Connection, jobs: int) -> bool:
    # The newest of the old ones goes last.
    return bool(reader.execute("SELECT 1 FROM sqlitejob_job WHERE seq = ?", (jobs,)).fetchall())


def _count(reader: sqlite3.Connection, where: str) -> int:
    count: int = reader.execute(f"SELECT count(*) FROM sqlitejob_job {where}").fetchone()[0]  # noqa: S608
    return count


def _left(path: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as reader:
        return _count(reader, "WHERE function = 'echo'")


def _insert(connection: sqlite3.Connection, numbers: range, ended: int) -> None:
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.executemany(
        _INSERT_JOB, [(number, f"{number:036d}", ended, ended, ended + number * _APART) for number in numbers]
    )
    args = [(number, pickle.dumps(((number,), {}), 5), str(number)) for number in numbers]
    cursor.executemany(_INSERT_PAYLOAD, args)
    cursor.executemany(_INSERT_RESULT, [(number, pickle.dumps(number, 5), str(number)) for number in numbers])
    cursor.execute("COMMIT")
