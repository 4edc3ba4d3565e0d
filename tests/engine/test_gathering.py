"""Short jobs that were claimed ahead run one after the other, and none of them waits for a long one."""

from __future__ import annotations

import threading
import time

import pytest

from sqlite_job import SQLiteJob, call
from sqlite_job.core.clock import SystemClock, elapsed
from sqlite_job.core.outcomes import Returned
from sqlite_job.engine import gathering
from sqlite_job.engine.executors.threads import ThreadExecutor
from sqlite_job.engine.gathering import _LONGEST_SECONDS, _TOO_MANY, Gathering
from sqlite_job.engine.options import EngineOptions
from sqlite_job.engine.outbox import Outbox
from tests.doors.making import DEADLINE, drain, settings_of, wait_until
from tests.engine.making import HandExecutor
from tests.storage.making import claimed_job

SLOTS = 3
OPTIONS = EngineOptions(("default",), ("any",), SLOTS, 5.0, 0.0)


class Place:
    """What a storage says of its commits."""

    def __init__(self, works_in_process=True):
        self.works_in_process = works_in_process
        self.commit_seconds = 0.0


class Floor:
    """Real threads that run what the test gives them, and a loop's ways to wait for them."""

    def __init__(self, watcher, place):
        self.place = place
        self.outbox = Outbox(watcher.interrupt)
        self.gathering = Gathering(self.outbox, watcher, OPTIONS, place)
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
        self.gathering.submit(self.executor, jobs, count, seconds)

    def submit_and_hold(self, seq, gate):
        """Submit a hundred jobs, and return when this one has started, which ends when the gate is open."""
        started = threading.Event()

        def hold():
            started.set()
            gate.wait(DEADLINE)

        self.work = {seq: hold}
        self.submit(100)
        assert started.wait(DEADLINE)

    def wait(self):
        self.gathering.wait(lambda: False)

    def turn(self, count):
        self.submit(count)
        self.wait()
        return self.ended(count)

    def ended(self, count):
        """Wait for so many outcomes, and return their jobs."""
        end, found = elapsed() + DEADLINE, []
        while len(found) < count:
            assert elapsed() < end, f"{len(found)} of {count} jobs have ended"
            if self.outbox.await_next():
                self.gathering._watcher.wait(DEADLINE, ignore_commits=True)
            found += self.outbox.take()
        return [outcome.seq for outcome in found]

    def threads(self):
        """Return how many threads have run jobs since the last look."""
        count = len(set(self.ran_in.values()))
        self.ran_in = {}
        return count

    def meet(self):
        """Have the first jobs wait for each other: in one thread they never would."""
        meeting = threading.Barrier(SLOTS)
        self.work = dict.fromkeys(range(1, SLOTS + 1), lambda: meeting.wait(DEADLINE))

    def _run(self, job, _stop):
        self.ran_in[job.seq] = threading.get_ident()
        self.work.get(job.seq, lambda: None)()
        return Returned(job.seq, job.claim_number)


@pytest.fixture
def make_floor(storage):
    made = []

    def make(**facts):
        watcher = storage.watch()
        made.append((Floor(watcher, Place(**facts)), watcher))
        return made[-1][0]

    yield make
    for floor, watcher in made:
        floor.executor.close()
        watcher.close()


@pytest.fixture
def floor(make_floor):
    return make_floor()


@pytest.fixture
def gate():
    """What holds a job; at the end of the test it is open."""
    made = threading.Event()
    yield made
    made.set()


def test_short_jobs_that_were_claimed_ahead_run_in_one_thread_in_their_order(floor):
    floor.submit(100)
    floor.wait()
    assert floor.gathering.has_run_in_turn
    assert floor.ended(100) == list(range(1, 101))
    assert floor.threads() == 1


@pytest.mark.parametrize(("count", "seconds"), [(SLOTS, 0.0), (100, _LONGEST_SECONDS * 2)])
def test_few_jobs_and_those_that_take_long_are_given_to_all_threads(floor, count, seconds):
    floor.meet()
    floor.submit(count, seconds)
    floor.wait()
    assert not floor.gathering.has_run_in_turn
    floor.ended(count)
    assert floor.threads() == SLOTS


def test_where_a_server_does_the_exchange_jobs_run_side_by_side(make_floor):
    floor = make_floor(works_in_process=False)
    floor.meet()
    floor.turn(100)
    assert floor.threads() == SLOTS


def test_an_executor_without_threads_gets_all_its_jobs(floor):
    executor = HandExecutor(None, floor.outbox.put)
    jobs = [claimed_job(seq, "any") for seq in range(10)]
    floor.gathering.submit(executor, jobs, 10, 0.0)
    assert list(executor.waiting) == jobs


def test_side_by_side_the_loop_sleeps_until_half_of_what_is_held_ahead_is_done(make_floor):
    floor = make_floor(works_in_process=False)
    floor.turn(SLOTS + 8)
    floor.submit(SLOTS + 8)
    assert floor.gathering._count == 4
    floor.wait()
    assert len(floor.ended(SLOTS + 8)) == SLOTS + 8


def test_no_job_waits_for_a_long_one_longer_than_the_longest_time(floor, gate):
    floor.work = {5: lambda: gate.wait(DEADLINE)}
    floor.submit(100)
    floor.wait()
    assert 5 not in floor.ended(99)
    gate.set()
    assert floor.ended(1) == [5]


def test_an_outage_lets_no_job_wait_for_another(floor, gate):
    floor.work = {5: lambda: gate.wait(DEADLINE)}
    floor.submit(100)
    floor.gathering.spread()  # as the loop does before it waits for the database
    assert 5 not in floor.ended(99)


def test_a_stop_gives_the_jobs_to_no_other_thread(floor, gate):
    floor.submit_and_hold(1, gate)
    floor.gathering.wait(lambda: True)
    assert [job.seq for job in floor.executor.take_back()] == list(range(2, 101))
    gate.set()
    assert floor.ended(1) == [1]


def test_jobs_that_wait_are_given_to_all_threads_for_some_time(floor, gate, monkeypatch):
    monkeypatch.setattr(gathering, "_PAUSE_SECONDS", 1.0)
    floor.work = {1: lambda: gate.wait(_LONGEST_SECONDS * 2)}
    for _ in range(_TOO_MANY):
        assert floor.gathering.is_on
        floor.turn(1 + SLOTS)  # the CPU has had nothing to do
    assert not floor.gathering.is_on
    floor.meet()
    floor.turn(2 * SLOTS)

    # Then it is tried once more: they may have become others.
    wait_until(lambda: floor.gathering.is_on)
    floor.work = {}
    floor.turn(50)
    assert floor.threads() == 1


def test_with_a_slow_disk_jobs_run_while_a_commit_waits_for_it(floor, monkeypatch):
    # On a machine that does other things, too, nothing else is to be found wrong.
    monkeypatch.setattr(gathering, "cpu_seconds", elapsed)
    monkeypatch.setattr(gathering, "_LONGEST_SECONDS", DEADLINE)
    monkeypatch.setattr(gathering, "_TRIAL_SECONDS", DEADLINE)

    def turn(commit_seconds):
        floor.place.commit_seconds = commit_seconds
        floor.turn(100)
        return floor.gathering.is_on

    slow = 2 * DEADLINE
    # The first was beside running jobs, and says nothing of the disk; and one alone may be an accident.
    assert all(turn(seconds) for seconds in (slow, *[slow] * (_TOO_MANY - 1), 0.0, *[slow] * (_TOO_MANY - 1)))
    assert not turn(slow)


def test_jobs_that_are_sooner_done_side_by_side_are_left_so_for_some_time(floor, monkeypatch):
    used = {"seconds": 0.0}
    monkeypatch.setattr(gathering, "cpu_seconds", lambda: used["seconds"])
    monkeypatch.setattr(gathering, "_TRIAL_SECONDS", 0.0)  # the very first are to compare
    for _ in range(2):
        floor.meet()
        floor.submit(100)
        used["seconds"] += 1000.0
        floor.ended(100)
        assert floor.threads() == SLOTS
    assert not floor.gathering.is_on


def test_jobs_that_are_no_sooner_done_side_by_side_run_in_one_thread_again(floor, monkeypatch):
    monkeypatch.setattr(gathering, "cpu_seconds", lambda: 0.0)
    monkeypatch.setattr(gathering, "_TRIAL_SECONDS", 0.0)
    floor.meet()
    floor.submit(100)
    floor.ended(100)
    assert floor.threads() == SLOTS
    floor.work = {}
    floor.submit(100)
    floor.ended(100)
    assert floor.threads() == 1


def test_what_one_thread_has_not_started_is_taken_back(floor, gate):
    floor.submit_and_hold(3, gate)
    assert [job.seq for job in floor.executor.take_back()] == list(range(4, 101))
    gate.set()
    assert floor.ended(3) == [1, 2, 3]
    assert floor.executor.take_back() == []


def test_a_stop_that_is_under_way_never_meets_the_next_job(floor, gate):
    floor.submit_and_hold(1, gate)
    (lock,) = [slot.lock for slot in floor.executor._threads if slot.job is not None]
    with lock:  # as `stop` has it, from the look at what runs to the exception
        gate.set()
        time.sleep(0.1)  # time to go wrong
        assert set(floor.ran_in) == {1}
    assert floor.ended(100) == list(range(1, 101))


_released = threading.Event()


def _short(number):
    if number == 1500:
        return _released.wait(DEADLINE)
    if number == 1700:
        _released.set()
    return number


def test_a_worker_runs_the_jobs_behind_a_long_one_meanwhile(database):
    _released.clear()
    settings = settings_of(database, _short)
    handles = SQLiteJob("default", settings).enqueue_many([call(_short, number) for number in range(2000)])
    drain(settings)
    assert handles[1500].result(0) is True, "it is released by a job behind it"
    assert [handle.result(0) for handle in handles[1501:]] == list(range(1501, 2000))
