"""Groups while several transactions count them: no place is given twice, and no job stays blocked behind nobody."""

from __future__ import annotations

import pytest

from sqlite_job.core.errors import DatabaseBusyError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.outcomes import Returned
from sqlite_job.core.states import JobStatus
from tests.postgres.interleaving import result_of
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle, wanted

GROUP = "group g"


def grouped(job_id, limit=1, **changes):
    return new_job(job_id, conditions=Conditions(group_key="g", group_limit=limit), **changes)


def statuses(storage, *job_ids):
    return "".join(storage.get(job_id).status.value[0] for job_id in job_ids)


def test_a_job_that_comes_while_the_last_one_settles_is_released(stage, first, second):
    first.enqueue([grouped("a")])
    (a,) = claim(first)
    with stage.begun_until_its_commit(first, settle, first, completed(a)):
        coming = stage.begin_until_it_waits(second, second.enqueue, [grouped("b")])
    result_of(coming)
    assert second.get("b").status is JobStatus.PENDING


def test_a_job_that_was_blocked_just_before_the_last_one_settles_is_released(stage, first, second):
    first.enqueue([grouped("a")])
    (a,) = claim(first)
    with stage.begun_until_its_commit(second, second.enqueue, [grouped("b")]):
        ending = stage.begin_until_it_waits(first, settle, first, completed(a))
    assert result_of(ending) == []
    assert second.get("b").status is JobStatus.PENDING


def test_two_that_end_at_once_release_two(stage, first, second):
    first.enqueue([grouped(name, limit=2) for name in "abcde"])
    a, b = claim(first)
    with stage.begun_until_its_commit(first, settle, first, completed(a)):
        ending = stage.begin_until_it_waits(second, settle, second, completed(b))
    result_of(ending)
    assert statuses(first, *"abcde") == "ccppb"


def test_two_that_enqueue_at_once_get_one_place(stage, first, second):
    with stage.begun_until_its_commit(first, first.enqueue, [grouped("a")]):
        other = stage.begin_until_it_waits(second, second.enqueue, [grouped("b")])
    result_of(other)
    assert statuses(first, "a", "b") == "pb"


def test_a_place_that_a_claim_takes_meanwhile_is_not_given_twice(stage, first, second):
    first.enqueue([grouped("a")])
    with stage.begun_until_its_commit(first, claim, first):
        second.enqueue([grouped("b")])
    assert statuses(first, "a", "b") == "rb"


def test_a_job_returned_while_another_one_is_enqueued_keeps_its_place(stage, first, second):
    first.enqueue([grouped("a")])
    (a,) = claim(first)
    with stage.begun_until_its_commit(first, settle, first, Returned(a.seq, a.claim_number)):
        coming = stage.begin_until_it_waits(second, second.enqueue, [grouped("b")])
    result_of(coming)
    assert statuses(first, "a", "b") == "pb"


def test_two_that_promote_at_once_promote_once_and_respect_the_group(stage, first, second):
    first.enqueue([grouped(name, run_at=NOW + 1) for name in "ab"])
    with stage.begun_until_its_commit(first, first.exchange, 1, [], wanted(0), NOW + 2):
        other = stage.begin_until_it_waits(second, second.exchange, 2, [], wanted(0), NOW + 2)
    result_of(other)
    assert statuses(first, "a", "b") == "pb"


# ---- who waits for whom: all wait for groups before they hold any row that somebody may wait for who has the group


def queue_up(stage, earlier, later):
    """Let two verbs wait for the group in this order, and then go on; returns their futures."""
    with stage.locked(GROUP):
        futures = [stage.begin_until_it_waits(*one) for one in (earlier, later)]
    return [result_of(future) for future in futures]


def test_cancel_and_settle_of_one_job_do_not_wait_for_each_other(stage, first, second):
    first.enqueue([grouped("a"), grouped("b")])
    (a,) = claim(first)
    first.runs = second.runs = 0
    queue_up(stage, (second, second.cancel, "a", None, NOW), (first, settle, first, completed(a)))
    assert (first.runs, second.runs) == (1, 1)
    assert statuses(first, "a", "b") == "cp"


def test_replace_and_settle_of_one_job_do_not_wait_for_each_other(stage, first, second):
    conditions = Conditions(group_key="g", group_limit=1, unique_key="u", on_conflict="replace")
    first.enqueue([new_job("a", conditions=conditions)])
    (a,) = claim(first)
    first.runs = second.runs = 0
    newer = [new_job("b", conditions=conditions)]
    queue_up(stage, (second, second.enqueue, newer), (first, settle, first, completed(a)))
    assert (first.runs, second.runs) == (1, 1)
    assert statuses(first, "a", "b") == "cp"


def test_replace_of_a_blocked_job_and_its_release_do_not_wait_for_each_other(stage, first, second):
    first.enqueue([grouped("a"), grouped("b")])
    first.enqueue([new_job("c", conditions=Conditions(group_key="g", group_limit=1, unique_key="u"))])
    second.cancel("b", None, NOW)
    (a,) = claim(first)
    newer = Conditions(group_key="h", group_limit=1, unique_key="u", on_conflict="replace")
    first.runs = second.runs = 0
    queue_up(stage, (first, settle, first, completed(a)), (second, second.enqueue, [new_job(conditions=newer)]))
    assert (first.runs, second.runs) == (1, 1)
    assert statuses(first, "a", "c") == "cp"


def test_cancel_and_promotion_of_one_job_do_not_wait_for_each_other(stage, first, second):
    first.enqueue([grouped("a", run_at=NOW + 1), grouped("b", run_at=NOW + 1)])
    first.runs = second.runs = 0
    promote = (first, first.exchange, 1, [], wanted(0), NOW + 2)
    queue_up(stage, (second, second.cancel, "a", None, NOW), promote)
    assert (first.runs, second.runs) == (1, 1)
    assert statuses(first, "a", "b") == "cp"


def test_a_rescue_and_the_last_turn_of_whom_it_buries_do_not_wait_for_each_other(stage, first, second):
    first.enqueue([grouped("a"), grouped("b")])
    (a,) = claim(first)
    second.heartbeat(2, NOW, 9 * LEASE)
    first.runs = second.runs = 0
    with stage.locked(GROUP):
        ending = stage.begin_until_it_waits(first, first.exchange, 1, [completed(a)], wanted(), NOW)
        rescuing = stage.begin_until_it_waits(second, second.rescue, NOW + 2 * LEASE, 3)
    # It ended its job and got the next one; both were its own until then.
    assert [job.id for job in result_of(ending).claimed] == ["b"]
    assert [job.id for job in result_of(rescuing)] == ["b"]
    assert (first.runs, second.runs) == (1, 1)
    assert statuses(first, "a", "b") == "cp"


def test_a_rescue_of_two_workers_and_the_last_turn_of_one_do_not_wait_for_each_other(stage, first, second):
    third = stage.storage("third")
    first.enqueue([grouped("a", limit=2), grouped("b", limit=2)])
    assert claim(first, room=1)
    (b,) = claim(second, room=1, worker_id=2)
    second.runs = third.runs = 0
    with stage.locked(GROUP):
        rescuing = stage.begin_until_it_waits(third, third.rescue, NOW + 2 * LEASE, 3)
        ending = stage.begin_until_it_waits(second, second.exchange, 2, [completed(b)], wanted(), NOW)
    assert [job.id for job in result_of(rescuing)] == ["a", "b"]
    assert [outcome.seq for outcome in result_of(ending).stale] == [b.seq]
    assert (second.runs, third.runs) == (2, 1)  # what is stale is found in a second run, one by one
    assert statuses(first, "a", "b") == "pp"


@pytest.mark.parametrize("order", ["cancel first", "settle first"])
def test_a_job_that_settles_in_its_own_transaction_never_loses_it_to_a_deadlock(stage, first, second, order):
    from sqlite_job.core.stopping import Stop

    first.enqueue([grouped("a"), grouped("b")])
    (a,) = claim(first)
    opened = first.open_transaction(Stop())
    verbs = [(second, second.cancel, "a", None, NOW), (first, opened.complete, completed(a))]
    found = queue_up(stage, *(verbs if order == "cancel first" else verbs[::-1]))
    opened.close()
    assert True in found
    assert statuses(first, "a", "b") == "cp"


def test_a_deadlock_with_a_users_transaction_is_ended_and_nothing_is_lost(stage, first, second):
    """Its own order of locks nobody can know: it enqueues one thing after the other."""
    import psycopg

    def one(group):
        return new_job(conditions=Conditions(group_key=group, group_limit=1))

    def users_transaction():
        while True:
            with psycopg.connect(stage.conninfo) as theirs:
                try:
                    second.enqueue_within(theirs, [one("h")])
                    second.enqueue_within(theirs, [one("g")])
                except DatabaseBusyError:
                    theirs.rollback()
                else:
                    return

    with stage.locked("group g", "group h"):
        ours = stage.begin_until_it_waits(first, first.enqueue, [one("g"), one("h")])
        theirs = stage.begin(users_transaction)
    result_of(ours), result_of(theirs)
    found = stage.connection.execute("SELECT group_key, status FROM sqlitejob_job ORDER BY group_key, status")
    assert found.fetchall() == [("g", "blocked"), ("g", "pending"), ("h", "blocked"), ("h", "pending")]
