from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import Inspector, JobStatus, SQLiteJob, Worker
from sqlite_job.core.clock import SystemClock, elapsed
from sqlite_job.testing import FakeClock, drain, fake_time
from tests.testing import tasks

START = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)
DEADLINE = 20


# ---- the clock


def test_a_clock_stands_still_until_it_is_moved():
    clock = FakeClock(START)

    assert (clock.now(), clock.now()) == (START, START)
    assert clock.advance(90) == clock.now() == START + timedelta(seconds=90)
    assert clock.advance(timedelta(days=3)) == START + timedelta(days=3, seconds=90)
    assert clock.advance(0.5).microsecond == 500_000


def test_a_clock_moves_to_any_moment_of_any_zone():
    clock = FakeClock(START)
    paris = timezone(timedelta(hours=1))

    assert clock.move_to(datetime(2030, 2, 1, tzinfo=paris)) == datetime(2030, 1, 31, 23, tzinfo=timezone.utc)
    assert clock.now().tzinfo is timezone.utc
    assert clock.move_to(START - timedelta(days=1)) == START - timedelta(days=1)


def test_a_clock_begins_at_the_present():
    before = datetime.now(timezone.utc)

    assert before <= FakeClock().now() <= datetime.now(timezone.utc)


def test_a_clock_shows_its_time():
    assert repr(FakeClock(START)) == "<FakeClock 2030-01-31T12:00:00+00:00>"


def test_many_threads_can_advance_one_clock():
    clock = FakeClock(START)
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clock.now() == START + timedelta(seconds=2000)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: FakeClock("2030-01-31"), TypeError, "start is an aware datetime, as .*, not '2030-01-31'"),
        (lambda: FakeClock(datetime(2030, 1, 31)), ValueError, "has no time zone"),  # noqa: DTZ001
        (lambda: FakeClock(START).move_to(3), TypeError, "moment is an aware datetime, as .*, not 3"),
        (lambda: FakeClock(START).move_to(datetime(2030, 1, 31)), ValueError, "has no time zone"),  # noqa: DTZ001
        (lambda: FakeClock(START).advance(-1), ValueError, "a duration is from 0 up"),
        (lambda: FakeClock(START).advance("1"), TypeError, "a number of seconds or a timedelta, not '1'"),
        (lambda: fake_time("now").__enter__(), TypeError, "start is an aware datetime"),
    ],
)
def test_what_is_no_time_is_an_error_with_the_mend(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


# ---- the time of the process


def test_everything_that_is_enqueued_has_the_time_of_the_clock(settings, jobs):
    with fake_time(START) as clock:
        job = SQLiteJob(database=settings.location).enqueue("add", 1)
        clock.advance(60)
        later = jobs.with_options(delay=3600).enqueue(tasks.add, 1)
        drain(settings)

    assert job.info().created_at == START
    assert job.info().started_at == job.info().finished_at == START + timedelta(seconds=60)
    assert later.info().run_at == START + timedelta(seconds=3660)


def test_the_process_has_its_own_time_again_after_the_block(jobs):
    with pytest.raises(RuntimeError), fake_time(START):
        raise RuntimeError

    assert jobs.enqueue(tasks.add, 1).info().created_at > START - timedelta(days=3650)
    assert abs(SystemClock().now() / 1e6 - datetime.now(timezone.utc).timestamp()) < 60


def test_blocks_may_lie_in_one_another():
    with fake_time(START) as outer, fake_time(START + timedelta(days=1)) as inner:
        assert SystemClock().now() == inner.microseconds()
        with fake_time(outer):
            assert SystemClock().now() == outer.microseconds()
        assert SystemClock().now() == inner.microseconds()


def test_waiting_keeps_to_real_time(jobs):
    with fake_time(START) as clock:
        before = elapsed()
        clock.advance(3600)

        assert elapsed() - before < 60


def test_three_days_later_what_was_scheduled_runs(settings, jobs):
    with fake_time(START) as clock:
        reminder = jobs.with_options(delay=timedelta(days=3)).enqueue(tasks.add, 1)
        assert drain(settings).runs == 0

        clock.advance(timedelta(days=3))

        assert drain(settings).runs == 1
    assert reminder.info().finished_at == START + timedelta(days=3)


def test_tries_keep_to_the_back_off(settings, jobs):
    with fake_time(START) as clock:
        job = jobs.enqueue(tasks.fail_until, 3)
        drain(settings)
        assert job.info().run_at == START + timedelta(seconds=600)
        clock.advance(599)
        assert drain(settings).runs == 0
        clock.advance(1)
        assert drain(settings).runs == 1
        assert job.info().run_at == START + timedelta(seconds=600 + 1200)
        clock.advance(1200)
        assert drain(settings).counts == {"completed": 1}


def test_a_worker_in_the_background_goes_by_the_clock_too(settings, jobs):
    with Worker("default", settings).running_in_background():
        early = jobs.enqueue(tasks.add, 1)
        early.result(timeout=DEADLINE)
        with fake_time() as clock:
            job = jobs.with_options(delay=timedelta(days=3)).enqueue(tasks.add, 1)
            assert job.status() is JobStatus.SCHEDULED
            clock.advance(timedelta(days=3))

            assert job.result(timeout=DEADLINE) == 1
            assert job.info().finished_at == clock.now()


def test_a_forgotten_worker_is_rescued_from_when_its_lease_has_run_out(settings, jobs):
    """The lease is in stored times, so a test can let it run out."""
    job = jobs.enqueue(tasks.add, 1)
    die = f"""
import os
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.opening import open_storage
from sqlite_job.core.clock import SystemClock
storage = open_storage({settings.location!r}, "full")
now = SystemClock().now()
worker = storage.register_worker(("default",), now, 30_000_000)
assert storage.exchange(worker, [], Wanted(("default",), ("add",), 1), now).claimed
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", die], check=True, env=os.environ)
    assert job.status() is JobStatus.RUNNING

    assert drain(settings).counts == {"completed": 1}
    assert job.info().deaths == 1
    assert Inspector(settings.location).workers() == []
