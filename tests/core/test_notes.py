"""What a job may say of its progress, and what is read of it."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from fractions import Fraction

import pytest

from sqlite_job import JobLog, JobProgress
from sqlite_job.core.context import JobContext, State
from sqlite_job.core.notes import check_progress
from tests.storage.making import claimed_job

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("done", "total", "fraction"),
    [(0, 10, 0.0), (3, 4, 0.75), (4, 4, 1.0), (5, 4, 1.0), (0, 0, 1.0), (7, None, None), (0.5, 2.0, 0.25)],
)
def test_the_fraction_is_never_more_than_all_and_unknown_without_a_total(done, total, fraction):
    assert JobProgress(done, total, None, NOW).fraction == fraction


@pytest.mark.parametrize("amount", [0, 3, 0.25, 10**300, Fraction(1, 2)])
def test_any_finite_number_from_0_is_progress(amount):
    assert check_progress(amount, amount, "") == (float(amount), float(amount), "")
    assert {type(one) for one in check_progress(amount, amount, None)} == {float, type(None)}


@pytest.mark.parametrize("amount", [-1, -0.5, math.nan, math.inf, 10**400])
def test_a_number_that_is_no_amount_is_a_value_error_that_names_it(amount):
    with pytest.raises(ValueError, match="done is a finite number from 0, not "):
        check_progress(amount, None, None)
    with pytest.raises(ValueError, match="total is a finite number from 0, not "):
        check_progress(1, amount, None)


@pytest.mark.parametrize("amount", ["3", None, True, [1], 1j])
def test_what_is_no_number_is_a_type_error_with_the_mend(amount):
    with pytest.raises(TypeError, match=r"done is a number, not .*; count what is done"):
        check_progress(amount, None, None)
    if amount is not None:
        with pytest.raises(TypeError, match=r"total is a number, not .*; leave it out where it is not known"):
            check_progress(1, amount, None)


def test_a_message_is_a_text():
    with pytest.raises(TypeError, match=r"message is a text, not 5; write str\(\.\.\.\) around it"):
        check_progress(1, 2, 5)


def test_a_text_of_a_class_of_its_own_becomes_a_plain_one():
    class Loud(str):
        __slots__ = ()

        def __str__(self):
            raise AssertionError

    found = check_progress(1, None, Loud("quiet"))[2]
    assert (type(found), found) == (str, "quiet")


def test_a_context_made_by_hand_checks_progress_and_drops_it():
    context = JobContext(claimed_job(1), 1, State())
    context.progress(1, 2, "half")
    with pytest.raises(TypeError):
        context.progress("1")


def test_a_level_has_a_name():
    assert JobLog(NOW, 1, 30, "app", "careful", 1).level_name == "WARNING"
