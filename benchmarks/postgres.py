"""The same queue on a PostgreSQL server: storing, draining, latency, and what a million finished jobs cost.

The server is started for it, with PostgreSQL's own defaults: fsync and synchronous_commit on. It shares the machine's
cores with the workers that are measured, as no fleet would.
"""

from __future__ import annotations

import random
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from benchmarks import child, footprint
from benchmarks.check import check_drained, expect
from benchmarks.drain import Stopwatch, fill
from benchmarks.enqueue import BATCH, PAIRS, THREADS
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.growth import complete
from benchmarks.jobs import echo, settings, stamp
from benchmarks.latency import percentile, serve
from benchmarks.sizes import Sizes
from sqlite_job import SQLiteJob, Worker, call
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.opening import locate, open_storage
from tools.postgres_server import PostgresServer, PostgresUnavailable

# The goals are those of docs/explanation/scaling.md: above pgqueuer's drain, which was 11,500 jobs/s here.
_DRAIN, _BULK, _LATENCY_MS = at_least(12_000, stretch=20_000), at_least(40_000), at_most(3)

# Between two jobs: the worker has settled one, and sleeps, before the next comes.
_PAUSE_SECONDS = (0.01, 0.03)

_LONGEST_SECONDS = 30.0

_ROOM = 100
_LEASE = 3600 * 1_000_000


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    del folder  # a server has one of its own
    server = PostgresServer(durable=True)
    try:
        server.start()
    except PostgresUnavailable as error:
        print(f"postgres: NOT MEASURED, {error}", file=sys.stderr)
        return
    with server:
        yield from _enqueues(server, sizes)
        yield from _drains(server, sizes)
        yield from _latencies(server, sizes)
        yield from _growth(server, sizes)


def _enqueues(server: PostgresServer, sizes: Sizes) -> Iterator[Figure]:
    cases = (
        ("full", "single", sizes.enqueue_full, None),
        ("threads", f"{THREADS} threads", sizes.enqueue_threads, None),
        ("bulk", f"bulk of {BATCH:,}", sizes.enqueue_bulk, _BULK),
    )
    for name, what, jobs, goal in cases:
        samples = []
        for _ in range(sizes.repeat):
            with _database(server) as url:
                samples.append(jobs / child.call(store, url=url, how=name, jobs=jobs))
        yield Figure("postgres", f"enqueue, {what}", "jobs/s", jobs, samples, [], goal)


def _drains(server: PostgresServer, sizes: Sizes) -> Iterator[Figure]:
    for workers, what, goal in ((1, "one worker process", _DRAIN), (2, "two worker processes", None)):
        samples = [_drain(server, sizes.drain, workers) for _ in range(sizes.repeat)]
        yield Figure("postgres", f"drain, {what}", "jobs/s", sizes.drain, samples, [], goal)


def _drain(server: PostgresServer, jobs: int, workers: int) -> float:
    with _database(server) as url:
        child.call(fill, path=url, function="echo", jobs=jobs)
        with ExitStack() as stack:
            running = [stack.enter_context(child.start(drain, url=url)) for _ in range(workers)]
            spans = [one.answer() for one in running]
        check_drained(url, range(jobs))
    # From the first worker's start to the last commit of any.
    return jobs / (max(ended for _, ended in spans) - min(began for began, _ in spans))


def _latencies(server: PostgresServer, sizes: Sizes) -> Iterator[Figure]:
    samples = []
    for _ in range(sizes.repeat):
        with _database(server) as url, child.start(serve, path=url, durability="full") as worker:
            samples.append(child.call(produce, url=url, jobs=sizes.latencies))
            worker.terminate()
            worker.answer()
    for name, share, goal in (("p50", 0.5, _LATENCY_MS), ("p99", 0.99, None)):
        figures = [percentile(one, share) for one in samples]
        yield Figure("postgres", f"enqueue to start, {name}", "ms", sizes.latencies, figures, [], goal)
    cpu = []
    for _ in range(sizes.repeat):
        with _database(server) as url:
            found = child.call(footprint.idle_worker, path=url, seconds=sizes.idle_seconds)
            cpu.append(found["cpu_percent"])
    yield Figure("postgres", "CPU of an idle worker", "%", sizes.latencies, cpu, [])


def _growth(server: PostgresServer, sizes: Sizes) -> Iterator[Figure]:
    """Drain very many jobs, and claim among few and among all of them; then see what is left of dead rows."""
    few, many = sizes.growth[0], sizes.growth[-1]
    with _database(server) as small, _database(server) as large:
        seconds = {}
        for url, jobs in ((small, few), (large, many)):
            child.call(store, url=url, how="bulk", jobs=jobs)
            began, ended = child.call(drain, url=url)
            check_drained(url, range(jobs))
            seconds[jobs] = ended - began
        yield Figure("postgres", f"drain of {many:,}", "jobs/s", many, [many / seconds[many]], [])
        yield from _bloat(large, many)
        for url in (small, large):
            _execute(url, "VACUUM ANALYZE sqlitejob_job")
        costs: Dict[str, List[float]] = {small: [], large: []}
        for _ in range(sizes.repeat):
            for url in (small, large):
                costs[url].append(child.call(claim_costs, url=url, exchanges=sizes.growth_exchanges))
    what = f"claim of {_ROOM} among {many:,} finished"
    goal = at_most(1.2)._replace(is_of_ratio=True)
    count = _ROOM * sizes.growth_exchanges
    yield Figure("postgres", what, "us", count, costs[large], costs[small], goal, f"{few:,}")


def _bloat(url: str, jobs: int) -> Iterator[Figure]:
    """Say what a drain leaves behind, right after it, and what a table that was written anew would take."""
    ((dead,),) = _execute(url, "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'sqlitejob_job'")
    ((before,),) = _execute(url, "SELECT pg_total_relation_size('sqlitejob_job')")
    _execute(url, "VACUUM FULL sqlitejob_job")
    ((after,),) = _execute(url, "SELECT pg_total_relation_size('sqlitejob_job')")
    what = f"dead rows after {jobs:,} jobs"
    # Of three versions of each row two are dead.
    yield Figure("postgres", what, "rows", jobs, [max(float(dead), 1.0)], [2.0 * jobs], yardstick="never cleaned")
    what = f"job table after {jobs:,} jobs"
    yield Figure("postgres", what, "MB", jobs, [before / 1e6], [after / 1e6], yardstick="VACUUM FULL")


# ---- what children do


def store(url: str, how: str, jobs: int) -> float:
    """Enqueue the numbers below `jobs`; returns the seconds that it took."""
    queue = SQLiteJob(database=url)
    queue.counts()  # untimed: the tables are made, SQLAlchemy is imported
    enqueue, _ = PAIRS[how]
    began = time.perf_counter()
    for first in range(0, jobs, BATCH):
        enqueue(queue, range(first, min(first + BATCH, jobs)))
    took = time.perf_counter() - began
    queue.close()
    return took


def drain(url: str) -> Tuple[float, float]:
    """Run a worker until the queue is empty; returns when it started, and when it committed last."""
    worker, stopwatch = Worker("default", settings(url, "full", "echo")), Stopwatch()
    worker.subscribe(stopwatch)
    worker.run(burst=True)
    return stopwatch.span


def produce(url: str, jobs: int) -> List[float]:
    """Return how long each job waited for an idle worker, in milliseconds."""
    queue = SQLiteJob(database=url)
    queue.enqueue(stamp).result(_LONGEST_SECONDS)
    enqueued = []
    for _ in range(jobs):
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - jitter
        began = time.time_ns()
        enqueued.append((began, queue.enqueue(stamp)))
    latencies = [(job.result(_LONGEST_SECONDS) - began) / 1e6 for began, job in enqueued]
    expect(min(latencies) > 0, "a job started before it was enqueued")
    queue.close()
    return latencies


def claim_costs(url: str, exchanges: int) -> float:
    """Return the median cost in microseconds of an exchange that settles and claims a hundred jobs."""
    queue = SQLiteJob(database=url)
    queue.enqueue_many([call(echo, number) for number in range(_ROOM * exchanges)])
    storage = open_storage(locate(url), "full")
    worker_id = storage.register_worker(("default",), time.time_ns() // 1000, _LEASE)
    outcomes: List[Any] = []
    costs = []
    for _ in range(exchanges + 1):
        began = time.perf_counter()
        wanted = Wanted(("default",), ("echo",), _ROOM)
        claimed = storage.exchange(worker_id, outcomes, wanted, time.time_ns() // 1000).claimed
        costs.append((time.perf_counter() - began) * 1e6)
        outcomes = [complete(job) for job in claimed]
    storage.unregister_worker(worker_id)
    queue.close()
    return median(costs[1:-1] or costs)


# ---- the server


@contextmanager
def _database(server: PostgresServer) -> Iterator[str]:
    name = f"bench_{time.time_ns()}"
    url = server.create_database(name)
    try:
        yield url
    finally:
        server.drop_database(name)


def _execute(url: str, statement: str) -> Sequence[Tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
