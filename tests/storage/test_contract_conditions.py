"""The contract of storage: jobs that expire, that are unique, whose group or rate has a limit."""

from __future__ import annotations

import pytest

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import DuplicateJobError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.outcomes import FailureReport, Limited, Retried, Returned, Snoozed
from sqlite_job.core.states import JobStatus
from tests.storage.making import LEASE, NOW, claim, completed, failed, new_job, settle, wanted

REPORT = FailureReport(1, "ValueError", "no", "")


def limited(job_id, group="g", limit=1, **changes):
    return new_job(job_id, conditions=Conditions(group_key=group, group_limit=limit), **changes)


def rated(job_id, key="r", starts=2, per=10 * SECOND, **changes):
    return new_job(job_id, conditions=Conditions(rate_key=key, rate_starts=starts, rate_per=per), **changes)


def unique(job_id=None, key="k", on_conflict="existing", unique_for=None, **changes):
    conditions = Conditions(unique_key=key, on_conflict=on_conflict, unique_for=unique_for)
    return new_job(job_id, conditions=conditions, **changes)


def ids(jobs):
    return [job.id for job in jobs]


def status(storage, job_id):
    return storage.get(job_id).status


def retried(job, delay=0):
    return Retried(NOW, NOW, job.seq, job.claim_number, REPORT, NOW + delay)


# ---- jobs that do not know of their function's limit


def test_a_job_of_a_limited_function_without_a_limit_is_told_apart_also_after_its_worker_died(storage):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage, worker_id=2)
    storage.unregister_worker(2)
    storage.rescue(NOW, 3)

    found = storage.exchange(1, [], wanted()._replace(limited=("add",)), NOW)
    assert (ids(found.unlimited), found.suspect, found.claimed) == (["a"], found.unlimited[0], [])
    conditions = Conditions(group_key="g", group_limit=1)
    assert settle(storage, Limited(job.seq, found.suspect.claim_number, conditions)) == []

    found = storage.exchange(1, [], wanted()._replace(limited=("add",)), NOW)
    assert (found.suspect.id, ids(found.unlimited)) == ("a", [])


# ---- expiry


def test_an_expired_job_is_not_claimed(storage):
    storage.enqueue([new_job("a", conditions=Conditions(expires_at=NOW + 5)), new_job("b")])

    assert not storage.peek(wanted(functions=("other",)), NOW + 5).is_ready
    assert ids(claim(storage, now=NOW + 5)) == ["b"]
    assert not storage.peek(wanted(), NOW + 5).is_ready


def test_a_job_is_claimed_until_it_expires_and_knows_when(storage):
    storage.enqueue([new_job("a", conditions=Conditions(expires_at=NOW + 5))])

    (job,) = claim(storage, now=NOW + 4)

    assert job.expires_at == NOW + 5


@pytest.mark.parametrize("run_at", [None, NOW + 3])
def test_expiring_cancels_waiting_jobs_with_the_reason(storage, run_at):
    storage.enqueue([new_job("a", run_at=run_at, conditions=Conditions(expires_at=NOW + 5)), new_job("b")])

    assert storage.expire(NOW + 4) == 0
    assert storage.expire(NOW + 5) == 1
    assert storage.expire(NOW + 5) == 0

    assert (status(storage, "a"), storage.get("a").error) == (JobStatus.CANCELLED, "expired")
    assert status(storage, "b") is JobStatus.PENDING


def test_a_running_job_does_not_expire_but_its_retry_does(storage):
    storage.enqueue([new_job("a", conditions=Conditions(expires_at=NOW + 5))])
    (job,) = claim(storage)
    assert storage.expire(NOW + 6) == 0

    settle(storage, retried(job, delay=SECOND), now=NOW + 6)
    assert storage.expire(NOW + 6) == 1


def test_a_requeued_job_does_not_expire_again(storage):
    storage.enqueue([new_job("a", conditions=Conditions(expires_at=NOW + 5))])
    storage.expire(NOW + 5)
    storage.requeue("a", NOW + 6)

    assert ids(claim(storage, now=NOW + 7)) == ["a"]


# ---- groups


def test_of_a_group_only_so_many_are_claimed(storage):
    storage.enqueue([limited(f"{n}", limit=2) for n in range(4)] + [new_job("free")])

    assert ids(claim(storage)) == ["0", "1", "free"]
    assert status(storage, "2") is JobStatus.BLOCKED
    assert claim(storage) == []


def test_the_end_of_one_releases_the_next_in_the_order_of_enqueueing(storage):
    storage.enqueue([limited("a"), limited("b", priority=1), limited("c", priority=9)])
    for expected, end in (("a", completed), ("b", failed), ("c", completed)):
        (job,) = claim(storage)
        assert job.id == expected
        settle(storage, end(job))


def test_settling_and_claiming_the_next_is_one_exchange(storage):
    storage.enqueue([limited("a"), limited("b")])
    (job,) = claim(storage)

    assert ids(storage.exchange(1, [completed(job)], wanted(), NOW).claimed) == ["b"]


def test_groups_do_not_wait_for_each_other(storage):
    storage.enqueue([limited(f"{group}{n}", group=group) for n in range(2) for group in "xy"])

    assert ids(claim(storage)) == ["x0", "y0"]


def test_cancelling_deleting_and_expiring_make_room(storage):
    expiring = Conditions(group_key="g", group_limit=1, expires_at=NOW + 5)
    storage.enqueue([limited("a"), limited("b"), new_job("c", conditions=expiring), limited("d")])
    storage.cancel("a", None, NOW)
    assert status(storage, "b") is JobStatus.PENDING
    storage.delete("b")
    assert status(storage, "c") is JobStatus.PENDING
    storage.expire(NOW + 5)
    assert status(storage, "d") is JobStatus.PENDING


def test_a_dead_workers_job_keeps_its_place(storage):
    storage.enqueue([limited("a"), limited("b")])
    claim(storage, worker_id=2)
    storage.abandon_worker(2)

    storage.rescue(NOW, 3)
    assert status(storage, "b") is JobStatus.BLOCKED
    assert ids(claim(storage)) == ["a"]


def test_a_job_that_dies_for_good_makes_room(storage):
    storage.enqueue([limited("a"), limited("b")])
    claim(storage, worker_id=2)
    storage.abandon_worker(2)

    storage.rescue(NOW, 1)
    assert ids(claim(storage)) == ["b"]


def test_a_sequence_waits_for_the_retry_of_its_first(storage):
    storage.enqueue([limited("a"), limited("b")])
    (job,) = claim(storage)
    settle(storage, retried(job, delay=SECOND))

    assert claim(storage) == []
    assert ids(claim(storage, now=NOW + SECOND)) == ["a"]


def test_a_job_of_a_wider_group_gives_its_place_while_it_waits_for_its_retry(storage):
    storage.enqueue([limited(name, limit=2) for name in "abc"])
    first, _ = claim(storage)
    settle(storage, retried(first, delay=SECOND))
    assert ids(claim(storage)) == ["c"]

    assert claim(storage, now=NOW + SECOND) == []
    assert status(storage, "a") is JobStatus.BLOCKED


def test_a_returned_job_keeps_its_place(storage):
    storage.enqueue([limited("a"), limited("b")])
    (job,) = claim(storage)
    settle(storage, Returned(job.seq, job.claim_number))

    assert ids(claim(storage)) == ["a"]


def test_a_requeued_job_takes_its_turn(storage):
    storage.enqueue([limited("a"), limited("b")])
    (job,) = claim(storage)
    settle(storage, completed(job))
    claim(storage)

    storage.requeue("a", NOW)
    assert status(storage, "a") is JobStatus.BLOCKED


def test_two_that_were_started_before_do_not_wait_for_each_other(storage):
    storage.enqueue([limited("a"), limited("b")])
    (job,) = claim(storage)
    settle(storage, completed(job))
    (second,) = claim(storage)
    settle(storage, retried(second, delay=SECOND))
    storage.requeue("a", NOW)

    (again,) = claim(storage)
    assert again.id == "a"
    settle(storage, completed(again))
    assert ids(claim(storage, now=NOW + SECOND)) == ["b"]


def test_scheduled_jobs_take_no_place_before_their_time(storage):
    storage.enqueue([limited("later", run_at=NOW + SECOND), limited("now")])
    (job,) = claim(storage)
    assert job.id == "now"

    assert claim(storage, now=NOW + SECOND) == []
    settle(storage, completed(job), now=NOW + SECOND)
    assert ids(claim(storage, now=NOW + SECOND)) == ["later"]


def test_a_raised_limit_counts_from_the_next_job_on(storage):
    storage.enqueue([limited("a"), limited("b")])
    storage.enqueue([limited("c", limit=3)])

    assert ids(claim(storage)) == ["a"]


# ---- rates


def test_so_many_start_and_the_next_when_the_time_has_passed(storage):
    storage.enqueue([rated(name) for name in "abcde"])

    assert storage.peek(wanted(), NOW).is_ready
    assert ids(claim(storage)) == ["a", "b"]
    assert storage.peek(wanted(), NOW)[:2] == (False, NOW + 10 * SECOND)
    assert claim(storage, now=NOW + 10 * SECOND - 1) == []
    assert storage.peek(wanted(), NOW + 10 * SECOND).is_ready
    assert ids(claim(storage, now=NOW + 10 * SECOND)) == ["c", "d"]


def test_a_start_counts_for_any_span_of_that_length(storage):
    storage.enqueue([rated("a")])
    claim(storage)
    storage.enqueue([rated(name, created_at=NOW + 9 * SECOND) for name in "bcd"])

    assert ids(claim(storage, now=NOW + 9 * SECOND)) == ["b"]
    assert ids(claim(storage, now=NOW + 10 * SECOND)) == ["c"]
    assert claim(storage, now=NOW + 18 * SECOND) == []
    assert ids(claim(storage, now=NOW + 19 * SECOND)) == ["d"]


def test_waiting_for_a_rate_costs_no_try(storage):
    storage.enqueue([rated(name) for name in "abc"])
    claim(storage)
    for _ in range(3):
        assert claim(storage) == []

    (job,) = claim(storage, now=NOW + 10 * SECOND)
    assert (job.id, job.tries, job.claim_number) == ("c", 1, 1)


def test_only_as_many_as_there_is_room_for_count_as_started(storage):
    storage.enqueue([rated(name) for name in "abc"])

    assert ids(claim(storage, room=1)) == ["a"]
    assert storage.peek(wanted(), NOW).is_ready
    assert ids(claim(storage, room=1)) == ["b"]


def test_what_is_outrun_by_priority_does_not_count_as_started(storage):
    storage.enqueue([rated("a"), new_job("urgent", priority=1)])

    assert ids(claim(storage, room=1)) == ["urgent"]
    assert status(storage, "a") is JobStatus.BLOCKED
    assert ids(claim(storage, room=1)) == ["a"]


def test_another_workers_functions_do_not_wake_this_one(storage):
    storage.enqueue([rated("a", function="other")])

    assert storage.peek(wanted(), NOW)[:2] == (False, None)
    assert claim(storage) == []
    assert ids(claim(storage, functions=("other",))) == ["a"]


def test_a_retry_is_a_start_of_its_own(storage):
    storage.enqueue([rated("a", starts=1)])
    (job,) = claim(storage)
    settle(storage, retried(job))

    assert claim(storage) == []
    assert ids(claim(storage, now=NOW + 10 * SECOND)) == ["a"]


def test_a_rescued_job_starts_under_its_rate_again(storage):
    storage.enqueue([rated("a", starts=1)])
    claim(storage, worker_id=2)
    storage.abandon_worker(2)
    storage.rescue(NOW, 3)

    assert claim(storage) == []
    assert ids(claim(storage, now=NOW + 10 * SECOND)) == ["a"]


def test_a_scheduled_job_starts_under_its_rate(storage):
    storage.enqueue([rated("a", starts=1), rated("b", starts=1, run_at=NOW + SECOND)])
    claim(storage)

    assert claim(storage, now=NOW + SECOND) == []
    assert ids(claim(storage, now=NOW + 10 * SECOND)) == ["b"]


def test_an_expired_job_under_a_rate_does_not_keep_a_worker_busy(storage):
    conditions = Conditions(expires_at=NOW + 5, rate_key="r", rate_starts=1, rate_per=SECOND)
    storage.enqueue([new_job("a", conditions=conditions)])

    assert not storage.peek(wanted(), NOW + 5).is_ready


def test_a_job_with_a_group_and_a_rate_needs_both(storage):
    def both(job_id, group):
        conditions = Conditions(group_key=group, group_limit=1, rate_key="r", rate_starts=2, rate_per=10 * SECOND)
        return new_job(job_id, conditions=conditions)

    storage.enqueue([both("x0", "x"), both("x1", "x"), both("y0", "y"), both("y1", "y")])

    first, second = claim(storage)
    assert (first.id, second.id) == ("x0", "y0")
    settle(storage, completed(first), completed(second))
    assert claim(storage) == []
    assert ids(claim(storage, now=NOW + 10 * SECOND)) == ["x1", "y1"]


def test_a_rate_whose_jobs_wait_for_their_group_does_not_keep_a_worker_busy(storage):
    conditions = Conditions(group_key="g", group_limit=1, rate_key="r", rate_starts=9, rate_per=SECOND)
    storage.enqueue([new_job("a", conditions=conditions), new_job("b", conditions=conditions)])
    (job,) = claim(storage)

    assert storage.peek(wanted(), NOW)[:2] == (False, None)
    settle(storage, completed(job))
    assert storage.peek(wanted(), NOW).is_ready
    assert ids(claim(storage)) == ["b"]


# ---- unique


def test_a_second_job_with_the_key_is_not_stored(storage):
    assert storage.enqueue([unique("a")]) == {}
    assert storage.enqueue([unique("b")]) == {"b": "a"}
    assert storage.get("b") is None


def test_it_is_right_within_one_batch(storage):
    assert storage.enqueue([unique("a"), new_job("x"), unique("b"), unique("c", key="other")]) == {"b": "a"}
    assert ids(claim(storage)) == ["a", "x", "c"]


@pytest.mark.parametrize("end", [completed, failed])
def test_a_finished_job_frees_its_key(storage, end):
    storage.enqueue([unique("a")])
    (job,) = claim(storage)
    assert storage.enqueue([unique("b")]) == {"b": "a"}
    settle(storage, end(job))

    assert storage.enqueue([unique("c")]) == {}


def test_a_job_that_waits_for_its_retry_keeps_its_key(storage):
    storage.enqueue([unique("a")])
    (job,) = claim(storage)
    settle(storage, retried(job, delay=SECOND))

    assert storage.enqueue([unique("b")]) == {"b": "a"}


def test_a_window_keeps_the_key_whatever_becomes_of_the_job(storage):
    storage.enqueue([unique("a", unique_for=SECOND)])
    (job,) = claim(storage)
    settle(storage, completed(job))

    assert storage.enqueue([unique("b", created_at=NOW + SECOND - 1)]) == {"b": "a"}
    assert storage.enqueue([unique("c", created_at=NOW + SECOND)]) == {}


def test_a_window_outlives_a_deleted_job(storage):
    storage.enqueue([unique("a", unique_for=SECOND)])
    storage.delete("a")

    with pytest.raises(DuplicateJobError, match="a job that was deleted had"):
        storage.enqueue([unique("b", created_at=NOW + 1)])
    assert storage.enqueue([unique("c", created_at=NOW + SECOND)]) == {}


def test_a_deleted_job_frees_its_key(storage):
    storage.enqueue([unique("a")])
    storage.delete("a")

    assert storage.enqueue([unique("b")]) == {}


def test_raising_names_the_key_and_the_job_and_writes_nothing(storage):
    storage.enqueue([unique("a")])

    with pytest.raises(DuplicateJobError) as caught:
        storage.enqueue([new_job("x"), unique("b", on_conflict="raise")])

    assert (caught.value.key, caught.value.job_id) == ("k", "a")
    assert storage.get("x") is None


def test_replacing_gives_the_new_arguments_and_time(storage):
    storage.enqueue([unique("a", run_at=NOW + SECOND)])
    newer = unique("b", on_conflict="replace", args=b"new", preview="new", run_at=NOW + 2 * SECOND)

    assert storage.enqueue([newer]) == {"b": "a"}

    assert claim(storage, now=NOW + SECOND) == []
    (job,) = claim(storage, now=NOW + 2 * SECOND)
    assert (job.id, job.args, storage.get("a").arguments) == ("a", b"new", "new")


def test_replacing_without_a_time_makes_it_ready(storage):
    storage.enqueue([unique("a", run_at=NOW + SECOND)])
    storage.enqueue([unique("b", on_conflict="replace", args=b"new")])

    assert [(job.id, job.args) for job in claim(storage)] == [("a", b"new")]


def test_what_would_replace_a_running_job_waits_for_its_end(storage):
    storage.enqueue([unique("a")])
    (job,) = claim(storage)

    assert storage.enqueue([unique("b", on_conflict="replace", args=b"new")]) == {}
    assert storage.enqueue([unique("c", on_conflict="replace", args=b"newer")]) == {"c": "b"}
    assert claim(storage) == []
    settle(storage, completed(job))
    assert [(job.id, job.args) for job in claim(storage)] == [("b", b"newer")]


def test_requeueing_takes_the_key_again_or_is_refused(storage):
    storage.enqueue([unique("a")])
    (job,) = claim(storage)
    settle(storage, completed(job))
    storage.requeue("a", NOW)
    assert storage.enqueue([unique("b")]) == {"b": "a"}

    (job,) = claim(storage)
    settle(storage, completed(job))
    storage.enqueue([unique("c")])
    with pytest.raises(DuplicateJobError, match="job c has the unique key 'k'"):
        storage.requeue("a", NOW)
    assert status(storage, "a") is JobStatus.COMPLETED


def test_an_own_id_that_exists_is_left_as_it_is_whatever_its_key(storage):
    storage.enqueue([unique("a")])

    assert storage.enqueue([unique("a", key="other")]) == {}
    assert storage.enqueue([unique("b", key="other")]) == {}


def test_a_snoozed_job_keeps_its_place_in_a_sequence(storage):
    storage.enqueue([limited("a"), limited("b")])
    (job,) = claim(storage)
    settle(storage, Snoozed(NOW, NOW, job.seq, job.claim_number, NOW + SECOND))

    assert claim(storage) == []
    assert ids(claim(storage, now=NOW + SECOND + LEASE)) == ["a"]


# ---- what is forgotten


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_running_job_has_its_key_again_when_the_one_that_followed_it_is_gone(storage, end):
    storage.enqueue([new_job("a", conditions=Conditions(unique_key="k"))])
    (running,) = claim(storage)
    storage.enqueue([new_job("b", conditions=Conditions(unique_key="k", on_conflict="replace"))])
    storage.cancel("b", None, NOW) if end == "cancel" else storage.delete("b")

    assert storage.enqueue([new_job("c", conditions=Conditions(unique_key="k"))]) == {"c": "a"}
    assert storage.enqueue([new_job("d", conditions=Conditions(unique_key="k", on_conflict="replace"))]) == {}
    assert claim(storage) == []
    settle(storage, completed(running))
    assert [job.id for job in claim(storage)] == ["d"]


def test_who_comes_with_an_older_time_counts_what_was_old_for_the_other(storage):
    """It has waited for a lock since it looked at the clock."""
    storage.enqueue([rated(name) for name in "abc"])
    assert len(claim(storage, now=NOW)) == 2
    assert [job.id for job in claim(storage, now=NOW + 10 * SECOND)] == ["c"]
    storage.enqueue([rated("d", created_at=NOW + 8 * SECOND)])
    assert claim(storage, now=NOW + 9 * SECOND) == []  # it would be the third within ten seconds
    assert [job.id for job in claim(storage, now=NOW + 10 * SECOND)] == ["d"]


def test_a_rate_is_looked_at_by_whoever_runs_the_queue_of_what_waits(storage):
    storage.enqueue([rated("a", starts=9), rated("b", starts=9, queue="other")])
    assert [job.id for job in claim(storage)] == ["a"]
    assert [job.id for job in claim(storage, queues=["other"], now=NOW + 1)] == ["b"]


def test_a_job_whose_rate_was_forgotten_can_be_requeued(storage):
    storage.enqueue([rated("a")])
    (done,) = claim(storage)
    settle(storage, completed(done))
    later = NOW + 99 * SECOND
    assert storage.forget_unused(later) == 1

    storage.requeue("a", later)

    exchange = storage.exchange(1, [], wanted()._replace(limited=("add",)), later)
    assert [job.id for job in exchange.unlimited] == ["a"]  # its worker gives it the limits of its function anew


def test_a_rate_is_forgotten_when_no_job_and_no_start_of_it_counts(storage):
    storage.enqueue([rated("a"), rated("b", key="s", run_at=NOW + 99 * SECOND)])
    (job,) = claim(storage)
    assert storage.forget_unused(NOW) == 0
    settle(storage, completed(job))
    assert storage.forget_unused(NOW + 10 * SECOND - 1) == 0

    assert storage.forget_unused(NOW + 10 * SECOND) == 1
    assert storage.forget_unused(NOW + 10 * SECOND) == 0
    assert ids(claim(storage, now=NOW + 99 * SECOND)) == ["b"]


def test_a_unique_key_is_forgotten_when_its_window_and_its_job_are_gone(storage):
    storage.enqueue([unique("a", unique_for=SECOND), unique("b", key="l", unique_for=SECOND)])
    storage.delete("a")
    assert storage.forget_unused(NOW + SECOND) == 0

    assert storage.forget_unused(NOW + SECOND + 1) == 1
    assert storage.enqueue([unique("c", key="l", created_at=NOW + 2 * SECOND)]) == {"c": "b"}
