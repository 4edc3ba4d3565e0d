"""The contract of pausing queues, and of claims from several by weight, on every database."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.outcomes import Returned
from sqlite_job.core.shares import share_out
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import JobFilter
from tests.storage.making import LEASE, NOW, claim, execute, new_job, settle, wanted


def test_a_paused_queue_gives_no_jobs_until_it_is_resumed(storage):
    storage.enqueue([new_job("a")])

    assert storage.pause("default", NOW) is True
    assert claim(storage) == []
    assert not storage.peek(wanted(), NOW).is_ready
    assert storage.get("a").status is JobStatus.PENDING
    assert storage.resume("default") is True
    assert storage.peek(wanted(), NOW).is_ready
    assert [job.id for job in claim(storage)] == ["a"]


def test_pause_and_resume_say_whether_they_changed_something(storage):
    assert storage.resume("default") is False
    assert storage.pause("default", NOW) is True
    assert storage.pause("default", NOW + 5) is False
    assert storage.paused_queues() == {"default": NOW}
    assert storage.resume("default") is True
    assert storage.resume("default") is False
    assert storage.paused_queues() == {}


def test_a_queue_that_is_known_for_something_else_can_be_paused(storage):
    insert = "INSERT INTO sqlitejob_queue (name) VALUES ('default')"
    execute(storage, insert)

    assert storage.paused_queues() == {}
    assert storage.pause("default", NOW) is True
    assert storage.paused_queues() == {"default": NOW}


def test_a_queue_may_be_paused_before_its_first_job(storage):
    storage.pause("later", NOW)
    storage.enqueue([new_job("a", queue="later"), new_job("b")])

    assert storage.paused_queues() == {"later": NOW}
    assert [job.id for job in claim(storage, queues=("later", "default"))] == ["b"]


def test_the_other_queues_of_a_worker_go_on_and_it_is_told_which_are_paused(storage):
    storage.enqueue([new_job("a", queue="high"), new_job("b", queue="low")])
    storage.pause("high", NOW)
    storage.pause("elsewhere", NOW)

    exchange = storage.exchange(1, [], wanted(queues=("high", "low")), NOW)
    assert [job.id for job in exchange.claimed] == ["b"]
    assert exchange.paused == ("high",)
    assert storage.exchange(1, [], wanted(queues=("low",)), NOW).paused == ()


def test_jobs_that_run_are_settled_and_given_back_while_their_queue_is_paused(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    first, second = claim(storage)
    storage.pause("default", NOW)

    assert settle(storage, Returned(first.seq, first.claim_number)) == []
    assert storage.get("a").status is JobStatus.PENDING
    assert storage.get("b").status is JobStatus.RUNNING
    assert claim(storage) == []
    assert settle(storage, Returned(second.seq, second.claim_number)) == []


def test_scheduled_jobs_of_a_paused_queue_become_pending_at_their_time_and_wait(storage):
    storage.enqueue([new_job("a", run_at=NOW + 10)])
    storage.pause("default", NOW)

    assert storage.peek(wanted(), NOW).next_run_at == NOW + 10
    assert storage.peek(wanted(), NOW + 10).is_ready
    assert claim(storage, now=NOW + 10) == []
    assert storage.get("a").status is JobStatus.PENDING
    assert storage.peek(wanted(), NOW + 11)[:2] == (False, None)


def test_the_suspects_of_a_paused_queue_are_not_claimed(storage):
    storage.enqueue([new_job("a")])
    claim(storage, worker_id=2)
    storage.abandon_worker(2)
    storage.rescue(NOW, max_deaths=3)
    storage.pause("default", NOW)

    assert claim(storage) == []
    assert not storage.peek(wanted(), NOW).is_ready
    storage.resume("default")
    assert [job.id for job in claim(storage)] == ["a"]


# ---- order within one priority


def test_no_job_is_overtaken_by_a_later_one_of_its_priority(storage):
    """Small claims, jobs that come between them, some that are given back: within one priority the order holds."""
    rng = random.Random(4)
    claimed = []
    for _ in range(60):
        storage.enqueue([new_job(priority=rng.choice([0, 5])) for _ in range(rng.randrange(4))])
        jobs = claim(storage, room=rng.randrange(1, 4))
        pending = storage.find(JobFilter(status=JobStatus.PENDING, limit=1000))
        waiting = {job.cursor: job.priority for job in pending}
        for job in jobs:
            priority = storage.get(job.id).priority
            assert [seq for seq, other in waiting.items() if other == priority and seq < job.seq] == []
            assert [seq for seq, other in waiting.items() if other > priority] == []
        if jobs and rng.random() < 0.3:
            settle(storage, *(Returned(job.seq, job.claim_number) for job in jobs))
        else:
            claimed += jobs
    claimed += claim(storage, room=1000)
    assert len({job.seq for job in claimed}) == len(claimed) == sum(count.jobs for count in storage.counts())


# ---- weights


def fill(storage, **queues):
    for queue, jobs in queues.items():
        storage.enqueue([new_job(queue=queue) for _ in range(jobs)])


def claim_weighted(storage, room, **weights):
    exchange = storage.exchange(1, [], wanted(room, queues=tuple(weights))._replace(weights=weights), NOW)
    return Counter(job.queue for job in exchange.claimed)


def test_a_large_claim_takes_from_full_queues_exactly_in_the_ratio_of_their_weights(storage):
    fill(storage, high=100, low=100, least=100)

    assert claim_weighted(storage, 60, high=3, low=2, least=1) == {"high": 30, "low": 20, "least": 10}


def test_what_a_queue_cannot_give_the_others_share_by_their_weights(storage):
    fill(storage, high=4, low=100, least=100)

    # 20, 30 and 10 at first; of the 16 that `high` leaves, 12 and 4.
    assert claim_weighted(storage, 60, high=2, low=3, least=1) == {"high": 4, "low": 42, "least": 14}


def test_what_is_there_is_claimed_whatever_the_weights(storage):
    fill(storage, high=1, low=7)

    assert claim_weighted(storage, 100, high=1, low=1000, empty=5) == {"high": 1, "low": 7}


def test_a_queue_is_claimed_in_its_order_whatever_the_weights(storage):
    fill(storage, high=20, low=20)

    exchange = storage.exchange(1, [], wanted(30, queues=("high", "low"))._replace(weights={"high": 2, "low": 1}), NOW)
    for queue in ("high", "low"):
        seqs = [job.seq for job in exchange.claimed if job.queue == queue]
        assert seqs == sorted(seqs)


def test_the_jobs_of_a_large_claim_come_mixed_by_weight(storage):
    fill(storage, high=100, low=100)

    exchange = storage.exchange(1, [], wanted(80, queues=("high", "low"))._replace(weights={"high": 3, "low": 1}), NOW)
    queues = [job.queue for job in exchange.claimed]
    for start in range(0, 80, 8):
        assert Counter(queues[start : start + 8]) == {"high": 6, "low": 2}


def test_a_claim_of_all_there_is_comes_by_weight_as_long_as_both_last(storage):
    fill(storage, high=6, low=10)

    exchange = storage.exchange(1, [], wanted(80, queues=("low", "high"))._replace(weights={"low": 1, "high": 3}), NOW)
    queues = [job.queue for job in exchange.claimed]
    assert Counter(queues[:8]) == {"high": 6, "low": 2}
    assert queues[8:] == ["low"] * 8


def test_claims_of_one_job_take_from_each_queue_about_as_often_as_it_weighs(storage):
    storage._draw = random.Random(7).random
    fill(storage, high=300, low=300)

    taken = sum((claim_weighted(storage, 1, high=3, low=1) for _ in range(300)), Counter())
    # The standard deviation of 300 draws is 7.5.
    assert taken["high"] + taken["low"] == 300
    assert 200 < taken["high"] < 250


def test_a_paused_queue_has_no_share(storage):
    fill(storage, high=50, low=50)
    storage.pause("high", NOW)

    assert claim_weighted(storage, 20, high=9, low=1) == {"low": 20}


def test_with_weights_a_suspect_is_claimed_too(storage):
    fill(storage, high=1)
    claim(storage, worker_id=2, queues=("high",))
    storage.abandon_worker(2)
    storage.rescue(NOW, max_deaths=3)

    exchange = storage.exchange(
        1, [], wanted(5, queues=("high", "low"))._replace(weights={"high": 1, "low": 1}), NOW + LEASE
    )
    assert exchange.suspect is not None


WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1)


@given(room=st.integers(1, 500), weights=WEIGHTS, seed=st.integers(0, 1000))
def test_each_share_is_the_exact_part_rounded(room, weights, seed):
    shares = share_out(room, weights, random.Random(seed).random)
    total = sum(weights.values())

    assert len({queue for queue, _ in shares}) == len(shares)
    assert sum(share for _, share in shares) == room
    for queue, share in shares:
        assert abs(share - room * weights[queue] / total) < 1
    for queue in set(weights) - {queue for queue, _ in shares}:
        assert room * weights[queue] < total


@pytest.mark.parametrize("draw", [lambda: 0.0, lambda: 1 - 2**-53])
def test_the_extremes_of_chance_give_whole_shares_too(draw):
    assert sum(share for _, share in share_out(7, {"a": 3, "b": 1, "c": 1}, draw)) == 7
