"""The processes of a chaos run, each forked from one that has imported everything: a start costs nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import signal
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from sqlite_job import DatabaseUnavailableError, Job, JobStatus, SQLiteJob, Worker, WorkerSettings, call
from tests.chaos.history import Log
from tests.chaos.places import named
from tests.chaos.record import is_server
from tests.chaos.tasks import Processes, Threads, log, record

# Above so many waiting jobs producers rest: the run is about faults, and should drain soon after the last one.
_MOST_WAITING = 400

# One of these is drawn for each job; poison has its own clock.
_KINDS = ("quick",) * 6 + ("slow",) * 5 + ("nap",) * 5 + ("flaky", "flaky", "dozy", "doomed", "lone", "lone")


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
    worker = Worker("default", settings(named(database)))
    worker.subscribe(record)
    worker.run()


def produce(database: str, kind: str, stop: str) -> None:
    """Enqueue until a file is there, writing down each batch before and after."""
    # One does not know the settings: what it enqueues of a limited function, the first worker to claim it puts back.
    producer = Producer(database, None if kind == "bulk" else Threads(named(database)))
    if random.random() < 0.25:
        producer.enqueue_one("poison")
    if kind == "async":
        asyncio.run(producer.enqueue_tens(stop))
        return
    for number in itertools.count():
        if os.path.exists(stop):
            break
        if number % 20 == 0:
            producer.rest_while_full()
        if kind == "bulk":
            producer.enqueue_bulk()
            time.sleep(0.2)
        else:
            producer.enqueue_one(random.choice(_KINDS))
            time.sleep(0.01)
    producer.close()


class Producer:
    """Enqueues, each job under a name that nobody else has."""

    def __init__(self, database: str, settings: Optional[WorkerSettings]) -> None:
        options = {} if settings else {"database": named(database), "serializer": "json"}
        self._jobs = SQLiteJob("default", settings, **options)
        self._names = (f"{os.getpid()}.{time.time_ns()}.{number}" for number in itertools.count())
        # A file does not go away, a server does: what was to be enqueued may be there then, or not.
        self._outlasted = (DatabaseUnavailableError,) if is_server(database) else ()

    def close(self) -> None:
        self._jobs.close()

    def enqueue_one(self, kind: str) -> None:
        key = next(self._names)
        with self._telling(key, [(key, kind)]) as made:
            made.append(self._jobs.enqueue(kind, *_arguments(key, kind)))

    def enqueue_bulk(self) -> None:
        wanted = [(next(self._names), random.choice(_KINDS)) for _ in range(40)]
        with self._telling(f"batch-{wanted[0][0]}", wanted) as made:
            made.extend(self._jobs.enqueue_many([call(kind, *_arguments(key, kind)) for key, kind in wanted]))

    async def enqueue_tens(self, stop: str) -> None:
        while not os.path.exists(stop):  # noqa: ASYNC240 - a look takes a microsecond
            await asyncio.get_running_loop().run_in_executor(None, self.rest_while_full)
            await asyncio.gather(*(self._enqueue_async(random.choice(_KINDS)) for _ in range(10)))
            await asyncio.sleep(0.1)

    def rest_while_full(self) -> None:
        with suppress(*self._outlasted):
            while self._jobs.counts()[JobStatus.PENDING] > _MOST_WAITING:
                time.sleep(0.1)

    async def _enqueue_async(self, kind: str) -> None:
        key = next(self._names)
        with self._telling(key, [(key, kind)]) as made:
            made.append(await self._jobs.aenqueue(kind, *_arguments(key, kind)))

    @contextmanager
    def _telling(self, batch: str, wanted: Sequence[Tuple[str, str]]) -> Iterator[List[Job]]:
        """Write down what is about to be enqueued, and then what was made."""
        made: List[Job] = []
        log().intend(batch, wanted)
        try:
            yield made
        except self._outlasted:
            log().write("refused")
        else:
            log().acknowledge(batch, [(job.id, key) for job, (key, _) in zip(made, wanted)])


def _arguments(key: str, kind: str) -> Tuple[object, ...]:
    return (key, random.uniform(0.005, 0.1)) if kind in {"slow", "nap"} else (key,)


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
