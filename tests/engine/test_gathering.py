"""Short jobs that were claimed ahead run one after the other, and none of them waits for a long one."""

from __future__ import annotations

import threading

import pytest

from sqlite_job import SQLiteJob, call
from sqlite_job.core.clock import SystemClock, elapsed
from sqlite_job.core.outcomes import Returned
from sqlite_job.engine.executors.threads import ThreadExecutor
from sqlite_job.engine.gathering import _LONGEST_SECONDS, _SLOW_COMMITS, Gathering
from sqlite_job.engine.outbox import Outbox
from tests.doors.making import DEADLINE, drain, settings_of, wait_until
from tests.storage.making import claimed_job

SLOTS = 3


class Floor:
    """Real threads that run what the test gives them, and a loop's ways to wait for them."""

    def __init__(self, watcher):
        self.outbox = Outbox(watcher.interrupt)
        self.gathering = Gathering(self.outbox, watcher)
        self.ran_in = {}
        self.work = {}
        self.executor = ThreadExecutor(
            self._run,
            self.outbox.put,
            SLOTS,
            clock=SystemClock(),
            settle_stopped=lambda job, _stop, _started_at: Returned(job.seq, job.claim_number),
            timeout_of=None,
            on_stuck=lambda _job: None,
        )

    def submit(self, count, seconds=0.0):
        """Submit so many jobs that take so long in all."""
        jobs = [claimed_job(seq, "any") for seq in range(1, count + 1)]
        self.gathering.submit(self.executor, jobs, in_turn=True, seconds=seconds)

    def wait(self, commit_seconds=0.0):
        self.gathering.wait(lambda: False, commit_seconds)

    def ended(self, count):
        """Wait for so many outcomes, and return their jobs."""
        end, found = elapsed() + DEADLINE, []
        while len(found) < count:
            assert elapsed() < end, f"{len(found)} of {count} jobs have ended"
            if self.outbox.await_next():
                self.gathering._watcher.wait(DEADLINE, ignore_commits=True)
            found += self.outbox.take()
        return [outcome.seq for outcome in found]

    def _run(self, job, _stop):
        self.ran_in[job.seq] = threading.get_ident()
        self.work.get(job.seq, lambda: None)()
        return Returned(job.seq, job.claim_number)


@pytest.fixture
def floor(storage):
    watcher = storage.watch()
    made = Floor(watcher)
    yield made
    made.executor.close()
    watcher.close()


@pytest.fixture
def gate():
    """What holds a job; at the end of the test it is open."""
    made = threading.Event()
    yield made
    made.set()


def test_short_jobs_that_were_claimed_ahead_run_in_one_thread_in_their_order(floor):
    floor.submit(100)
    assert floor.ended(100) == list(range(1, 101))
    assert len(set(floor.ran_in.values())) == 1


def test_what_would_take_long_is_given_to_all_threads(floor, gate):
    meeting = threading.Barrier(SLOTS)
    floor.work = dict.fromkeys(range(1, SLOTS + 1), lambda: meeting.wait(DEADLINE))
    floor.submit(100, seconds=_LONGEST_SECONDS * 2)
    floor.ended(100)  # they could not meet in one thread
    assert len(set(floor.ran_in.values())) == SLOTS


def test_no_job_waits_for_a_long_one_longer_than_the_longest_time(floor, gate):
    floor.work = {5: lambda: gate.wait(DEADLINE)}
    floor.submit(100)
    floor.wait()
    assert 5 not in floor.ended(99)
    gate.set()
    assert floor.ended(1) == [5]


def test_the_loop_sleeps_until_all_have_ended(floor):
    floor.submit(10)
    floor.wait()
    assert len(floor.outbox.take()) == 10


def test_the_wait_is_over_as_soon_as_the_worker_is_stopped(floor, gate):
    floor.work = {1: lambda: gate.wait(DEADLINE)}
    floor.submit(100)
    floor.gathering.wait(lambda: True, 0.0)
    taken = [job.seq for job in floor.executor.take_back()]
    gate.set()
    assert sorted(floor.ended(100 - len(taken)) + taken) == list(range(1, 101))


def test_jobs_that_wait_are_given_to_all_threads_for_some_time(floor, gate, monkeypatch):
    monkeypatch.setattr("sqlite_job.engine.gathering._PAUSE_SECONDS", 1.0)
    floor.work = {1: lambda: gate.wait(DEADLINE)}
    floor.submit(1 + SLOTS)
    floor.wait()  # the CPU has had nothing to do
    gate.set()
    floor.ended(1 + SLOTS)

    assert not floor.gathering.is_on
    meeting = threading.Barrier(SLOTS)
    floor.work = dict.fromkeys(range(1, SLOTS + 1), lambda: meeting.wait(DEADLINE))
    floor.submit(2 * SLOTS)
    floor.ended(2 * SLOTS)  # they could not meet in one thread

    # Then it is tried once more: they may have become others.
    wait_until(lambda: floor.gathering.is_on)
    floor.ran_in, floor.work = {}, {}
    floor.submit(50)
    floor.ended(50)
    assert len(set(floor.ran_in.values())) == 1


def test_with_a_slow_disk_jobs_run_while_a_commit_waits_for_it(floor):
    def turn(commit_seconds):
        floor.submit(100)
        floor.wait(commit_seconds)
        floor.ended(100)
        return floor.gathering.is_on

    # The first was beside running jobs, and says nothing of the disk; and one alone may be an accident.
    assert all(turn(seconds) for seconds in (1.0, *[1.0] * (_SLOW_COMMITS - 1), 0.0, *[1.0] * (_SLOW_COMMITS - 1)))
    assert not turn(1.0)


def test_what_one_thread_has_not_started_is_taken_back(floor, gate):
    started = threading.Event()

    def hold():
        started.set()
        gate.wait(DEADLINE)

    floor.work = {3: hold}
    floor.submit(100)
    assert started.wait(DEADLINE)
    assert [job.seq for job in floor.executor.take_back()] == list(range(4, 101))
    gate.set()
    assert floor.ended(3) == [1, 2, 3]
    assert floor.executor.take_back() == []


_released = threading.Event()


def _short(number):
    if number == 250:
        return _released.wait(DEADLINE)
    if number == 300:
        _released.set()
    return number


def test_a_worker_runs_the_jobs_behind_a_long_one_meanwhile(database):
    _released.clear()
    settings = settings_of(database, _short)
    handles = SQLiteJob("default", settings).enqueue_many([call(_short, number) for number in range(400)])
    drain(settings)
    assert handles[250].result(0) is True, "it is released by a job behind it"
    assert [handle.result(0) for handle in handles[251:]] == list(range(251, 400))
