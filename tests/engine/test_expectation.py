"""A worker whose last commits all had a job for it claims without looking first, and looks again when there is none."""

from __future__ import annotations

import pytest

from sqlite_job.engine.expectation import _ENOUGH, Expectation


@pytest.fixture
def expectation():
    return Expectation()


def wake(expectation, has_found):
    expectation.is_woken = True
    expectation.note_turn(has_found=has_found)


def test_a_job_is_expected_after_enough_commits_that_had_one(expectation):
    for _ in range(_ENOUGH):
        expectation.is_woken = True
        assert not expectation.is_strong
        expectation.note_turn(has_found=True)
    assert not expectation.is_strong, "no commit has ended a sleep"
    expectation.is_woken = True
    assert expectation.is_strong


def test_one_commit_without_a_job_ends_it(expectation):
    for _ in range(_ENOUGH):
        wake(expectation, has_found=True)
    wake(expectation, has_found=False)
    for _ in range(_ENOUGH - 1):
        wake(expectation, has_found=True)
    expectation.is_woken = True
    assert not expectation.is_strong


def test_turns_without_a_sleep_say_nothing(expectation):
    for _ in range(_ENOUGH):
        wake(expectation, has_found=True)
    expectation.note_turn(has_found=False)
    expectation.is_woken = True
    assert expectation.is_strong


def test_a_worker_looks_first_until_it_expects_jobs_and_after_it_was_wrong(bench, storage):
    b = bench()
    look, looks = storage.peek, []
    storage.peek = lambda *arguments: looks.append(None) or look(*arguments)

    def wake_up(*ids):
        """Return whether the turn that follows a commit has looked first, and whether it did something."""
        if ids:
            b.enqueue(*ids)
        looks.clear()
        b.engine._expectation.is_woken = True
        did = b.engine.turn()
        return bool(looks), did

    for number in range(_ENOUGH):
        assert wake_up(f"job-{number}") == (True, True)
        b.executor.run_next()
        b.engine.turn()
    assert wake_up("expected") == (False, True)
    b.executor.run_next()
    b.engine.turn()
    assert b.status("expected") == "completed"

    assert wake_up() == (False, True), "the next turn must look: when is the next one due?"
    looks.clear()
    assert b.engine.turn() is False
    assert looks
    assert wake_up("unexpected") == (True, True)
