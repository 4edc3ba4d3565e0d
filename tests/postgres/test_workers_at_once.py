"""Workers that are believed dead while they do something: each job is rescued once, or not at all."""

from __future__ import annotations

import pytest

from sqlite_job.core.notes import JobNotes, LogNote, ProgressNote
from sqlite_job.core.states import JobStatus
from tests.postgres.interleaving import result_of
from tests.storage.making import LEASE, NOW, claim, completed, failed, new_job, settle, wanted

LATER = NOW + 2 * LEASE


@pytest.fixture
def held(first, second):
    """A job that the first worker holds; the second one lives on."""
    second.heartbeat(2, NOW, 9 * LEASE)
    first.enqueue([new_job("a")])
    (a,) = claim(first)
    return a


@pytest.mark.usefixtures("held")
def test_two_that_rescue_at_once_rescue_each_job_once(stage, first, second):
    third = stage.storage("third")
    with stage.begun_until_its_commit(second, second.rescue, LATER, 3) as one:
        other = stage.begin_until_it_waits(third, third.rescue, LATER, 3)
    assert [job.id for job in result_of(one)] == ["a"]
    assert result_of(other) == []
    assert [failure.error_type for failure in first.failures("a")] == ["WorkerDied"]


def test_two_that_rescue_from_a_worker_without_a_row_rescue_each_job_once(stage, first, second, held):
    first.unregister_worker(1)
    third = stage.storage("third")
    with stage.begun_until_its_commit(second, second.rescue, NOW, 3) as one:
        other = stage.begin_until_it_waits(third, third.rescue, NOW, 3)
    assert [job.id for job in result_of(one)] == ["a"]
    assert result_of(other) == []
    assert settle(first, completed(held)) != []


def test_the_last_word_of_a_worker_that_is_about_to_be_rescued_counts(stage, first, second, held):
    with stage.begun_until_its_commit(first, first.exchange, 1, [completed(held)], wanted(), NOW) as last:
        rescuing = stage.begin_until_it_waits(second, second.rescue, LATER, 3)
    assert result_of(last).stale == []
    assert result_of(rescuing) == []
    assert first.get("a").status is JobStatus.COMPLETED


def test_the_last_word_of_a_worker_that_has_just_been_rescued_is_stale(stage, first, second, held):
    with stage.begun_until_its_commit(second, second.rescue, LATER, 3):
        late = stage.begin_until_it_waits(first, first.exchange, 1, [completed(held)], wanted(), NOW)
    exchange = result_of(late)
    assert ([outcome.seq for outcome in exchange.stale], exchange.is_expelled) == ([held.seq], True)
    assert first.get("a").status is JobStatus.PENDING


@pytest.mark.usefixtures("held")
def test_what_a_worker_claims_while_it_is_believed_dead_is_rescued_too(stage, first, second):
    first.enqueue([new_job("b")])
    with stage.begun_until_its_commit(first, claim, first) as claiming:
        rescuing = stage.begin_until_it_waits(second, second.rescue, LATER, 3)
    assert [job.id for job in result_of(claiming)] == ["b"]
    assert [job.id for job in result_of(rescuing)] == ["a", "b"]


@pytest.mark.usefixtures("held")
def test_a_worker_that_wakes_up_just_in_time_is_left_alone(stage, first, second):
    with stage.begun_until_its_commit(first, first.heartbeat, 1, LATER, LEASE) as waking:
        rescuing = stage.begin_until_it_waits(second, second.rescue, LATER, 3)
    assert result_of(waking) is True
    assert result_of(rescuing) == []


@pytest.mark.usefixtures("held")
def test_a_worker_that_wakes_up_too_late_is_told(stage, first, second):
    with stage.begun_until_its_commit(second, second.rescue, LATER, 3):
        waking = stage.begin_until_it_waits(first, first.heartbeat, 1, LATER, LEASE)
    assert result_of(waking) is False


def test_a_worker_is_not_believed_dead_before_its_registration_is_committed_nor_after(stage, first, second):
    third = stage.storage("third")
    with stage.begun_until_its_commit(third, third.register_worker, ("default",), NOW, LEASE) as registering:
        assert second.rescue(NOW, 3) == []
    worker_id = result_of(registering)
    assert second.rescue(NOW, 3) == []
    assert worker_id in {row.id for row in second.workers()}
    third.unregister_worker(worker_id)


# ---- notes


def notes_of(job):
    return [JobNotes(job.seq, job.claim_number, ProgressNote(1.0, 2.0, None, NOW), (LogNote(NOW, 1, 20, "x", "said"),))]


def test_notes_that_come_before_a_rescue_are_kept(stage, first, second, held):
    with stage.begun_until_its_commit(first, first.note, notes_of(held)):
        rescuing = stage.begin_until_it_waits(second, second.rescue, LATER, 3)
    assert [job.id for job in result_of(rescuing)] == ["a"]
    assert [log.message for log in first.logs("a")] == ["said"]


def test_notes_that_come_after_a_rescue_change_nothing(stage, first, second, held):
    with stage.begun_until_its_commit(second, second.rescue, LATER, 3):
        noting = stage.begin_until_it_waits(first, first.note, notes_of(held))
    result_of(noting)
    assert (first.progress("a"), first.logs("a")) == (None, [])


def test_two_first_notes_of_one_job_at_once_are_both_kept(stage, first, held):
    third = stage.storage("third")
    with stage.begun_until_its_commit(first, first.note, notes_of(held)):
        noting = stage.begin_until_it_waits(third, third.note, notes_of(held))
    result_of(noting)
    assert [(log.number, log.message) for log in first.logs("a")] == [(1, "said"), (2, "said")]


def test_notes_and_a_turn_that_completes_the_same_jobs_do_not_wait_for_each_other(stage, first, held):
    third = stage.storage("third")
    first.enqueue([new_job("b")])
    (b,) = claim(first)
    first.runs = third.runs = 0
    with stage.locked(query="LOCK TABLE sqlitejob_progress IN SHARE MODE"):
        noting = stage.begin_until_it_waits(third, third.note, [*notes_of(held), *notes_of(b)])
        turn = stage.begin_until_it_waits(first, settle, first, completed(b), completed(held))
    assert result_of(turn) == []
    result_of(noting)
    assert (first.runs, third.runs) == (1, 1)
    assert [log.message for name in "ab" for log in first.logs(name)] == ["said", "said"]


def test_a_deadlock_of_notes_and_a_turn_is_ended_and_the_turn_is_not_lost(stage, first, second, held):
    third = stage.storage("third")
    first.enqueue([new_job("b")])
    (b,) = claim(first)
    # The notes stop at the first job's progress with that job locked; the turn has ended the second job already.
    with stage.locked(query="LOCK TABLE sqlitejob_progress IN SHARE MODE"):
        noting = stage.begin_until_it_waits(third, third.note, [*notes_of(held), *notes_of(b)])
        turn = stage.begin_until_it_waits(first, settle, first, completed(b), failed(held))
    assert result_of(turn) == []
    result_of(noting)
    assert [first.get(name).status.value for name in "ab"] == ["failed", "completed"]
