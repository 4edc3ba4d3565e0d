"""Rates while several transactions look at them: "nobody waits" is not said of a job that comes just then."""

from __future__ import annotations

import pytest

from sqlite_job.core.jobs import Conditions
from sqlite_job.core.limits import QueueLimit
from sqlite_job.core.outcomes import Returned
from sqlite_job.core.states import JobStatus
from tests.postgres.interleaving import result_of
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle, wanted

PER = 10_000_000


def rated(job_id, starts=5, group=None, **changes):
    limit = None if group is None else 1
    conditions = Conditions(group_key=group, group_limit=limit, rate_key="r", rate_starts=starts, rate_per=PER)
    return new_job(job_id, conditions=conditions, **changes)


@pytest.fixture
def looking(stage, first):
    """The first worker has claimed the only job under the rate, and is about to commit that nobody waits."""
    first.enqueue([rated("looked at")])
    with stage.begun_until_its_commit(first, claim, first) as claiming:
        yield claiming


def ids(jobs):
    return sorted(job.id for job in jobs)


@pytest.mark.usefixtures("looking")
def test_a_job_that_is_enqueued_meanwhile_starts(stage, second):
    coming = stage.begin_until_it_waits(second, second.enqueue, [rated("a")])
    stage.let_all_go()
    result_of(coming)
    assert ids(claim(second, worker_id=2)) == ["a"]


@pytest.fixture
def waiting(first, second):
    """Jobs under the rate in the states from which one may come to wait; none of them waits yet."""
    first.enqueue([rated(name) for name in ("returned", "finished", "held")])
    jobs = {job.id: job for job in claim(second, worker_id=2)}
    assert settle(second, completed(jobs["finished"]), worker_id=2) == []
    first.enqueue([rated("scheduled", run_at=NOW + 1)])
    return jobs


COMINGS = {
    "scheduled": lambda second, _: second.exchange(2, [], wanted(0), NOW + 2),
    "returned": lambda second, jobs: settle(second, Returned(jobs["returned"].seq, jobs["returned"].claim_number)),
    "finished": lambda second, _: second.requeue("finished", NOW),
}


@pytest.mark.parametrize("coming", COMINGS)
@pytest.mark.usefixtures("waiting", "looking")
def test_a_job_that_comes_to_wait_meanwhile_starts(stage, second, waiting, coming):
    future = stage.begin_until_it_waits(second, COMINGS[coming], second, waiting)
    stage.let_all_go()
    result_of(future)
    assert coming in ids(claim(second, worker_id=2, now=NOW + PER + 1))


@pytest.mark.usefixtures("waiting", "looking")
def test_a_job_that_is_rescued_meanwhile_starts(stage):
    third = stage.storage("third")
    rescuing = stage.begin_until_it_waits(third, third.rescue, NOW + 2 * LEASE, 3)
    stage.let_all_go()
    assert "held" in ids(result_of(rescuing))
    third_worker = third.register_worker(("default",), NOW, 9 * LEASE)
    now, started = NOW + 2 * LEASE, []
    for _ in range(4):  # one at a time, as its worker has died
        started += claim(third, worker_id=third_worker, now=now)
    third.unregister_worker(third_worker)
    assert "held" in ids(started)


def test_the_next_of_a_group_that_is_ended_meanwhile_starts(stage, first, second):
    first.enqueue([new_job("a", conditions=Conditions(group_key="g", group_limit=1)), rated("next", group="g")])
    (a,) = claim(second, worker_id=2)
    first.enqueue([rated("looked at")])
    with stage.begun_until_its_commit(first, claim, first):
        ending = stage.begin_until_it_waits(second, settle, second, completed(a), worker_id=2)
    result_of(ending)
    assert ids(claim(second, worker_id=2)) == ["next"]


def test_two_that_claim_at_once_start_no_more_than_the_rate_allows(stage, first, second):
    first.enqueue([rated(name, starts=3) for name in "abcde"])
    with stage.begun_until_its_commit(first, claim, first, room=2) as claiming:
        assert claim(second, worker_id=2) == []  # the rate is the other one's, and nobody waits for it
    assert ids(result_of(claiming)) == ["a", "b"]
    assert ids(claim(second, worker_id=2)) == ["c"]
    assert claim(first) == []


def test_a_requeue_and_the_forgetting_of_the_rate_leave_a_job_that_starts(stage, first, second):
    first.enqueue([rated("a")])
    (a,) = claim(first)
    settle(first, completed(a))
    later = NOW + 2 * PER
    with stage.begun_until_its_commit(first, first.forget_unused, later) as forgetting:
        requeuing = stage.begin_until_it_waits(second, second.requeue, "a", later)
    assert result_of(forgetting) == 1
    result_of(requeuing)
    assert ids(claim(second, worker_id=2, now=later)) == ["a"]


def test_a_rate_is_not_forgotten_while_a_job_of_it_is_requeued(stage, first, second):
    first.enqueue([rated("a")])
    (a,) = claim(first)
    settle(first, completed(a))
    later = NOW + 2 * PER
    with stage.begun_until_its_commit(first, first.requeue, "a", later):
        assert second.forget_unused(later) == 0
    assert ids(claim(second, worker_id=2, now=later)) == ["a"]


# ---- limits of queues


def test_two_that_claim_at_once_run_no_more_than_the_queue_allows(stage, first, second):
    first.enqueue([new_job(name) for name in "abcde"])
    limited = wanted(2)._replace(queue_limits=(QueueLimit("default", running=3),))
    with stage.begun_until_its_commit(first, first.exchange, 1, [], limited, NOW) as one:
        other = stage.begin_until_it_waits(second, second.exchange, 2, [], limited, NOW)
    assert ids(result_of(one).claimed) == ["a", "b"]
    assert ids(result_of(other).claimed) == ["c"]


def test_two_that_claim_at_once_start_no_more_than_the_queues_rate_allows(stage, first, second):
    first.enqueue([new_job(name) for name in "abcde"])
    limited = wanted(2)._replace(queue_limits=(QueueLimit("default", starts=3, per=PER),))
    with stage.begun_until_its_commit(first, first.exchange, 1, [], limited, NOW) as one:
        other = stage.begin_until_it_waits(second, second.exchange, 2, [], limited, NOW)
    assert ids([*result_of(one).claimed, *result_of(other).claimed]) == ["a", "b", "c"]
    assert first.get("d").status is JobStatus.PENDING
