"""Back-off, retry policy, durations, and what a job raises to decide for itself."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.retries import Backoff, Cancel, JobDecision, Retry, RetryPolicy, Snooze, to_seconds

# What a float holds and a stored time can take: about a thousand years.
LONGEST = 3.15e10

backoffs = st.builds(
    Backoff,
    first=st.floats(0, LONGEST),
    factor=st.floats(1, 1000),
    max=st.floats(0, LONGEST),
    jitter=st.floats(0, 1),
)
draws = st.floats(0, 1, exclude_max=True)
tries = st.integers(1, 10_000)


def middle():
    """Draw the middle of the jitter, which changes nothing."""
    return 0.5


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [(0, 0.0), (1, 1.0), (2.5, 2.5), (timedelta(minutes=1), 60.0), (timedelta(0), 0.0), (3.15e10, 3.15e10)],
)
def test_a_duration_is_seconds_or_a_timedelta(duration, seconds):
    found = to_seconds(duration)

    assert found == seconds
    assert type(found) is float


@pytest.mark.parametrize("duration", [True, False, "5", None, b"5", [5], 5j])
def test_what_is_no_duration_is_a_type_error_with_the_value(duration):
    with pytest.raises(TypeError, match="a number of seconds or a timedelta, not "):
        to_seconds(duration)


@pytest.mark.parametrize(
    "duration", [-1, -0.001, timedelta(seconds=-1), math.nan, math.inf, -math.inf, 1e300, 10**400, timedelta.max]
)
def test_a_duration_that_no_date_can_take_is_a_value_error_with_the_value(duration):
    with pytest.raises(ValueError, match="from 0 up to 1,000 years in seconds, not "):
        to_seconds(duration)


@given(backoffs, tries, draws)
def test_a_back_off_is_within_its_jitter_and_never_over_its_maximum(backoff, number, draw):
    plain = Backoff(backoff.first, backoff.factor, backoff.max, jitter=0).delay(number)

    delay = backoff.delay(number, lambda: draw)

    assert 0 <= delay <= backoff.max
    roundings = plain * 1e-9
    assert plain * (1 - backoff.jitter) - roundings <= delay <= plain * (1 + backoff.jitter) + roundings


@given(backoffs, st.integers(1, 600))
def test_without_jitter_a_back_off_never_gets_shorter(backoff, number):
    steady = Backoff(backoff.first, backoff.factor, backoff.max, jitter=0)

    assert steady.delay(number) <= steady.delay(number + 1) <= steady.max


def test_a_back_off_multiplies_until_its_maximum():
    backoff = Backoff(first=2, factor=3, max=50, jitter=0)

    assert [backoff.delay(number) for number in (1, 2, 3, 4, 5)] == [2, 6, 18, 50, 50]


def test_the_jitter_reaches_both_ends_and_spares_the_middle():
    backoff = Backoff(first=100, factor=1, max=1000, jitter=0.2)

    assert [backoff.delay(1, lambda draw=draw: draw) for draw in (0.0, 0.5, 1.0)] == [80, 100, 120]


@pytest.mark.parametrize("factor", [1, 2, 4.5, 10, 1000, 1e300])
def test_a_back_off_does_not_overflow_at_10_000_tries(factor):
    assert Backoff(factor=factor, max=3600, jitter=0).delay(10_000) == (1 if factor == 1 else 3600)


def test_a_back_off_from_zero_stays_at_zero():
    assert Backoff(first=0, factor=10).delay(10_000) == 0


def test_the_default_back_off_starts_at_a_second_and_ends_at_an_hour():
    assert Backoff().delay(1, middle) == 1
    assert Backoff().delay(50, middle) == 3600


@pytest.mark.parametrize(
    "numbers",
    [
        {"first": -1},
        {"factor": 0.5},
        {"factor": 0},
        {"max": -1},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"first": math.nan},
        {"factor": math.nan},
        {"max": math.nan},
        {"jitter": math.nan},
    ],
)
def test_numbers_that_make_no_delay_are_refused(numbers):
    with pytest.raises(ValueError, match=r"Backoff\(.* is no back-off: first and max are seconds from 0"):
        Backoff(**numbers)


@pytest.mark.parametrize("numbers", [{"first": math.inf, "max": math.inf}, {"first": 1e12, "max": 1e300}])
def test_a_back_off_longer_than_any_date_is_refused(numbers):
    # Else the time of the next try does not fit the database, and the try is lost in the worker.
    with pytest.raises(ValueError, match="is no back-off"):
        Backoff(**numbers)


def test_retry_keeps_its_delay_in_seconds_or_leaves_it_to_the_back_off():
    assert Retry().delay is None
    assert Retry(30).delay == 30
    assert Retry(delay=timedelta(minutes=2)).delay == 120
    assert str(Retry()) == "retry"
    assert str(Retry(1.5)) == "retry in 1.5 s"


def test_snooze_keeps_its_delay_in_seconds():
    assert Snooze(30).delay == 30
    assert Snooze(timedelta(hours=1)).delay == 3600
    assert str(Snooze(30)) == "snooze for 30 s"


@pytest.mark.parametrize("decision", [Retry, Snooze])
@pytest.mark.parametrize("delay", [-1, math.nan, "soon"])
def test_a_decision_refuses_a_delay_that_is_none(decision, delay):
    with pytest.raises((TypeError, ValueError), match="a duration is"):
        decision(delay)


def test_cancel_keeps_its_reason_as_text():
    assert Cancel().reason == ""
    assert Cancel("no need").reason == str(Cancel("no need")) == "no need"
    assert Cancel(ValueError("no")).reason == "no"


@pytest.mark.parametrize("decision", [Retry(), Snooze(1), Cancel()])
def test_what_a_job_decides_is_an_exception_of_one_base(decision):
    assert isinstance(decision, JobDecision)
    assert isinstance(decision, Exception)


class UnreachableError(ConnectionError):
    pass


BACKOFF = Backoff(first=7, factor=1, jitter=0)


@pytest.mark.parametrize(
    ("error", "policy", "is_retried"),
    [
        (ValueError(), {}, True),
        (ValueError(), {"retry_on": (ValueError,)}, True),
        (ValueError(), {"retry_on": (OSError,)}, False),
        (ValueError(), {"retry_on": ()}, False),
        (UnreachableError(), {"retry_on": (OSError,)}, True),
        (ValueError(), {"give_up_on": (ValueError,)}, False),
        (UnreachableError(), {"give_up_on": (OSError,)}, False),
        (ValueError(), {"give_up_on": (OSError,)}, True),
        (UnreachableError(), {"retry_on": (OSError,), "give_up_on": (UnreachableError,)}, False),
        (ConnectionError(), {"retry_on": (OSError,), "give_up_on": (UnreachableError,)}, True),
        (SystemExit(3), {}, False),
        (KeyboardInterrupt(), {}, False),
        (GeneratorExit(), {}, False),
        (asyncio.CancelledError(), {}, False),
        (SystemExit(3), {"retry_on": (SystemExit,)}, True),
        (SystemExit(3), {"retry_on": (BaseException,)}, True),
        (Retry(), {"retry_on": ()}, True),
        (Retry(), {"give_up_on": (Exception,)}, True),
    ],
)
def test_an_exception_is_tried_again_if_it_is_of_retry_on_and_not_of_give_up_on(error, policy, is_retried):
    chosen = RetryPolicy(max_tries=3, backoff=BACKOFF, **policy)

    assert chosen.delay_after(error, 1, None) == (7 if is_retried else None)


@pytest.mark.parametrize("error", [ValueError(), Retry(), Retry(30)])
@pytest.mark.parametrize(
    ("tries", "of_policy", "of_job", "is_retried"),
    [
        (1, 1, None, False),
        (1, 2, None, True),
        (2, 2, None, False),
        (3, 2, None, False),
        (1, 1, 2, True),
        (2, 1, 2, False),
        (1, 5, 1, False),
        (4, 1, 5, True),
    ],
)
def test_the_last_try_is_final_and_the_jobs_own_number_goes_before_the_policys(
    error, tries, of_policy, of_job, is_retried
):
    policy = RetryPolicy(max_tries=of_policy, backoff=BACKOFF)

    assert (policy.delay_after(error, tries, of_job) is not None) == is_retried


def test_a_retry_with_a_delay_goes_before_the_back_off_and_one_without_follows_it():
    policy = RetryPolicy(max_tries=3, backoff=BACKOFF)

    assert policy.delay_after(Retry(30), 1, None) == 30
    assert policy.delay_after(Retry(0), 1, None) == 0
    assert policy.delay_after(Retry(), 1, None) == 7


def test_nothing_is_tried_again_unless_asked():
    assert RetryPolicy().delay_after(ValueError(), 1, None) is None
