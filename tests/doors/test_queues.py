"""Pausing queues and serving several of them, through the doors."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import (
    Inspector,
    InvalidNameError,
    InvalidOptionError,
    JobStatus,
    SQLiteJob,
    Worker,
    call,
    current_job,
    task,
)
from tests.doors.making import DEADLINE, drain, settings_of, wait_until

ran = []


def note(value=None):
    ran.append(current_job().queue)
    return value


@pytest.fixture
def settings(database):
    ran.clear()
    return settings_of(database, note, max_jobs=1)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)


# ---- pause and resume ------------------------------------------------------------------------------------------------


def test_a_paused_queue_waits_until_it_is_resumed(jobs, settings):
    job = jobs.enqueue("note", 1)
    assert jobs.pause() is True
    assert jobs.pause() is False
    assert drain(settings) == 0
    assert job.status() is JobStatus.PENDING
    assert jobs.resume() is True
    assert jobs.resume() is False
    assert drain(settings) == 1


def test_the_doors_queue_is_the_default_and_any_other_may_be_given(jobs):
    jobs.pause("mail")

    assert list(jobs.paused_queues()) == list(Inspector(jobs._database).paused_queues()) == ["mail"]
    assert SQLiteJob("mail", database=jobs._database).resume() is True
    assert jobs.paused_queues() == {}


def test_since_when_a_queue_is_paused_is_an_aware_time(jobs):
    before = datetime.now(timezone.utc)
    jobs.pause()
    since = jobs.paused_queues()["default"]

    assert before - timedelta(seconds=1) < since < datetime.now(timezone.utc) + timedelta(seconds=1)


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_cannot_be_a_queue_cannot_be_paused(jobs, verb):
    with pytest.raises(InvalidNameError, match="queue name must not be empty"):
        getattr(jobs, verb)("")


def test_an_idle_worker_takes_the_jobs_the_moment_their_queue_is_resumed(jobs, settings):
    jobs.pause()
    handles = jobs.enqueue_many([call("note", number) for number in range(3)])
    settings.poll_delay = 60  # only the resume itself wakes it
    with Worker("default", settings).running_in_background():
        probe = SQLiteJob("default", settings)
        wait_until(lambda: Inspector(settings.location).workers())
        assert [job.status() for job in handles] == [JobStatus.PENDING] * 3
        probe.resume()
        assert [job.result(DEADLINE) for job in handles] == [0, 1, 2]


def test_running_jobs_end_while_their_queue_is_paused_and_nothing_new_starts(database):
    started, release = threading.Event(), threading.Event()

    def hold():
        started.set()
        assert release.wait(DEADLINE)
        return "ended"

    settings = settings_of(database, hold, max_jobs=1)
    jobs = SQLiteJob("default", settings)
    first, second = jobs.enqueue("hold"), jobs.enqueue("hold")
    with Worker("default", settings).running_in_background():
        assert started.wait(DEADLINE)
        jobs.pause()
        release.set()
        assert first.result(DEADLINE) == "ended"
        assert second.status() is JobStatus.PENDING
        jobs.resume()
        assert second.result(DEADLINE) == "ended"


def test_short_jobs_that_were_claimed_ahead_do_not_start_after_the_pause_is_seen(database):
    """Hundreds are held ahead; a job pauses its own queue, and the rest goes back with its tries."""

    def work(number):
        if number == 300:
            jobs.pause()

    settings = settings_of(database, work, max_jobs=1)
    jobs = SQLiteJob("default", settings)
    jobs.enqueue_many([call("work", number) for number in range(3000)])
    ended = drain(settings)

    counts = jobs.counts()
    # What was taken before the worker heard of it: at most what it holds, 50 ms of work.
    assert 301 <= ended == counts[JobStatus.COMPLETED] < 1500
    assert counts[JobStatus.PENDING] == 3000 - ended
    assert {job.tries for job in jobs.list_jobs(status="pending", limit=5000)} == {0}


def test_scheduled_jobs_of_a_paused_queue_wait_as_pending(jobs, settings):
    jobs.pause()
    job = jobs.with_options(delay=0.05).enqueue("note")
    with Worker("default", settings).running_in_background():
        wait_until(lambda: job.status() is JobStatus.PENDING)
    assert ran == []


# ---- queues by weight ------------------------------------------------------------------------------------------------


def fill(jobs, *queues, each):
    for queue in queues:
        jobs.with_options(queue=queue).enqueue_many([call("note") for _ in range(each)])


def test_full_queues_are_served_in_the_ratio_of_their_weights(jobs, settings):
    fill(jobs, "high", "default", each=1000)

    worker = Worker({"high": 3, "default": 1}, settings)
    assert worker.queues == ("high", "default")
    assert worker.run(burst=True) == 2000
    # While both are full. A claim for one free slot is left to chance, one for many is exact, and comes mixed.
    for start in range(0, 500, 100):
        assert 65 <= ran[start : start + 100].count("high") <= 85


def test_a_list_of_queues_is_still_served_in_strict_order(jobs, settings):
    fill(jobs, "default", "high", each=40)

    Worker(["high", "default"], settings).run(burst=True)
    assert ran == ["high"] * 40 + ["default"] * 40


def test_one_queue_with_a_weight_is_just_that_queue(jobs, settings):
    jobs.enqueue("note")
    assert Worker({"default": 7}, settings).run(burst=True) == 1


@pytest.mark.parametrize("weight", [0, -1, 1.5, "3", None, True, 2**70])
def test_a_weight_that_is_no_whole_number_from_one_is_refused_with_its_queue(settings, weight):
    with pytest.raises(InvalidOptionError, match="the weight of queue 'high' is a whole number from 1, not "):
        Worker({"default": 1, "high": weight}, settings)


def test_weights_of_what_cannot_be_queues_are_refused(settings):
    with pytest.raises(InvalidNameError, match="serves one queue or several"):
        Worker({}, settings)
    with pytest.raises(InvalidNameError, match="queue name must be text"):
        Worker({3: "high"}, settings)


def test_a_function_of_its_own_queue_is_paused_with_it(database):
    settings = settings_of(database, task(note, queue="mail"))
    jobs = SQLiteJob("default", settings)
    jobs.pause("mail")
    jobs.enqueue("note")

    assert Worker(["default", "mail"], settings).run(burst=True) == 0
