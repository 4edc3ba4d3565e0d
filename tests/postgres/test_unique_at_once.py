"""Unique keys and own ids while others enqueue, claim and settle: one holder, and no new arguments under a run."""

from __future__ import annotations

import pytest

from sqlite_job.core.errors import DuplicateJobError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.states import JobStatus
from tests.postgres.interleaving import result_of
from tests.storage.making import NOW, claim, completed, new_job, settle


def unique(job_id, on_conflict="existing", **changes):
    return new_job(job_id, conditions=Conditions(unique_key="u", on_conflict=on_conflict), **changes)


def holders(stage):
    found = stage.connection.execute("SELECT id FROM sqlitejob_unique JOIN sqlitejob_job USING (seq)")
    return [job_id for (job_id,) in found]


def test_of_two_that_enqueue_one_key_at_once_the_later_gets_the_others_job(stage, first, second):
    with stage.begun_until_its_commit(first, first.enqueue, [unique("a")]):
        other = stage.begin_until_it_waits(second, second.enqueue, [unique("b")])
    assert result_of(other) == {"b": "a"}
    assert (holders(stage), second.get("b")) == (["a"], None)


def test_of_two_that_enqueue_one_key_at_once_the_later_is_told(stage, first, second):
    with stage.begun_until_its_commit(first, first.enqueue, [unique("a")]):
        other = stage.begin_until_it_waits(second, second.enqueue, [unique("b", "raise")])
    with pytest.raises(DuplicateJobError):
        result_of(other)


def test_the_same_id_twice_at_once_is_one_job(stage, first, second):
    with stage.begun_until_its_commit(first, first.enqueue, [new_job("a", args=b"first")]):
        other = stage.begin_until_it_waits(second, second.enqueue, [new_job("a", args=b"second"), new_job("b")])
    result_of(other)
    assert first.arguments("a").args == b"first"
    assert second.get("b").status is JobStatus.PENDING


def test_an_enqueue_while_the_holder_completes_finds_it_unfinished(stage, first, second):
    first.enqueue([unique("a")])
    (a,) = claim(first)
    with stage.begun_until_its_commit(first, settle, first, completed(a)):
        assert second.enqueue([unique("b")]) == {"b": "a"}
    assert second.enqueue([unique("c")]) == {}
    assert holders(stage) == ["c"]


def test_a_replacement_while_the_holder_completes_is_a_job_of_its_own(stage, first, second):
    first.enqueue([unique("a")])
    (a,) = claim(first)
    with stage.begun_until_its_commit(first, settle, first, completed(a)):
        replacing = stage.begin_until_it_waits(second, second.enqueue, [unique("b", "replace")])
    assert result_of(replacing) == {}
    assert (holders(stage), second.get("b").status) == (["b"], JobStatus.PENDING)


def test_arguments_are_never_exchanged_under_a_job_that_is_being_claimed(stage, first, second):
    first.enqueue([unique("a", args=b"old")])
    with stage.begun_until_its_commit(first, claim, first) as claiming:
        replacing = stage.begin_until_it_waits(second, second.enqueue, [unique("b", "replace", args=b"new")])
    (a,) = result_of(claiming)
    assert result_of(replacing) == {}  # it follows
    assert (a.args, first.arguments("a").args, first.arguments("b").args) == (b"old", b"old", b"new")
    assert second.get("b").status is JobStatus.BLOCKED
    settle(first, completed(a))
    assert [(job.id, job.args) for job in claim(second, worker_id=2)] == [("b", b"new")]


def test_a_job_that_is_being_replaced_is_claimed_with_its_new_arguments_only(stage, first, second):
    first.enqueue([unique("a", args=b"old")])
    with stage.begun_until_its_commit(second, second.enqueue, [unique("b", "replace", args=b"new")]):
        assert claim(first) == []
    assert [(job.id, job.args) for job in claim(first)] == [("a", b"new")]


def test_two_replacements_of_a_running_job_are_one_that_follows(stage, first, second):
    first.enqueue([unique("a")])
    (a,) = claim(first)
    with stage.begun_until_its_commit(first, first.enqueue, [unique("b", "replace", args=b"b")]):
        other = stage.begin_until_it_waits(second, second.enqueue, [unique("c", "replace", args=b"c")])
    assert result_of(other) == {"c": "b"}
    assert claim(second, worker_id=2) == []
    settle(first, completed(a))
    assert [(job.id, job.args) for job in claim(second, worker_id=2)] == [("b", b"c")]


def test_a_replacement_while_the_job_is_pruned_is_a_job_of_its_own(stage, first, second):
    first.enqueue([unique("a")])
    first.cancel("a", None, NOW)
    with stage.begun_until_its_commit(first, first.delete, "a"):
        replacing = stage.begin_until_it_waits(second, second.enqueue, [unique("b", "replace")])
    assert result_of(replacing) == {}
    assert holders(stage) == ["b"]


def test_a_requeue_while_the_key_is_taken_is_refused(stage, first, second):
    first.enqueue([unique("a")])
    first.cancel("a", None, NOW)
    with stage.begun_until_its_commit(first, first.enqueue, [unique("b")]):
        requeuing = stage.begin_until_it_waits(second, second.requeue, "a", NOW)
    with pytest.raises(DuplicateJobError):
        result_of(requeuing)
    assert holders(stage) == ["b"]


def test_a_key_is_not_forgotten_while_it_is_taken_anew(stage, first, second):
    windowed = Conditions(unique_key="u", unique_for=10)
    first.enqueue([new_job("a", conditions=windowed)])
    first.cancel("a", None, NOW)
    first.delete("a")
    with stage.begun_until_its_commit(first, first.enqueue, [new_job("b", created_at=NOW + 20, conditions=windowed)]):
        assert second.forget_unused(NOW + 20) == 0
    assert holders(stage) == ["b"]
