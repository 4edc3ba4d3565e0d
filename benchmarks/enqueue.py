"""How fast jobs are stored: one commit for each, one for each thousand, and sixteen threads that share commits.

Ours and the raw loop take turns on databases of their own in one process, chunk by chunk: what disturbs the machine
disturbs both.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

from benchmarks import child, raw
from benchmarks.check import check_enqueued, expect
from benchmarks.figures import Figure, Goal
from benchmarks.jobs import echo
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, call

THREADS = 16
BATCH = 1_000
CHUNKS = 20


class Case(NamedTuple):
    what: str
    durability: str
    size: str
    goal: Optional[Goal] = None


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for name, case in CASES.items():
        jobs = getattr(sizes, case.size)
        samples = [child.call(sample, name=name, jobs=jobs, folder=str(folder)) for _ in range(sizes.repeat)]
        ours, compared = ([jobs / one[side] for one in samples] for side in ("ours", "raw"))
        yield Figure("enqueue", case.what, "jobs/s", jobs, ours, compared, case.goal)


def sample(name: str, jobs: int, folder: str) -> Dict[str, float]:
    """Return the seconds that each side took in all."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return _sample(name, jobs, Path(place))


def _sample(name: str, jobs: int, folder: Path) -> Dict[str, float]:
    case, (ours, by_hand) = CASES[name], PAIRS[name]
    ours_path, raw_path = str(folder / "ours.db"), str(folder / "raw.db")
    raw.make_database(raw_path)
    connection = raw.connect(raw_path, case.durability)
    queue = SQLiteJob(database=ours_path, durability=case.durability)
    # Untimed: SQLAlchemy is imported, the file made, the statements compiled. Seqs start at 1, and numbers are seqs.
    chunks = _chunks(jobs, BATCH if by_hand is raw.enqueue_batch else max(jobs // CHUNKS, 1))
    first = range(1, 11)
    ours(queue, first)
    by_hand(connection, first)
    seconds = {"ours": 0.0, "raw": 0.0}
    for turn, numbers in enumerate(chunks):
        for side in ("ours", "raw") if turn % 2 else ("raw", "ours"):
            began = time.perf_counter()
            if side == "ours":
                ours(queue, numbers)
            else:
                by_hand(connection, numbers)
            seconds[side] += time.perf_counter() - began
    queue.close()
    connection.close()
    for path in (ours_path, raw_path):
        check_enqueued(path, range(1, jobs + 11))
    return seconds


def _chunks(jobs: int, size: int) -> List[range]:
    return [range(first, min(first + size, jobs + 11)) for first in range(11, jobs + 11, size)]


def _each(queue: SQLiteJob, numbers: Sequence[int]) -> None:
    for number in numbers:
        queue.enqueue(echo, number)


def _many(queue: SQLiteJob, numbers: Sequence[int]) -> None:
    jobs = queue.enqueue_many([call(echo, number) for number in numbers])
    expect(len(jobs) == len(numbers), "enqueue_many returned too few jobs")


def _in_threads(queue: SQLiteJob, numbers: Sequence[int]) -> None:
    threads = [threading.Thread(target=_each, args=(queue, numbers[number::THREADS])) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


CASES = {
    "full": Case("single, FULL", "full", "enqueue_full", Goal(0.7)),
    "normal": Case("single, NORMAL", "normal", "enqueue_normal", Goal(0.5)),
    "bulk": Case("bulk of 1,000, FULL", "full", "enqueue_bulk", Goal(0.5)),
    "threads": Case("16 threads, FULL, to raw single", "full", "enqueue_threads", Goal(2.0)),
}
PAIRS = {
    "full": (_each, raw.enqueue_each),
    "normal": (_each, raw.enqueue_each),
    "bulk": (_many, raw.enqueue_batch),
    "threads": (_in_threads, raw.enqueue_each),
}
