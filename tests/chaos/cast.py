"""The processes of a chaos run, each forked from one that has imported everything: a start costs nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from typing import Callable, Iterator, List, Tuple

from sqlite_job import JobStatus, SQLiteJob, Worker, call
from tests.chaos.history import Log
from tests.chaos.tasks import Processes, Threads, log, record

# Above so many waiting jobs producers rest: the run is about faults, and should drain soon after the last one.
_MOST_WAITING = 400

# One of these is drawn for each job; poison has its own clock.
_KINDS = ("quick",) * 6 + ("slow",) * 5 + ("nap",) * 5 + ("flaky", "flaky", "dozy", "doomed")


def fork(run: Callable[[], object], output: str) -> int:
    """Run something in a child process, which ends with it, and return its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        descriptor = os.open(output, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        random.seed()
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def work(database: str, kind: str) -> None:
    """Be a worker until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    settings = {"threads": Threads, "processes": Processes}[kind]
    worker = Worker("default", settings(database))
    worker.subscribe(record)
    worker.run()


def produce(database: str, kind: str, stop: str) -> None:
    """Enqueue until a file is there, writing down each batch before and after."""
    jobs = SQLiteJob("default", database=database, serializer="json")
    names = (f"{os.getpid()}.{time.time_ns()}.{number}" for number in itertools.count())
    if random.random() < 0.25:
        _enqueue_one(jobs, next(names), "poison")
    if kind == "async":
        asyncio.run(_produce_async(jobs, names, stop))
        return
    for number in itertools.count():
        if os.path.exists(stop):
            break
        if number % 20 == 0:
            _rest_while_full(jobs)
        if kind == "bulk":
            _enqueue_bulk(jobs, [(next(names), random.choice(_KINDS)) for _ in range(40)])
            time.sleep(0.2)
        else:
            _enqueue_one(jobs, next(names), random.choice(_KINDS))
            time.sleep(0.01)
    jobs.close()


def observe(database: str, stop: str) -> None:
    """Look at the database and its files from outside; now and then be a long reader, or hold the write lock."""
    connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True, isolation_level=None, timeout=30)
    for number in itertools.count():
        if os.path.exists(stop):
            break
        time.sleep(0.25)
        _observe(connection, database)
        if number % 40 == 20:  # a read transaction of two seconds
            connection.execute("BEGIN")
            _observe(connection, database)
            time.sleep(2)
            connection.execute("COMMIT")
        if number % 60 == 50:  # a stranger's write lock of one second
            log().fault("lock", os.getpid(), "stranger")
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(1)
            connection.execute("COMMIT")
            log().fault("unlock", os.getpid(), "stranger")
    connection.close()


def _observe(connection: sqlite3.Connection, database: str) -> None:
    found = connection.execute(
        "SELECT id, status, claim_number, deaths, worker_id FROM sqlitejob_job WHERE status = 'running'"
        " UNION ALL SELECT id, status, claim_number, deaths, worker_id FROM sqlitejob_job WHERE finished_at > ?",
        [time.time_ns() // 1000 - 500_000],
    ).fetchall()
    log().write("observed", rows=found)
    log().write("journal", size=_size(f"{database}-wal"))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _enqueue_one(jobs: SQLiteJob, key: str, kind: str) -> None:
    log().intend(key, [(key, kind)])
    job = jobs.enqueue(kind, *_arguments(key, kind))
    log().acknowledge(key, [(job.id, key)])


def _enqueue_bulk(jobs: SQLiteJob, wanted: List[Tuple[str, str]]) -> None:
    batch = f"batch-{wanted[0][0]}"
    log().intend(batch, wanted)
    made = jobs.enqueue_many([call(kind, *_arguments(key, kind)) for key, kind in wanted])
    log().acknowledge(batch, [(job.id, key) for job, (key, _) in zip(made, wanted)])


async def _produce_async(jobs: SQLiteJob, names: Iterator[str], stop: str) -> None:
    async def enqueue(key: str, kind: str) -> None:
        log().intend(key, [(key, kind)])
        job = await jobs.aenqueue(kind, *_arguments(key, kind))
        log().acknowledge(key, [(job.id, key)])

    while not os.path.exists(stop):  # noqa: ASYNC240 - a look takes a microsecond
        await asyncio.get_running_loop().run_in_executor(None, _rest_while_full, jobs)
        await asyncio.gather(*(enqueue(next(names), random.choice(_KINDS)) for _ in range(10)))
        await asyncio.sleep(0.1)


def _arguments(key: str, kind: str) -> Tuple[object, ...]:
    return (key, random.uniform(0.005, 0.1)) if kind in {"slow", "nap"} else (key,)


def _rest_while_full(jobs: SQLiteJob) -> None:
    while jobs.counts()[JobStatus.PENDING] > _MOST_WAITING:
        time.sleep(0.1)


def reap(log_: Log, pid: int, role: str, *, wait: bool) -> bool:
    """Write down how a process ended; False when it has not."""
    found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    if not found:
        return False
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    log_.write("ended", target=pid, role=role, code=code)
    return True


def send(pid: int, number: int) -> bool:
    """Send a signal; False when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def thaw_and_kill(pid: int) -> None:
    send(pid, signal.SIGKILL)
    send(pid, signal.SIGCONT)
