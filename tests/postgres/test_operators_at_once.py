"""What operators and housekeeping do to a job while a worker claims it: the one or the other, never half of both."""

from __future__ import annotations

import pytest

from sqlite_job.core.errors import JobNotFoundError, JobStateError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.retention import START, Old
from sqlite_job.core.states import JobStatus
from tests.postgres.interleaving import result_of
from tests.storage.making import NOW, claim, completed, new_job, settle, wanted

EXPIRY = Conditions(expires_at=NOW + 5)
OLD = Old(NOW + 9, lambda *_: True)


def test_two_claim_at_once_what_the_other_one_does_not(stage, first, second):
    first.enqueue([new_job(name) for name in "abcd"])
    with stage.begun_until_its_commit(first, claim, first, room=2) as one:
        other = claim(second, worker_id=2)
    assert [job.id for job in result_of(one) + other] == ["a", "b", "c", "d"]


def test_a_job_that_is_being_claimed_is_not_deleted(stage, first, second):
    first.enqueue([new_job("a")])
    with stage.begun_until_its_commit(first, claim, first) as claiming:
        deleting = stage.begin_until_it_waits(second, second.delete, "a")
    with pytest.raises(JobStateError, match="running"):
        result_of(deleting)
    (a,) = result_of(claiming)
    assert settle(first, completed(a)) == []


def test_a_job_that_is_being_claimed_is_told_to_stop(stage, first, second):
    first.enqueue([new_job("a")])
    with stage.begun_until_its_commit(first, claim, first):
        cancelling = stage.begin_until_it_waits(second, second.cancel, "a", "why", NOW)
    assert result_of(cancelling) is JobStatus.RUNNING
    assert [request.reason for request in first.cancel_requests(1)] == ["why"]


def test_a_job_that_is_being_claimed_does_not_expire(stage, first, second):
    first.enqueue([new_job("a", conditions=EXPIRY)])
    with stage.begun_until_its_commit(first, claim, first):
        expiring = stage.begin_until_it_waits(second, second.expire, NOW + 9)
    assert result_of(expiring) == 0
    assert first.get("a").status is JobStatus.RUNNING


ENDS = {
    "delete": (lambda storage: storage.delete("a"), None),
    "cancel": (lambda storage: storage.cancel("a", None, NOW), JobStatus.CANCELLED),
    "expire": (lambda storage: storage.expire(NOW + 9), JobStatus.CANCELLED),
}


@pytest.mark.parametrize("verb", ENDS)
def test_what_is_being_ended_is_not_claimed(stage, first, second, verb):
    first.enqueue([new_job("a", conditions=EXPIRY), new_job("b")])
    end, status = ENDS[verb]
    with stage.begun_until_its_commit(second, end, second):
        assert [job.id for job in claim(first)] == ["b"]
    assert claim(first) == []
    found = first.get("a")
    assert (found.status if found else None) is status


def test_a_cancelled_job_that_is_being_promoted_does_not_run(stage, first, second):
    first.enqueue([new_job("a", run_at=NOW + 1)])
    with stage.begun_until_its_commit(first, first.exchange, 1, [], wanted(0), NOW + 2):
        cancelling = stage.begin_until_it_waits(second, second.cancel, "a", None, NOW + 2)
    assert result_of(cancelling) is JobStatus.PENDING
    assert claim(first, now=NOW + 2) == []


def test_two_that_promote_at_once_leave_each_job_to_one(stage, first, second):
    first.enqueue([new_job("a", run_at=NOW + 1)])
    with stage.begun_until_its_commit(first, first.exchange, 1, [], wanted(), NOW + 2) as one:
        assert claim(second, worker_id=2, now=NOW + 2) == []
    assert [job.id for job in result_of(one).claimed] == ["a"]


def finish(storage, job_id):
    storage.enqueue([new_job(job_id)])
    (job,) = claim(storage)
    settle(storage, completed(job))


def test_a_job_that_is_being_requeued_is_not_pruned(stage, first, second):
    finish(first, "a")
    with stage.begun_until_its_commit(first, first.requeue, "a", NOW):
        pruned = second.prune(OLD, START, NOW)
    assert (pruned.jobs, pruned.missed) == (0, 1)
    assert [job.id for job in claim(second, worker_id=2)] == ["a"]


def test_a_job_that_is_being_pruned_cannot_be_requeued(stage, first, second):
    finish(first, "a")
    with stage.begun_until_its_commit(first, first.prune, OLD, START, NOW) as pruning:
        requeuing = stage.begin_until_it_waits(second, second.requeue, "a", NOW)
    assert result_of(pruning).jobs == 1
    with pytest.raises(JobNotFoundError):
        result_of(requeuing)


def test_two_that_prune_at_once_delete_each_job_once(stage, first, second):
    for name in "abc":
        finish(first, name)
    with stage.begun_until_its_commit(first, first.prune, OLD, START, NOW) as one:
        other = second.prune(OLD, START, NOW)
    assert (result_of(one).jobs, other.jobs, other.missed) == (3, 0, 3)


def test_two_requeues_at_once_are_one(stage, first, second):
    finish(first, "a")
    with stage.begun_until_its_commit(first, first.requeue, "a", NOW):
        other = stage.begin_until_it_waits(second, second.requeue, "a", NOW)
    with pytest.raises(JobStateError):
        result_of(other)
    assert [job.id for job in claim(first)] == ["a"]


def test_two_deletes_at_once_are_one(stage, first, second):
    first.enqueue([new_job("a")])
    with stage.begun_until_its_commit(first, first.delete, "a"):
        other = stage.begin_until_it_waits(second, second.delete, "a")
    with pytest.raises(JobNotFoundError):
        result_of(other)


# ---- pauses


def test_two_that_pause_at_once_pause_once(stage, first, second):
    with stage.begun_until_its_commit(first, first.pause, "default", NOW) as one:
        other = stage.begin_until_it_waits(second, second.pause, "default", NOW + 1)
    assert (result_of(one), result_of(other)) == (True, False)
    assert first.paused_queues() == {"default": NOW}


def test_nobody_claims_who_begins_after_a_pause_was_committed(stage, first, second):
    first.enqueue([new_job("a"), new_job("b")])
    with stage.begun_until_its_commit(first, claim, first, room=1) as under_way:
        assert second.pause("default", NOW)  # it does not wait for a claim that is under way
        assert claim(second, worker_id=2) == []
    assert [job.id for job in result_of(under_way)] == ["a"]
    assert claim(first) == []
