"""What becomes of leases and timers when somebody sets the clock, and of a worker that slept through its lease."""

from __future__ import annotations

import pytest

from sqlite_job.core.clock import SECOND
from sqlite_job.core.events import JobsSettled, OutcomesStale, WorkerExpelled
from sqlite_job.core.outcomes import Retried
from sqlite_job.core.retries import Backoff, RetryPolicy
from sqlite_job.core.stopping import Stop
from sqlite_job.engine.housekeeping.heartbeat import Heartbeat
from sqlite_job.engine.housekeeping.rescuer import Rescuer
from tests.storage.making import claim

HOUR = 3600 * SECOND
LEASE = 30 * SECOND


class Watch:
    """A worker's heartbeat and its rescuer, beat by beat."""

    def __init__(self, bench, clock):
        self.bench = bench
        self.bench.clock = clock
        self.bench.registration._clock = clock
        self.bench.engine._clock = clock
        self.heartbeat = Heartbeat(bench.registration, 30, bench.engine.forget_held, clock)
        self.rescuer = Rescuer(
            bench.storage, 3, trusts_leases=self.heartbeat.trusts_leases, clock=clock, events=bench.engine._events
        )

    def beat(self):
        self.heartbeat.tick()

    def look(self):
        self.rescuer.tick()


@pytest.fixture
def watches(bench):
    """Two workers on one clock; the first holds job a."""
    first, second = bench(), bench()
    first.enqueue("a")
    first.engine.turn()
    watches = Watch(first, first.clock), Watch(second, first.clock)
    assert first.status("a") == "running"
    return watches


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_jumps_takes_no_job_from_a_living_worker(watches, jump):
    first, second = watches
    clock = first.bench.clock
    for _ in range(2):
        clock.time += jump
        # Whoever is first: to look before either has renewed its lease, or to renew it.
        second.look()
        second.beat()
        second.look()
        first.beat()
        for _ in range(6):
            clock.time += 10 * SECOND
            for one in watches:
                one.look()
                one.beat()
        jump = -jump

    assert first.bench.status("a") == "running"
    assert first.bench.storage.get("a").deaths == 0
    assert not first.bench.of_kind(WorkerExpelled)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 0], ids=["forward", "back", "none"])
def test_a_worker_that_freezes_after_a_jump_is_given_up_within_its_lease(watches, jump):
    first, second = watches
    clock = first.bench.clock
    clock.time += jump
    first.beat()  # its last sign of life
    for _ in range(7):
        second.beat()
        second.look()
        clock.time += 10 * SECOND
    second.look()

    assert first.bench.storage.get("a").deaths == 1


def test_a_jump_back_does_not_leave_a_retry_waiting_once_the_clock_is_right_again(bench):
    def fails():
        raise ValueError("no")

    b = bench({"fails": fails}, policy=RetryPolicy(max_tries=2, backoff=Backoff(first=5, jitter=0)))
    b.enqueue("a", function="fails")
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()
    ((_, outcome),) = b.of_kind(JobsSettled)[0].settled
    assert type(outcome) is Retried
    b.clock.time -= HOUR
    assert b.engine.turn() is False
    # The loop looks at the clock again after poll_delay at the latest, not after the hour that is left by this clock.
    assert b.engine._longest_wait() <= 5
    b.clock.time += HOUR + 6 * SECOND
    assert b.engine.turn() is True
    assert b.status("a") == "running"


def test_a_worker_runs_a_job_anew_while_its_own_earlier_run_of_it_goes_on(bench, storage):
    b = bench(slots=3)
    b.enqueue("a")
    b.engine.turn()
    early = b.executor.waiting.popleft()  # it runs, and the worker is frozen past its lease
    b.clock.time += LEASE + SECOND
    assert [job.id for job in storage.rescue(b.clock.now(), 3)] == ["a"]
    b.engine.turn()
    b.engine.turn()
    assert [job.claim_number for job in b.executor.waiting] == [2]

    b.executor._report(b.executor._run(early, Stop()))
    b.engine.turn()
    assert len(b.of_kind(OutcomesStale)) == 1
    b.executor.run_next()
    b.engine.turn()
    assert b.status("a") == "completed"
    assert claim(storage) == []


def test_both_runs_of_a_job_may_end_in_one_turn(bench, storage):
    b = bench(slots=3)
    b.enqueue("a")
    b.engine.turn()
    early = b.executor.waiting.popleft()
    b.clock.time += LEASE + SECOND
    storage.rescue(b.clock.now(), 3)
    b.engine.turn()
    b.engine.turn()
    b.executor._report(b.executor._run(early, Stop()))
    b.executor.run_next()
    b.engine.turn()

    assert b.status("a") == "completed"
    assert b.engine._held == {}
