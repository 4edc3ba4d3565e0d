"""The contract of storage: limits on whole queues."""

from __future__ import annotations

import pytest

from sqlite_job.core.clock import SECOND
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.limits import QueueLimit
from sqlite_job.storage.sql import rate
from tests.storage.making import NOW, completed, failed, new_job, settle, wanted

TWO_RUNNING = QueueLimit("default", running=2)
TWO_STARTS = QueueLimit("default", starts=2, per=10 * SECOND)


def limited(*limits, weights=None, **options):
    return wanted(**options)._replace(queue_limits=limits, weights=weights)


def exchange(storage, want, worker_id=1, now=NOW, outcomes=()):
    return storage.exchange(worker_id, outcomes, want, now)


def claim(storage, want, worker_id=1, now=NOW):
    done = exchange(storage, want, worker_id, now)
    return done.claimed + ([done.suspect] if done.suspect else [])


def enqueue(storage, count, queue="default", **changes):
    storage.enqueue([new_job(queue=queue, **changes) for _ in range(count)])


# ---- at once


def test_two_workers_share_the_places_of_a_queue(storage):
    enqueue(storage, 5)
    want = limited(QueueLimit("default", running=3))

    assert len(claim(storage, want._replace(room=2))) == 2
    assert len(claim(storage, want, worker_id=2)) == 1
    assert claim(storage, want, worker_id=3) == []


@pytest.mark.parametrize("end", [completed, failed])
def test_a_settled_job_makes_room_in_the_same_exchange(storage, end):
    enqueue(storage, 5)
    want = limited(TWO_RUNNING)
    first, _ = claim(storage, want)
    assert not storage.peek(want, NOW).is_ready

    assert len(exchange(storage, want, outcomes=[end(first)]).claimed) == 1
    assert not storage.peek(want, NOW).is_ready


def test_a_job_settled_by_another_worker_makes_room(storage):
    enqueue(storage, 3)
    first, _ = claim(storage, limited(TWO_RUNNING), worker_id=2)
    assert storage.peek(limited(TWO_RUNNING), NOW) == (False, None, None)

    settle(storage, completed(first), worker_id=2)
    assert storage.peek(limited(TWO_RUNNING), NOW).is_ready
    assert len(claim(storage, limited(TWO_RUNNING))) == 1


def test_the_death_of_a_worker_makes_room_and_its_job_takes_it_again(storage):
    enqueue(storage, 4)
    claim(storage, limited(TWO_RUNNING), worker_id=2)
    storage.abandon_worker(2)
    assert claim(storage, limited(TWO_RUNNING)) == []

    storage.rescue(NOW, 3)
    done = exchange(storage, limited(TWO_RUNNING))

    assert (done.suspect is not None, len(done.claimed)) == (True, 1)


def test_a_suspect_job_waits_for_room_too(storage):
    enqueue(storage, 1)
    one = limited(QueueLimit("default", running=1))
    claim(storage, one, worker_id=2)
    storage.abandon_worker(2)
    storage.rescue(NOW, 3)
    enqueue(storage, 1)
    (other,) = claim(storage, one._replace(takes_suspect=False))

    assert not storage.peek(one, NOW).is_ready
    assert claim(storage, one) == []
    settle(storage, completed(other))
    assert exchange(storage, one).suspect is not None


def test_other_queues_are_claimed_when_one_is_full(storage):
    enqueue(storage, 5)
    enqueue(storage, 5, "mail")
    want = limited(TWO_RUNNING, queues=("default", "mail"), room=6)

    assert [job.queue for job in claim(storage, want)] == ["default"] * 2 + ["mail"] * 4
    assert storage.peek(want, NOW).is_ready
    assert [job.queue for job in claim(storage, want)] == ["mail"]
    assert not storage.peek(want, NOW).is_ready


def test_a_limit_on_a_queue_that_is_not_wanted_does_not_count(storage):
    enqueue(storage, 3)

    assert len(claim(storage, limited(QueueLimit("mail", running=1)))) == 3


def test_weights_fill_the_rest_from_other_queues(storage):
    enqueue(storage, 10)
    enqueue(storage, 10, "mail")
    want = limited(TWO_RUNNING, queues=("default", "mail"), room=8, weights={"default": 3, "mail": 1})

    queues = [job.queue for job in claim(storage, want)]
    assert (queues.count("default"), queues.count("mail")) == (2, 6)
    assert {job.queue for job in claim(storage, want)} == {"mail"}


def test_a_paused_queue_stays_paused(storage):
    enqueue(storage, 1)
    storage.pause("default", NOW)

    assert exchange(storage, limited(TWO_RUNNING)).paused == ("default",)
    assert not storage.peek(limited(TWO_RUNNING), NOW).is_ready


# ---- within a time


def test_of_a_queue_only_so_many_start_in_a_time_over_all_workers(storage):
    enqueue(storage, 5)
    want = limited(TWO_STARTS)

    assert len(claim(storage, want._replace(room=1))) == 1
    assert len(claim(storage, want, worker_id=2, now=NOW + SECOND)) == 1
    assert claim(storage, want, now=NOW + 10 * SECOND - 1) == []
    assert len(claim(storage, want, now=NOW + 10 * SECOND)) == 1
    assert claim(storage, want, now=NOW + 11 * SECOND - 1) == []
    assert len(claim(storage, want, now=NOW + 11 * SECOND)) == 1


def test_starts_count_although_their_jobs_have_ended(storage):
    enqueue(storage, 3)
    settle(storage, *map(completed, claim(storage, limited(TWO_STARTS))))

    assert claim(storage, limited(TWO_STARTS)) == []


def test_peek_tells_when_the_next_start_is_allowed(storage):
    enqueue(storage, 3)
    want = limited(TWO_STARTS)
    claim(storage, want._replace(room=1))
    claim(storage, want, now=NOW + SECOND)

    assert storage.peek(want, NOW + SECOND) == (False, NOW + 10 * SECOND, None)
    assert storage.peek(want, NOW + 10 * SECOND).is_ready


def test_a_sooner_job_is_what_the_worker_wakes_for(storage):
    enqueue(storage, 3)
    claim(storage, limited(TWO_STARTS))
    enqueue(storage, 1, "mail", run_at=NOW + SECOND)

    peek = storage.peek(limited(TWO_STARTS, queues=("default", "mail")), NOW)
    assert (peek.is_ready, peek.next_run_at) == (False, NOW + SECOND)


def test_both_limits_count(storage):
    enqueue(storage, 5)
    want = limited(QueueLimit("default", running=1, starts=2, per=10 * SECOND))

    (first,) = claim(storage, want)
    (second,) = exchange(storage, want, outcomes=[completed(first)]).claimed
    assert exchange(storage, want, outcomes=[completed(second)]).claimed == []
    assert len(claim(storage, want, now=NOW + 10 * SECOND)) == 1


def test_a_suspect_job_is_a_start(storage):
    enqueue(storage, 1)
    claim(storage, wanted(), worker_id=2)
    storage.abandon_worker(2)
    storage.rescue(NOW, 3)
    enqueue(storage, 3)

    done = exchange(storage, limited(TWO_STARTS))
    assert (done.suspect is not None, len(done.claimed)) == (True, 1)
    assert claim(storage, limited(TWO_STARTS)) == []


def test_starts_that_do_not_count_are_forgotten(storage):
    enqueue(storage, 6)
    for turn in range(3):
        claim(storage, limited(TWO_STARTS), now=NOW + turn * 20 * SECOND)

    (kept,) = storage._read(lambda transaction: transaction.rows(rate.COUNT_STARTS, "queue\x1fdefault", 0))
    assert kept == (2,)


def test_who_comes_with_an_older_time_counts_what_was_old_for_the_other(storage):
    """It has waited for a lock since it looked at the clock."""
    enqueue(storage, 4)
    want = limited(TWO_STARTS)
    assert len(claim(storage, want, now=NOW)) == 2
    assert len(claim(storage, want._replace(room=1), now=NOW + 10 * SECOND)) == 1
    assert claim(storage, want, now=NOW + 9 * SECOND) == []  # it would be the third within ten seconds


# ---- with limits on functions


def rated_job():
    return new_job(conditions=Conditions(rate_key="r", rate_starts=5, rate_per=10 * SECOND))


def test_a_functions_rate_does_not_keep_a_worker_of_a_full_queue_awake(storage):
    storage.enqueue([rated_job() for _ in range(5)])
    want = limited(TWO_RUNNING)
    first, _ = claim(storage, want)

    assert storage.peek(want, NOW) == (False, None, None)
    assert claim(storage, want) == []
    assert len(exchange(storage, want, outcomes=[completed(first)]).claimed) == 1


def test_the_lower_of_a_functions_and_a_queues_rate_counts(storage):
    storage.enqueue([rated_job() for _ in range(9)])
    want = limited(QueueLimit("default", starts=3, per=SECOND))

    assert [len(claim(storage, want, now=NOW + second * SECOND)) for second in range(3)] == [3, 2, 0]
    assert storage.peek(want, NOW + 2 * SECOND).next_run_at == NOW + 10 * SECOND
