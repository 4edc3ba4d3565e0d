"""The state machine of architecture.md, section 4: these transitions, and none other."""

from __future__ import annotations

import json

import pytest

from sqlite_job.core.states import FINAL, TRANSITIONS, WAITING, JobStatus

P, S, B, R, C, F, X = (
    JobStatus.PENDING,
    JobStatus.SCHEDULED,
    JobStatus.BLOCKED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
)

# Written out by hand: verb, from, to. A job with a limit is blocked where another one is pending.
TABLE = {
    "enqueue": (set(), {P, S, B}),
    "promote": ({S}, {P, B}),
    "release": ({B}, {P}),
    "claim": ({P}, {R}),
    "complete": ({R}, {C}),
    "fail": ({R}, {F}),
    "retry": ({R}, {S, P, B}),
    "snooze": ({R}, {S, P, B}),
    "suspend": ({R}, {S, P, B}),
    "rescue": ({R}, {P, B}),
    "return": ({R}, {P, B}),
    "cancel": ({P, S, B, R}, {X}),
    "expire": ({P, S, B}, {X}),
    "requeue": ({C, F, X}, {P, B}),
    "prune": ({C, F, X}, set()),
}


@pytest.mark.parametrize("verb", sorted(set(TABLE) | set(TRANSITIONS)))
def test_each_verb_leads_from_and_to_the_statuses_of_the_architecture(verb):
    sources, targets = TABLE[verb]

    assert TRANSITIONS[verb].sources == sources
    assert TRANSITIONS[verb].targets == targets


def test_completed_failed_and_cancelled_are_final_and_no_other():
    assert {C, F, X} == FINAL
    assert {status for status in JobStatus if status.is_final} == {C, F, X}


def test_only_an_operators_requeue_or_the_pruner_leads_out_of_a_final_status():
    assert {verb for verb, transition in TRANSITIONS.items() if transition.sources & FINAL} == {"requeue", "prune"}


def test_each_status_can_be_reached_and_left():
    reached = set().union(*(transition.targets for transition in TRANSITIONS.values()))
    left = set().union(*(transition.sources for transition in TRANSITIONS.values()))

    assert reached == set(JobStatus)
    assert left == set(JobStatus)


def test_a_status_is_waiting_running_or_final():
    assert set(JobStatus) == WAITING | {R} | FINAL
    assert len(WAITING) + 1 + len(FINAL) == len(JobStatus)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (P, "pending"),
        (S, "scheduled"),
        (B, "blocked"),
        (R, "running"),
        (C, "completed"),
        (F, "failed"),
        (X, "cancelled"),
    ],
)
def test_a_status_is_its_stored_word_everywhere(status, word):
    assert status == word
    assert status.value == word
    assert str(status) == f"{status}" == "%s" % status == word  # noqa: UP031 - one more way to show it
    assert json.dumps(status) == f'"{word}"'
    assert JobStatus(word) is status
