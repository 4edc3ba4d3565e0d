"""Executors of several kinds share the slots of one worker."""

from __future__ import annotations

import pytest

from sqlite_job.core.outcomes import Returned
from sqlite_job.core.stopping import StopCause
from sqlite_job.engine.executors.mixed import MixedExecutor
from tests.engine.making import HandExecutor
from tests.storage.making import claimed_job


@pytest.fixture
def reported():
    return []


@pytest.fixture
def mixed(reported):
    """Two slots, and two executors that run when told."""
    made = MixedExecutor(reported.append, 2)
    made.kinds = {
        name: HandExecutor(lambda job, _stop: Returned(job.seq, 1), made.ended) for name in ("plain", "async")
    }
    made.assign(made.kinds)
    return made


def _return(job, _stop):
    return Returned(job.seq, job.claim_number)


def jobs(*functions):
    return [claimed_job(seq, function) for seq, function in enumerate(functions, 1)]


def waiting(mixed):
    return {name: [job.seq for job in executor.waiting] for name, executor in mixed.kinds.items()}


def test_all_kinds_together_get_no_more_jobs_than_there_are_slots(mixed):
    mixed.submit(jobs("plain", "async", "async", "plain"))
    assert waiting(mixed) == {"plain": [1], "async": [2]}


def test_a_job_that_ends_gives_its_slot_to_the_next_in_order_of_whatever_kind(mixed, reported):
    mixed.submit(jobs("plain", "async", "async", "plain"))
    mixed.kinds["plain"].run_next()
    assert waiting(mixed) == {"plain": [], "async": [2, 3]}
    mixed.kinds["async"].run_next()
    assert waiting(mixed) == {"plain": [4], "async": [3]}
    assert [outcome.seq for outcome in reported] == [1, 2]


def test_what_is_taken_back_frees_the_slots_it_held(mixed):
    mixed.submit(jobs("plain", "async", "async", "plain"))
    assert sorted(job.seq for job in mixed.take_back()) == [1, 2, 3, 4]
    assert mixed.take_back() == []
    mixed.submit(jobs("async", "async", "async"))
    assert waiting(mixed) == {"plain": [], "async": [1, 2]}


def test_a_wish_to_stop_reaches_the_executor_that_runs_the_job(mixed):
    mixed.submit(jobs("plain", "async"))
    assert mixed.stop(2, StopCause.CANCEL, "why") is False
    assert [executor.stopped for executor in mixed.kinds.values()] == [[(2, StopCause.CANCEL, "why")]] * 2


def test_an_interruption_reaches_all(mixed):
    mixed.submit(jobs("plain", "async"))
    mixed.interrupt()
    assert [executor.interrupted for executor in mixed.kinds.values()] == [True, True]
