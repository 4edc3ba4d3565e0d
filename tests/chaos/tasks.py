"""The jobs of a chaos run: each writes down that it started and, if it gets so far, that it ended."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import time

from sqlite_job import Backoff, Limit, Snooze, WorkerSettings, current_job, task
from sqlite_job.core.events import (
    JobsClaimed,
    JobsRescued,
    JobsSettled,
    OutcomesStale,
    WorkerExpelled,
    WorkerStarted,
)
from tests.chaos.history import Log

FOLDER_VARIABLE = "SQLITE_JOB_CHAOS_FOLDER"

# How each function must end, whatever happens around it.
EXPECTED = {
    "quick": "completed",
    "slow": "completed",
    "nap": "completed",
    "flaky": "completed",
    "dozy": "completed",
    "lone": "completed",
    "doomed": "failed",
    "poison": "failed",
}
MAX_TRIES = 3


@functools.lru_cache(None)
def log_of(folder, _pid):
    return Log(os.path.join(folder, "history"))


def log():
    """Return the log of this run and process: after a fork it has a descriptor of its own."""
    return log_of(os.environ[FOLDER_VARIABLE], os.getpid())


def note(kind, key):
    job = current_job()
    log().write("effect", kind=kind, job=job.id, key=key, claim=job._job.claim_number)


def quick(key):
    note("start", key)
    note("end", key)
    return key


def slow(key, seconds):
    note("start", key)
    time.sleep(seconds)
    note("end", key)
    return key


async def nap(key, seconds):
    note("start", key)
    await asyncio.sleep(seconds)
    note("end", key)
    return key


def flaky(key):
    note("start", key)
    if current_job().tries < MAX_TRIES:
        raise ValueError("not yet")
    note("end", key)
    return key


def dozy(key):
    note("start", key)
    if current_job()._job.claim_number % 2:
        raise Snooze(0.05)
    note("end", key)
    return key


def group_of(key):
    """Tell which of two groups a job is of: no two of one may run at once."""
    return "odd" if int(key.rpartition(".")[2]) % 2 else "even"


def lone(key):
    note("start", key)
    time.sleep(random.uniform(0.0, 0.01))
    note("end", key)
    return key


def doomed(key):
    note("start", key)
    raise ValueError("never")


def poison(key):
    note("start", key)
    log().fault("kill", os.getpid(), "poison")
    os.kill(os.getpid(), signal.SIGKILL)


class Threads(WorkerSettings):
    functions = [quick, slow, nap, flaky, dozy, doomed, poison, task(lone, concurrency=Limit(1, key=group_of))]
    serializer = "json"
    max_tries = MAX_TRIES
    backoff = Backoff(first=0.05, max=0.2)
    lease = 3
    max_jobs = 6
    # So many deaths by our own hand no innocent job has; poison has them within seconds.
    max_deaths = 8
    shutdown_timeout = 2


class Processes(Threads):
    executor = "process"
    max_jobs = 2


def record(event):
    """Write down what a worker says of itself."""
    kind = type(event)
    if kind is JobsClaimed:
        log().write("claimed", worker=record.worker_id, jobs=[(job.id, job.claim_number) for job in event.jobs])
    elif kind is JobsSettled:
        jobs = [(job.id, outcome.claim_number, type(outcome).__name__) for job, outcome in event.settled]
        log().write("settled", jobs=jobs)
    elif kind is OutcomesStale:
        log().write("stale", outcomes=[(outcome.seq, outcome.claim_number) for outcome in event.outcomes])
    elif kind is JobsRescued:
        log().write("rescued", jobs=[(job.id, job.worker_id) for job in event.jobs])
    elif kind in (WorkerStarted, WorkerExpelled):
        record.worker_id = event.worker_id if kind is WorkerStarted else event.new_id
        log().write("worker", worker=record.worker_id)
