"""What the tests of the helpers enqueue: jobs that say where and when they ran, and jobs that do not end well."""

from __future__ import annotations

import asyncio
import threading

from sqlite_job import Backoff, Cancel, Snooze, SQLiteJob, WorkerSettings, current_job, task

ran = []  # what the jobs of the present test have noted


def add(a, b=0):
    return a + b


async def add_later(a, b=0):
    await asyncio.sleep(0)
    return a + b


def note(what):
    ran.append(what)


def where():
    return threading.current_thread() is threading.main_thread()


def enqueue_more(database, *whats):
    jobs = SQLiteJob("default", Settings(database))
    return [str(jobs.enqueue(note, what)) for what in whats]


def ask_for_a_result(database, a):
    return SQLiteJob("default", Settings(database)).enqueue(add, a, 1).result(timeout=10)


async def ask_for_a_coroutine(database, depth):
    jobs = SQLiteJob("default", Settings(database))
    return 1 + jobs.enqueue(ask_for_a_coroutine, database, depth - 1).result(timeout=10) if depth else 0


async def await_a_coroutine(database, depth):
    jobs = SQLiteJob("default", Settings(database))
    if not depth:
        return 0
    job = await jobs.aenqueue(await_a_coroutine, database, depth - 1)
    return 1 + await job.aresult(timeout=10)


def ask_for_itself(database):
    SQLiteJob("default", Settings(database)).enqueue(ask_for_itself, database)


async def await_itself(database):
    await SQLiteJob("default", Settings(database)).aenqueue(await_itself, database)


def run_a_loop():
    return asyncio.run(add_later(1, 2))


def fail(message="no"):
    raise ValueError(message)


def fail_until(tries):
    if current_job().tries < tries:
        raise ConnectionError(f"try {current_job().tries}")
    return current_job().tries


def snooze(seconds):
    raise Snooze(seconds)


def cancel():
    raise Cancel("no need")


def leave():
    raise KeyboardInterrupt


class Settings(WorkerSettings):
    shutdown_timeout = 1
    backoff = Backoff(first=600, factor=2, jitter=0)
    functions = [
        *(add, add_later, note, where, run_a_loop),
        *(enqueue_more, ask_for_a_result, ask_for_a_coroutine, await_a_coroutine, ask_for_itself, await_itself),
        *(fail, snooze, cancel, leave),
        task(fail_until, max_tries=3),
        task(note, name="note_elsewhere", queue="elsewhere"),
        task(where, name="where_in_a_process", executor="process"),
    ]
