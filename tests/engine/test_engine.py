"""The engine, turn by turn."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import DatabaseReplacedError
from sqlite_job.core.events import FunctionUnknown, JobsClaimed, JobsSettled, OutcomesStale, StorageFailed
from sqlite_job.core.outcomes import Completed, Returned
from sqlite_job.core.retries import Backoff, RetryPolicy
from tests.storage.making import NOW, settle


def test_a_turn_with_nothing_to_do_writes_nothing(bench):
    b = bench()
    assert b.engine.turn() is False
    assert b.events == []


def test_a_turn_claims_no_more_than_the_slots_while_nothing_is_known_of_the_jobs(bench):
    b = bench(slots=2)
    b.enqueue("a", "b", "c")

    assert b.engine.turn() is True
    assert [job.id for job in b.executor.waiting] == ["a", "b"]
    assert (b.status("b"), b.status("c")) == ("running", "pending")
    assert b.engine.turn() is False


def test_one_turn_settles_what_has_finished_and_claims_the_next(bench):
    b = bench(slots=1)
    b.enqueue("a", "b")
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()

    assert (b.status("a"), b.status("b")) == ("completed", "running")
    (settled,) = b.of_kind(JobsSettled)
    assert [(job.id, type(outcome)) for job, outcome in settled.settled] == [("a", Completed)]
    assert [job.id for event in b.of_kind(JobsClaimed) for job in event.jobs] == ["a", "b"]


def test_short_jobs_are_claimed_ahead_and_long_ones_are_not(bench):
    seconds = {"now": 0.00001}

    def take_time(*_):
        b.clock.time += round(seconds["now"] * SECOND)

    b = bench({"add": take_time}, slots=1)
    b.enqueue(*(f"job-{n}" for n in range(1000)))
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()
    assert len(b.executor.waiting) == 501  # the most that is ever claimed ahead, and the slot

    seconds["now"] = 10
    for _ in range(501):
        b.executor.run_next()
        b.engine.turn()
    assert len(b.executor.waiting) == 1


def test_a_late_outcome_is_told_and_changes_nothing(bench):
    b = bench()
    b.enqueue("a")
    b.engine.turn()
    job = b.executor.waiting[0]
    settle(b.storage, Returned(job.seq, job.claim_number))  # as a rescuer would
    b.executor.run_next()
    b.engine.turn()

    assert len(b.of_kind(OutcomesStale)) == 1
    assert b.of_kind(JobsSettled)[0].settled == []
    assert b.status("a") == "running"  # claimed again in the same exchange, with a new fence
    b.executor.run_next()
    b.engine.turn()
    assert b.status("a") == "completed"


def test_a_retried_job_runs_again_when_its_time_has_come(bench):
    calls = []

    def fail_once(*_):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("gone")
        return "there"

    b = bench({"add": fail_once}, policy=RetryPolicy(max_tries=2, backoff=Backoff(first=60, jitter=0)))
    b.enqueue("a")
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()
    assert b.status("a") == "scheduled"
    b.clock.time += 59 * SECOND
    assert b.engine.turn() is False
    assert 0 < b.engine._longest_wait() <= 1
    b.clock.time += SECOND
    b.engine.turn()
    b.executor.run_next()
    b.engine.turn()
    assert b.status("a") == "completed"


def test_the_last_try_that_fails_ends_the_job(bench):
    def fail(*_):
        raise ValueError("no")

    b = bench({"add": fail}, policy=RetryPolicy(max_tries=2, backoff=Backoff(first=0, jitter=0)))
    b.enqueue("a")
    for _ in range(2):
        b.engine.turn()
        b.executor.run_next()
    b.engine.turn()

    assert b.status("a") == "failed"
    assert [failure.try_number for failure in b.storage.failures("a")] == [1, 2]


def test_a_scheduled_job_sets_the_timer(bench):
    b = bench(poll_delay=5.0)
    b.enqueue("a", run_at=NOW + 2 * SECOND)

    assert b.engine.turn() is False
    assert b.engine._longest_wait() == 2.0


def test_burst_runs_all_that_is_ready_and_leaves_what_is_scheduled(bench):
    b = bench(slots=3)
    b.enqueue("a", "b", "c", "d")
    b.enqueue("later", run_at=NOW + SECOND)
    _run_as_they_come(b)

    b.engine.run(burst=True)
    assert b.engine.jobs_run == 4
    assert {b.status(name) for name in "abcd"} == {"completed"}
    assert b.status("later") == "scheduled"


def test_a_stopped_engine_returns_what_has_not_started(bench):
    b = bench(slots=3)
    b.enqueue("a", "b", "c")
    b.engine.turn()
    b.executor.run_next()
    b.engine.stop()
    b.engine.run()

    assert b.engine.jobs_run == 1
    assert (b.status("a"), b.status("b"), b.status("c")) == ("completed", "pending", "pending")
    assert b.storage.get("b").tries == 0


def test_what_still_runs_after_the_shutdown_timeout_is_interrupted_and_returned_with_its_try(bench):
    b = bench(shutdown_timeout=0.0)
    b.enqueue("a")
    b.engine.turn()
    held = b.executor.take_back()  # as if it had started: nobody can take it back
    b.engine.stop()
    b.engine.stop()
    b.engine.run()

    assert b.executor.interrupted
    assert (b.status("a"), b.storage.get("a").tries) == ("pending", 0)
    assert held[0].id == "a"


def test_unknown_functions_are_told_once_with_the_nearest_name(bench):
    b = bench()
    b.enqueue("a", function="ad")
    b.engine._unknown.look()
    b.engine._unknown._next_look = 0
    b.engine._unknown.look()

    assert b.of_kind(FunctionUnknown) == [FunctionUnknown("ad", " (did you mean 'add'?)")]
    assert b.status("a") == "pending"


@pytest.mark.files("one writer has the lock of a file")
def test_outcomes_survive_a_database_that_is_busy(bench, monkeypatch):
    b = bench()
    b.enqueue("a")
    b.engine.turn()
    b.executor.run_next()
    stranger = _lock(b.storage, monkeypatch)
    b.engine._guarded_turn()
    assert len(b.of_kind(StorageFailed)) == 1
    stranger.execute("ROLLBACK")
    stranger.close()
    b.engine._guarded_turn()

    assert b.status("a") == "completed"


@pytest.mark.files("one writer has the lock of a file")
def test_housekeeping_goes_on_while_what_a_commit_brought_cannot_be_written(bench, monkeypatch):
    class Service:
        every_seconds = 0.0
        ticks = 0

        def tick(self):
            self.ticks += 1

    b, service = bench(), Service()
    b.engine.keep_house([service])
    b.enqueue("a")
    b.engine.turn()
    b.executor.run_next()
    stranger = _lock(b.storage, monkeypatch)
    b.engine._expectation.is_woken = True  # by a commit
    for _ in range(3):
        b.engine._guarded_turn()
    stranger.close()

    assert len(b.of_kind(StorageFailed)) >= 1
    assert service.ticks == 2, "only the first turn was urgent"


@pytest.mark.files("a file can be replaced")
def test_a_replaced_database_stops_the_engine(bench):
    b = bench()
    for suffix in ("", "-wal", "-shm"):
        os.unlink(b.storage.location + suffix)

    with pytest.raises(DatabaseReplacedError):
        b.engine.turn()


def _run_as_they_come(b):
    """Run submitted jobs in a thread of the bench's own."""
    real_submit = b.executor.submit

    def submit(jobs):
        real_submit(jobs)
        threading.Thread(target=b.executor.run_next, args=(len(jobs),)).start()

    b.executor.submit = submit


def _lock(storage, monkeypatch):
    """Have somebody else hold the write lock of the file, and nobody wait for it long; returns who has it."""
    monkeypatch.setattr("sqlite_job.storage.sqlite._DEADLINE_SECONDS", 0.05)
    stranger = sqlite3.connect(storage.location, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    return stranger
