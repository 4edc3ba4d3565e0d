"""Whether a claim and an enqueue cost the same among a million other jobs as among a thousand.

The other jobs are half finished, with results, and half scheduled for a year later. The files lie side by side and
take turns, exchange by exchange, in one process; the jobs that were measured are deleted after each repeat. At NORMAL,
so that waiting for the disk, which is the same for all, does not hide what differs.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import sqlite3
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

from benchmarks import child, raw
from benchmarks.check import check_drained, check_enqueued, expect
from benchmarks.figures import Figure, Goal
from benchmarks.jobs import echo
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, call
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Completed
from sqlite_job.storage.interface import Storage, Wanted
from sqlite_job.storage.opening import locate, open_storage

ROOM = 100
DURABILITY = "normal"

# Longer than any of this takes: nobody renews it.
_LEASE = 3600 * 1_000_000

_BUILT_AT_ONCE = 10_000
_YEAR = 365 * 24 * 3600 * 1_000_000

_INSERT_OTHER = (
    "INSERT INTO sqlitejob_job (seq, id, queue, function, status, created_at, run_at, started_at, finished_at, tries,"
    " claim_number) VALUES (?, ?, 'default', 'echo', ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_PAYLOAD = "INSERT INTO sqlitejob_payload (seq, codec, args, preview) VALUES (?, 'pickle', ?, ?)"
_INSERT_RESULT = "INSERT INTO sqlitejob_result (seq, codec, value, preview) VALUES (?, 'pickle', ?, ?)"
_MEASURED = [f"DELETE FROM sqlitejob_{table} WHERE seq > ?" for table in ("job", "payload", "result")]  # noqa: S608


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    paths = {others: str(folder / f"{others}.db") for others in sizes.growth}
    for others, path in paths.items():
        child.call(build, path=path, others=others)
    work = {"paths": paths, "exchanges": sizes.growth_exchanges, "enqueues": sizes.growth_enqueues}
    repeats = [child.call(sample, **work) for _ in range(sizes.repeat)]
    for path in paths.values():
        Path(path).unlink()
    least, *more = sizes.growth
    measured = {
        "claim": (f"claim of {ROOM}", ROOM * sizes.growth_exchanges),
        "enqueue": ("enqueue", sizes.growth_enqueues),
    }
    for name, (what, jobs) in measured.items():
        costs = {others: [repeat[name][str(others)] for repeat in repeats] for others in sizes.growth}
        for others in more:
            goal = Goal(1.2, is_least=False) if others == sizes.growth[-1] else None
            title = f"{what} among {others:,} others"
            yield Figure("growth", title, "us", jobs, costs[others], costs[least], goal, f"{least:,}")


def build(path: str, others: int) -> None:
    """Make a database with other jobs: half of them finished, half scheduled."""
    raw.make_database(path)
    now = time.time_ns() // 1000
    with contextlib.closing(raw.connect(path, DURABILITY)) as connection:
        for first in range(1, others + 1, _BUILT_AT_ONCE):
            _insert_others(connection, range(first, min(first + _BUILT_AT_ONCE, others + 1)), now)


def sample(paths: Dict[str, str], exchanges: int, enqueues: int) -> Dict[str, Dict[str, float]]:
    """Return for claims and for enqueues the cost in microseconds among each number of others."""
    claims = _least_costs({others: _claims(path, exchanges) for others, path in paths.items()})
    inserts = _least_costs({others: _enqueues(path, enqueues) for others, path in paths.items()})
    for others, path in paths.items():
        _check_others(path, int(others))
    return {"claim": claims, "enqueue": inserts}


def _least_costs(measured: Dict[str, Iterator[float]]) -> Dict[str, float]:
    """Let all take one step after the other, until they end; return the lower quartile of what the steps of each cost.

    Not the median: when others use the machine, more than half of the steps may be interrupted. And in a new order
    each time: a scheduler that interrupts us every few milliseconds would hit the same one each time.
    """
    costs: Dict[str, List[float]] = {others: [] for others in measured}
    left = list(measured.items())
    while left:
        random.shuffle(left)
        left = [(others, steps) for others, steps in left if _take(steps, costs[others])]
    return {others: sorted(found)[len(found) // 4] for others, found in costs.items()}


def _take(steps: Iterator[float], costs: List[float]) -> bool:
    """Take one step; False when there was none."""
    for cost in steps:
        costs.append(cost)
        return True
    return False


def _claims(path: str, exchanges: int) -> Iterator[float]:
    """Exchange outcomes for jobs, a hundred at a time."""
    last = _last_seq(path)
    numbers = range(ROOM * exchanges)
    queue = SQLiteJob(database=path, durability=DURABILITY)
    queue.enqueue_many([call(echo, number) for number in numbers])
    storage = open_storage(locate(path), DURABILITY)
    worker_id = storage.register_worker(("default",), time.time_ns() // 1000, _LEASE)
    outcomes: List[Completed] = []
    for turn in range(exchanges + 1):
        began = time.perf_counter()
        claimed = _exchange(storage, worker_id, outcomes)
        cost = (time.perf_counter() - began) * 1e6
        expect(len(claimed) == (ROOM if turn < exchanges else 0), f"turn {turn} claimed {len(claimed)} jobs")
        outcomes = [complete(job) for job in claimed]
        # The first only claims, the last only settles.
        if 0 < turn < exchanges:
            yield cost
    storage.unregister_worker(worker_id)
    queue.close()
    check_drained(path, numbers, after=last)
    _delete_measured(path, last)


def _enqueues(path: str, enqueues: int) -> Iterator[float]:
    last = _last_seq(path)
    queue = SQLiteJob(database=path, durability=DURABILITY)
    queue.enqueue(echo, 0)
    for number in range(1, enqueues + 1):
        began = time.perf_counter()
        queue.enqueue(echo, number)
        yield (time.perf_counter() - began) * 1e6
    queue.close()
    check_enqueued(path, range(enqueues + 1), after=last)
    _delete_measured(path, last)


def _exchange(storage: Storage, worker_id: int, outcomes: Sequence[Completed]) -> List[ClaimedJob]:
    wanted = Wanted(("default",), ("echo",), ROOM)
    exchange = storage.exchange(worker_id, outcomes, wanted, time.time_ns() // 1000)
    expect(not exchange.stale, "an outcome changed nothing")
    return exchange.claimed


def complete(job: ClaimedJob) -> Completed:
    (number,), _ = pickle.loads(job.args)  # noqa: S301 - our own
    now = time.time_ns() // 1000
    return Completed(now, now, job.seq, job.claim_number, "pickle", pickle.dumps(number, 5), str(number))


def _insert_others(connection: sqlite3.Connection, numbers: Sequence[int], now: int) -> None:
    finished = [number for number in numbers if number % 2]
    args = [(number, pickle.dumps(((number,), {}), 5), str(number)) for number in numbers]
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.executemany(_INSERT_OTHER, [_other(number, now) for number in numbers])
    cursor.executemany(_INSERT_PAYLOAD, args)
    cursor.executemany(_INSERT_RESULT, [(number, pickle.dumps(number, 5), str(number)) for number in finished])
    cursor.execute("COMMIT")


def _other(number: int, now: int) -> Sequence[Any]:
    # A version 7 UUID of our days starts with 01: what is enqueued later has a greater id, as in a real queue.
    job_id = f"{number:036d}"
    if number % 2:
        return (number, job_id, "completed", now, None, now + number, now + number + 1, 1, 1)
    return (number, job_id, "scheduled", now, now + _YEAR + number, None, None, 0, 0)


def _check_others(path: str, others: int) -> None:
    counts = "SELECT count(*), count(finished_at), count(run_at) FROM sqlitejob_job"
    found = _execute(path, lambda connection: connection.execute(counts).fetchone())
    expect(found == (others, (others + 1) // 2, others // 2), f"of {others:,} other jobs there are {found}")


def _last_seq(path: str) -> int:
    last: int = _execute(path, lambda connection: connection.execute("SELECT max(seq) FROM sqlitejob_job").fetchone())[
        0
    ]
    return last


def _delete_measured(path: str, last: int) -> None:
    def delete(connection: sqlite3.Connection) -> None:
        for statement in _MEASURED:
            connection.execute(statement, (last,))

    _execute(path, delete)


def _execute(path: str, work: Callable[[sqlite3.Connection], Any]) -> Any:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return work(connection)
