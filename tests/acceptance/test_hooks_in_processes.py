"""Middleware runs where the job runs, on_failure where the worker is: job processes, and workers that are killed."""

from __future__ import annotations

import os
import signal

import pytest

from sqlite_job import JobFailedError, JobStatus, Middleware, SQLiteJob, Worker, WorkerSettings, current_job, task
from tests.acceptance.processes import DEADLINE, TASKS, wait_until

told = []


class Tagging(Middleware):
    """Says in the metadata who enqueued, and adds to the result who ran."""

    def enqueue(self, job):
        job.meta["enqueued_by"] = os.getpid()

    def run(self, job, proceed):
        return [*proceed(), "around", os.getpid()]

    async def run_async(self, job, proceed):
        return [*await proceed(), "around", os.getpid()]


def look():
    return [current_job().meta["enqueued_by"], os.getpid()]


async def look_later():
    return look()


def crash():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ValueError("in the process")


class InProcesses(WorkerSettings):
    functions = [look, look_later, fail, crash]
    executor = "process"
    max_jobs = 1
    max_deaths = 2
    middleware = [Tagging()]

    def on_failure(self, job, failure):
        told.append((os.getpid(), job.id, job.state.pid, failure.error_type, failure.message))

    def on_startup(self, state):
        state.pid = os.getpid()


class Mixed(InProcesses):
    functions = [task(look, executor="thread"), look_later]


def run(settings, *names):
    jobs = SQLiteJob("default", settings)
    handles = [jobs.enqueue(name) for name in names]
    Worker("default", settings).run(burst=True)
    return handles


def test_middleware_wraps_the_function_in_its_process(database):
    handles = run(InProcesses(database), "look", "look_later")

    for job in handles:
        enqueued_by, ran_in, around, wrapped_in = job.result(DEADLINE)
        assert (enqueued_by, around, wrapped_in) == (os.getpid(), "around", ran_in)
        assert ran_in != os.getpid()


def test_middleware_wraps_each_function_where_that_one_runs(database):
    here, there = (job.result(DEADLINE) for job in run(Mixed(database), "look", "look_later"))

    assert here[1] == here[3] == os.getpid()
    assert there[1] == there[3] != os.getpid()


def test_on_failure_is_called_in_the_worker_for_what_failed_in_a_process(database):
    told.clear()
    (job,) = run(InProcesses(database), "fail")

    assert told == [(os.getpid(), job, os.getpid(), "ValueError", "in the process")]


def test_on_failure_is_called_once_for_a_job_that_killed_its_process_too_often(database):
    told.clear()
    (job,) = run(InProcesses(database), "crash")

    assert (job.status(), job.info().deaths) == (JobStatus.FAILED, 2)
    ((_, told_of, _, error_type, message),) = told
    assert (told_of, error_type) == (job, "WorkerDied")
    assert "SIGKILL" in message


def test_a_worker_that_rescues_is_told_of_a_job_that_lost_its_last_worker(place, jobs):
    place.write(
        "tasks.py",
        f"{TASKS}\n"
        "class Telling(Settings):\n"
        "    max_deaths = 1\n"
        "    def on_failure(self, job, failure):\n"
        "        print('told of', job.id, job.tags, failure.error_type, flush=True)\n",
    )
    first = place.worker("Telling")
    job = jobs.with_options(tags=["a"]).enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    second = place.worker("Telling")
    first.send(signal.SIGKILL)

    second.wait_for_line(f"told of {job} ('a',) WorkerDied")
    with pytest.raises(JobFailedError, match="WorkerDied"):
        job.result(DEADLINE)
    second.send(signal.SIGTERM)
    assert second.wait() == 0
    assert sum("told of" in line for line in second.lines) == 1
