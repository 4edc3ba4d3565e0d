"""Results: looked up without waiting, waited for in a thread, and awaited."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sqlite_job import (
    Backoff,
    Cancel,
    DecodeError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobStatus,
    ResultTimeoutError,
    SQLiteJob,
    SQLiteJobError,
    Worker,
    task,
)
from tests.doors.making import DEADLINE, drain, execute, run_all, settings_of, threads_named, wait_until


def echo(value=None):
    return value


def fail(message):
    raise ValueError(message)


def cancel(reason=""):
    raise Cancel(reason)


@pytest.fixture
def settings(database):
    return settings_of(database, echo, fail, cancel)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)


def wait(job, timeout=DEADLINE):
    return job.result(timeout=timeout)


def await_it(job, timeout=DEADLINE):
    return asyncio.run(job.aresult(timeout=timeout))


both = pytest.mark.parametrize("get", [wait, await_it], ids=["result", "aresult"])


@pytest.fixture
def is_watching():
    """Return what tells whether a thread, begun since, watches for commits: so it does while somebody waits."""
    before = threads_named("sqlite-job-commits")
    return lambda: set(threads_named("sqlite-job-commits")) - set(before)


# ---- get_job_result: without waiting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, "", None, [1, {"a": (2,)}], b"\x00", {3}, ValueError], ids=repr)
def test_the_result_of_a_completed_job_is_what_its_function_returned(jobs, settings, value):
    job = jobs.enqueue("echo", value)
    drain(settings)

    assert jobs.get_job_result(job) == value
    assert jobs.get_job_result(job.id) == value


def test_a_job_that_has_not_finished_or_failed_or_was_cancelled_has_no_result(jobs, settings):
    pending = jobs.enqueue("echo", 1)
    scheduled = jobs.with_options(delay=3600).enqueue("echo", 1)
    assert jobs.get_job_result(pending) is None

    failed, cancelled = jobs.enqueue("fail", "no"), jobs.enqueue("cancel")
    drain(settings)

    assert [jobs.get_job_result(job) for job in (scheduled, failed, cancelled)] == [None] * 3


def test_an_unknown_job_is_an_error_that_is_a_value_error(jobs):
    with pytest.raises(JobNotFoundError, match="No job with the id 'no-such-job'") as caught:
        jobs.get_job_result("no-such-job")

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SQLiteJobError)
    assert caught.value.job_id == "no-such-job"


@pytest.mark.parametrize(("column", "changed"), [("codec", "msgpack"), ("value", b"\0")])
def test_a_result_that_cannot_be_decoded_here_is_a_decode_error(jobs, settings, database, column, changed):
    job = jobs.enqueue("echo", 1)
    drain(settings)
    execute(database, f"UPDATE sqlitejob_result SET {column} = ?", changed)

    for get in (jobs.get_job_result, wait, await_it):
        with pytest.raises(DecodeError, match=f"the result of job {job}"):
            get(job)


# ---- result and aresult: how it can end ------------------------------------------------------------------------------


@both
def test_waiting_returns_the_value_of_a_job_that_ends_later(jobs, settings, get):
    job = jobs.enqueue("echo", [1, 2])

    with Worker("default", settings).running_in_background():
        assert get(job) == [1, 2]


@both
def test_waiting_for_a_job_that_has_ended_returns_at_once(jobs, settings, get):
    job = jobs.enqueue("echo", 5)
    drain(settings)

    assert get(job) == 5
    assert get(job, timeout=None) == 5
    assert get(job, timeout=0) == 5


@both
def test_waiting_for_a_failed_job_raises_with_the_traceback_from_where_it_ran(jobs, settings, get):
    job = jobs.enqueue("fail", "no such luck")
    drain(settings)

    with pytest.raises(JobFailedError, match=f"Job {job} failed with ValueError: no such luck") as caught:
        get(job)

    error = caught.value
    assert (error.job_id, error.error_type, error.message) == (job, "ValueError", "no such luck")
    assert "in fail\n" in error.traceback
    assert error.traceback in str(error) + "\n"
    # The frames of the worker are left out: the first one is the function's.
    assert error.traceback.count("  File ") == 1


@both
@pytest.mark.parametrize(("reason", "end"), [("no longer needed", ": no longer needed"), ("", "")])
def test_waiting_for_a_cancelled_job_raises_with_the_reason(jobs, settings, get, reason, end):
    job = jobs.enqueue("cancel", reason)
    drain(settings)

    with pytest.raises(JobCancelledError, match=f"Job {job} was cancelled{end}$") as caught:
        get(job)
    assert caught.value.reason == (reason or None)


@both
@pytest.mark.parametrize("timeout", [0, 0.05])
def test_waiting_ends_after_its_timeout_and_the_job_goes_on(jobs, settings, get, timeout):
    job = jobs.enqueue("echo", 1)

    with pytest.raises(
        ResultTimeoutError, match=rf"Job {job} did not finish within {timeout:g} s; it goes on"
    ) as caught:
        get(job, timeout=timeout)

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job_id == job
    drain(settings)
    assert get(job) == 1


@both
@pytest.mark.parametrize("timeout", [10**6, 10**10, float("inf")])
def test_a_very_long_timeout_is_as_good_as_none(jobs, settings, get, timeout):
    job = jobs.enqueue("echo", 1)

    with Worker("default", settings).running_in_background():
        assert get(job, timeout=timeout) == 1


@both
def test_waiting_for_an_unknown_job_raises_at_once(jobs, get):
    with pytest.raises(JobNotFoundError):
        get(jobs.job("no-such-job"), timeout=None)


@both
def test_waiting_for_a_job_that_is_deleted_meanwhile_raises(jobs, get, is_watching):
    job = jobs.enqueue("echo", 1)
    ended = []

    def wait_for_it():
        try:
            get(job)
        except Exception as error:
            ended.append(error)

    waiter = threading.Thread(target=wait_for_it)
    waiter.start()
    wait_until(is_watching)
    jobs.delete(job)
    waiter.join(DEADLINE)

    assert [type(error) for error in ended] == [JobNotFoundError]


@both
def test_the_failure_of_the_last_try_is_the_one_that_is_raised(database, get):
    tries = []

    def fail_differently():
        tries.append(1)
        raise ValueError(f"try {len(tries)}")

    settings = settings_of(database, fail_differently, max_tries=3, backoff=Backoff(first=0))
    job = SQLiteJob("default", settings).enqueue("fail_differently")
    run_all(settings, job)

    with pytest.raises(JobFailedError, match="try 3"):
        get(job)


# ---- woken, not polled -----------------------------------------------------------------------------------------------


class Gate:
    """A job that waits until the test lets it end."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.opened.wait(DEADLINE)
        return time.monotonic()


@both
def test_a_waiter_is_woken_when_the_job_ends(database, get, is_watching):
    gate = Gate()
    settings = settings_of(database, task(gate, name="gate"))
    job = SQLiteJob("default", settings).enqueue("gate")
    got = []

    def wait_for_it():
        ended = get(job)
        got.append(time.monotonic() - ended)

    waiter = threading.Thread(target=wait_for_it)
    with Worker("default", settings).running_in_background():
        assert gate.entered.wait(DEADLINE)
        waiter.start()
        wait_until(is_watching)
        gate.opened.set()
        waiter.join(DEADLINE)

    # The safety poll comes after 5 s: who returns before it was woken.
    assert len(got) == 1
    assert got[0] < 2


def test_a_waiter_is_woken_by_a_job_that_was_ended_by_a_requeue_of_another_door(database, settings):
    job = SQLiteJob("default", settings).enqueue("fail", "first")
    drain(settings)
    other = SQLiteJob(database=database)

    again = other.requeue(job)

    assert again.status() is JobStatus.PENDING
    with Worker("default", settings).running_in_background(), pytest.raises(JobFailedError, match="first"):
        job.result(timeout=DEADLINE)


def test_200_awaiters_on_one_loop_each_get_their_own_result(jobs, settings):
    async def await_all():
        made = [await jobs.aenqueue("echo", number) for number in range(200)]
        waiting = asyncio.gather(*[job.aresult(timeout=60) for job in made])
        with Worker("default", settings).running_in_background():
            return await waiting

    assert asyncio.run(await_all()) == list(range(200))


def test_awaiting_does_not_block_the_loop(jobs):
    job = jobs.enqueue("echo", 1)
    ticks = []

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    async def both_at_once():
        ticking = asyncio.ensure_future(tick())
        with pytest.raises(ResultTimeoutError):
            await job.aresult(timeout=0.5)
        ticking.cancel()

    asyncio.run(both_at_once())

    assert len(ticks) > 5


def test_awaiters_that_are_cancelled_at_any_time_leave_nothing_behind(jobs, is_watching):
    job = jobs.enqueue("echo", 1)

    async def cancel_once(is_time):
        waiting = asyncio.ensure_future(job.aresult(timeout=60))
        while not is_time():  # noqa: ASYNC110 - the turns of the loop are what is counted
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancel_once(is_watching))
    for turns in (1, 2, 3, 10, 50):
        asyncio.run(cancel_once(iter([False] * turns + [True]).__next__))

    jobs.enqueue("echo", 2)  # wakes the watcher, which finds nobody
    wait_until(lambda: not is_watching())


def test_nobody_watches_any_more_soon_after_the_last_waiter_is_gone(jobs, is_watching):
    for get in (wait, await_it):
        with pytest.raises(ResultTimeoutError):
            get(jobs.enqueue("echo", 1), timeout=0.05)
    assert is_watching()

    jobs.enqueue("echo", 2)
    wait_until(lambda: not is_watching())


@both
def test_closing_the_door_ends_the_watching_at_once(jobs, get, is_watching):
    with pytest.raises(ResultTimeoutError):
        get(jobs.enqueue("echo", 1), timeout=0.05)

    jobs.close()

    wait_until(lambda: not is_watching())


def test_a_failed_job_whose_history_was_deleted_meanwhile_is_still_one_of_our_errors(jobs, settings, database):
    # What a waiter meets when the job is deleted between its two looks.
    job = jobs.enqueue("fail", "no")
    drain(settings)
    execute(database, "DELETE FROM sqlitejob_failure")

    with pytest.raises(SQLiteJobError):
        job.result(timeout=0)


@pytest.mark.parametrize("kind", ["result", "aresult"])
def test_a_waiter_whose_connections_were_closed_still_sees_the_end(database, kind):
    settings = settings_of(database, echo)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("echo", 1)
    found = []
    wait = (lambda: job.result(30)) if kind == "result" else (lambda: asyncio.run(job.aresult(30)))
    waiter = threading.Thread(target=lambda: found.append(wait()))
    waiter.start()
    wait_until(lambda: any(thread.name == "sqlite-job-commits" for thread in threading.enumerate()))
    jobs.close()
    Worker("default", settings).run(burst=True)

    waiter.join(30)
    assert found == [1]
