"""Progress, from the job that says it to whoever asks, for each way to run a job."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
import time

import pytest

from sqlite_job import (
    Backoff,
    Inspector,
    JobNotFoundError,
    JobStatus,
    SQLiteJob,
    Worker,
    WorkerSettings,
    current_job,
    task,
)
from tests.doors.making import DEADLINE, run_all, settings_of, wait_until

CALLS = 100_000
AT_ONCE = Backoff(first=0, factor=1, max=0, jitter=0)


def count_plainly(calls):
    job = current_job()
    for done in range(1, calls + 1):
        job.progress(done, calls, f"row {done}")


async def count_as_coroutine(calls):
    await asyncio.sleep(0)
    count_plainly(calls)


def say_until(release):
    """Say something as often as it can, until told to end; return how often."""
    job, calls = current_job(), 0
    while not os.path.exists(release):
        calls += 1
        job.progress(calls)
    return calls


async def say_until_as_coroutine(release):
    job, calls = current_job(), 0
    while not os.path.exists(release):  # noqa: ASYNC240 - a file of /tmp
        calls += 1
        job.progress(calls)
        if not calls % 1_000:
            await asyncio.sleep(0)
    return calls


def say_once_and_hold(release):
    current_job().progress(1, 2, "said once")
    while not os.path.exists(release):
        time.sleep(0.005)


def say_on_each_try(first):
    """Fail on the first try, and on the second say nothing, or something else."""
    if current_job().tries == 1:
        current_job().progress(5, 10, "first try")
        raise ValueError
    if first:
        current_job().progress(1, 10, "second try")


class Settings(WorkerSettings):
    functions = [
        task(count_plainly, name="count thread"),
        task(count_as_coroutine, name="count coroutine"),
        task(count_plainly, name="count process", executor="process"),
        task(say_until, name="say thread"),
        task(say_until_as_coroutine, name="say coroutine"),
        task(say_until, name="say process", executor="process"),
        task(say_once_and_hold, name="hold thread"),
        task(say_once_and_hold, name="hold process", executor="process"),
        task(say_on_each_try, max_tries=2),
    ]
    shutdown_timeout = 5


kinds = pytest.mark.parametrize("kind", ["thread", "coroutine", "process"])


def commits_in_journal(database):
    """Count the commits that are in the -wal: each one's last frame says how many pages the database then had."""
    with open(f"{database}-wal", "rb") as file:
        data = file.read()
    _, _, page_size, _, salts = struct.unpack_from(">IIII8s", data)
    frames = range(32, len(data) - 24 - page_size + 1, 24 + page_size)
    return sum(data[start + 8 : start + 16] == salts and data[start + 4 : start + 8] != bytes(4) for start in frames)


@pytest.mark.files("it counts the commits in the -wal")
@kinds
def test_of_very_many_calls_the_last_one_counts_and_few_are_written(database, kind):
    settings = Settings(database)
    job = SQLiteJob("default", settings).enqueue(f"count {kind}", CALLS)
    before, started = commits_in_journal(database), time.monotonic()
    (info,) = run_all(settings, job)
    seconds = time.monotonic() - started

    assert info.status is JobStatus.COMPLETED
    found = job.progress()
    assert (found.done, found.total, found.message) == (CALLS, CALLS, f"row {CALLS}")
    assert info.started_at <= found.updated_at <= info.finished_at
    # The worker registers, claims, settles and leaves; and writes progress twice a second at most.
    assert commits_in_journal(database) - before <= 6 + 2 * seconds


@pytest.mark.files("it counts the commits in the -wal")
@kinds
def test_progress_is_seen_while_the_job_runs_and_written_twice_a_second_at_most(database, tmp_path, kind):
    settings = Settings(database)
    release = tmp_path / "release"
    job = SQLiteJob("default", settings).enqueue(f"say {kind}", str(release))
    seen = set()

    def look():
        found = job.progress()
        if found is not None:
            seen.add(found.done)
        return len(seen) >= 4

    with Worker("default", settings).running_in_background():
        wait_until(lambda: job.progress() is not None)
        before, started = commits_in_journal(database), time.monotonic()
        wait_until(look)
        written, seconds = commits_in_journal(database) - before, time.monotonic() - started
        release.touch()
        calls = job.result(DEADLINE)

    assert calls > 1_000
    assert written <= 1 + 2 * seconds + 1  # one was due already, and heartbeats are ten seconds apart
    assert job.progress().done == calls


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_single_call_is_seen_although_the_job_says_nothing_more(database, tmp_path, kind):
    settings = Settings(database)
    release = tmp_path / "release"
    job = SQLiteJob("default", settings).enqueue(f"hold {kind}", str(release))
    with Worker("default", settings).running_in_background():
        wait_until(lambda: job.progress() is not None)
        assert job.status() is JobStatus.RUNNING
        assert (job.progress().fraction, job.progress().message) == (0.5, "said once")
        release.touch()
        job.result(DEADLINE)


@pytest.mark.parametrize(("says_again", "done", "message"), [(False, 5, "first try"), (True, 1, "second try")])
def test_the_progress_of_a_try_stays_until_the_next_one_says_something(database, says_again, done, message):
    settings = settings_of(database, task(say_on_each_try, max_tries=2, backoff=AT_ONCE))
    job = SQLiteJob("default", settings).enqueue("say_on_each_try", says_again)
    (info,) = run_all(settings, job)

    assert (info.status, info.tries) == (JobStatus.COMPLETED, 2)
    assert (job.progress().done, job.progress().message) == (done, message)


def test_a_failed_job_keeps_its_last_progress_and_a_wrong_call_is_a_failure_with_the_mend(database):
    def work():
        current_job().progress(2, 4)
        current_job().progress("3", 4)

    settings = settings_of(database, work)
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)

    assert info.error == "TypeError: done is a number, not '3'; count what is done, as 3 or 0.5"
    assert job.progress().done == 2


def test_a_thread_of_the_job_may_say_it_too(database):
    def work():
        thread = threading.Thread(target=current_job().progress, args=(1, 3))
        thread.start()
        thread.join()

    settings = settings_of(database, work)
    job = SQLiteJob("default", settings).enqueue("work")
    run_all(settings, job)
    assert job.progress().fraction == pytest.approx(1 / 3)


def test_hooks_may_say_it_and_the_end_of_a_job_is_written(database):
    settings = settings_of(
        database,
        task(lambda: None, name="work"),
        on_job_start=lambda job: job.progress(0, 2, "starting"),
        on_job_end=lambda job: job.progress(2, 2, "ended"),
    )
    job = SQLiteJob("default", settings).enqueue("work")
    run_all(settings, job)
    assert job.progress().message == "ended"


def test_all_doors_tell_the_same(database):
    settings = settings_of(database, task(lambda: current_job().progress(1), name="work"))
    jobs = SQLiteJob("default", settings)
    job, silent = jobs.enqueue("work"), jobs.with_options(delay=99).enqueue("work")
    run_all(settings, job)

    found = job.progress()
    assert (found.done, found.total, found.message, found.fraction) == (1.0, None, None, None)
    assert jobs.progress(job) == Inspector(database).progress(job) == found
    assert silent.progress() is None
    for door in (jobs, Inspector(database)):
        with pytest.raises(JobNotFoundError):
            door.progress("unknown")


def test_who_waits_hears_of_it(database, tmp_path):
    settings = Settings(database)
    release = tmp_path / "release"
    job = SQLiteJob("default", settings).enqueue("hold thread", str(release))
    heard = []

    def hear(progress):
        heard.append(progress.message)
        release.touch()

    with Worker("default", settings).running_in_background():
        info = Inspector(database).wait(job, DEADLINE, on_progress=hear)
    assert info.status is JobStatus.COMPLETED
    assert set(heard) == {"said once"}
