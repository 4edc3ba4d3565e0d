"""What with_options may say: each value that cannot work is refused with the value and the mend."""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict
from datetime import datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.clock import to_microseconds
from sqlite_job.core.errors import InvalidNameError, InvalidOptionError
from sqlite_job.core.options import JobOptions, check_options

NOW = 1_800_000_000_000_000


class Nowhere(tzinfo):
    """A time zone that does not say how far it is from UTC."""

    def utcoffset(self, moment):
        return None


def check(**options):
    """Check these options, and nothing said of the others."""
    unsaid = {**dict.fromkeys(inspect.signature(check_options).parameters), "tags": ()}
    return check_options(**{**unsaid, **options})


def endless():
    loop = {}
    loop["itself"] = loop
    return loop


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return {"deep": value}


def test_nothing_said_leaves_all_to_the_task():
    assert check() == JobOptions()


@pytest.mark.parametrize(
    ("option", "value", "mend"),
    [
        ("job_id", "", "A job id must not be empty"),
        ("job_id", 5, "A job id must be text, not int: 5"),
        ("job_id", "a" * 129, "A job id may have 128 characters, this one has 129"),
        ("queue", "a\nb", "A queue name must not contain control characters"),
        ("queue", "", "A queue name must not be empty"),
        ("queue", b"a", "A queue name must be text"),
        ("tags", ["a", ""], "A tag must not be empty"),
        ("tags", ["a" * 129], "A tag may have 128 characters"),
        ("tags", [3], "A tag must be text, not int: 3"),
        ("tags", [None], "A tag must be text"),
    ],
)
def test_a_name_that_cannot_be_one_is_an_invalid_name(option, value, mend):
    with pytest.raises(InvalidNameError, match=mend):
        check(**{option: value})


@pytest.mark.parametrize(
    ("option", "value", "mend"),
    [
        ("priority", 1.5, r"priority is a whole number \(higher is first\), not 1.5"),
        ("priority", "high", "priority is a whole number .* not 'high'"),
        ("priority", True, "priority is a whole number .* not True"),
        ("priority", 2**63, "priority is a whole number"),
        ("max_tries", 0, "max_tries is a whole number from 1, not 0"),
        ("max_tries", -1, "max_tries is a whole number from 1, not -1"),
        ("max_tries", 2.0, "max_tries is a whole number from 1, not 2.0"),
        ("delay", -1, "delay: a duration is from 0 up"),
        ("delay", math.nan, "delay: a duration is from 0 up"),
        ("delay", math.inf, "delay: a duration is from 0 up"),
        ("delay", "60", "delay: a duration is a number of seconds or a timedelta, not '60'"),
        ("delay", True, "delay: a duration is a number of seconds or a timedelta, not True"),
        ("delay", timedelta(days=-1), "delay: a duration is from 0 up"),
        ("timeout", 0, "timeout is more than 0 seconds; leave it out for no limit"),
        ("timeout", 1e-9, "timeout is more than 0 seconds"),
        ("timeout", -1, "timeout: a duration is from 0 up"),
        ("timeout", "5", "timeout: a duration is a number of seconds or a timedelta, not '5'"),
        ("run_at", datetime(2030, 1, 1), "run_at: .* has no time zone; give an aware datetime"),  # noqa: DTZ001
        ("run_at", "2030-01-01", "run_at is a datetime, not '2030-01-01'"),
        ("run_at", 1_800_000_000, "run_at is a datetime, not 1800000000"),
        ("run_at", datetime(2030, 1, 1, tzinfo=Nowhere()), "run_at: .* has no time zone"),
        ("tags", "mail", r"tags is a list of tags, not one text: write tags=\['mail'\]"),
        ("tags", None, "tags is a list of tags, not None"),
        ("tags", 5, "tags is a list of tags, not 5"),
        ("meta", ["a"], r"meta is a dict, not \['a'\]"),
        ("meta", "a", "meta is a dict, not 'a'"),
        ("meta", {"a": object()}, "meta takes values of JSON only"),
        ("meta", {"a": {1, 2}}, "meta takes values of JSON only"),
        ("meta", {"a": b"b"}, "meta takes values of JSON only"),
        ("meta", {"a": math.nan}, "meta takes values of JSON only"),
        ("meta", {(1, 2): 3}, "meta takes values of JSON only"),
        ("meta", endless(), "meta takes values of JSON only"),
        ("meta", deep(), "meta takes values of JSON only"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_a_value_that_cannot_work_is_an_invalid_option(option, value, mend):
    with pytest.raises(InvalidOptionError, match=mend):
        check(**{option: value})


def test_delay_and_run_at_exclude_each_other():
    with pytest.raises(InvalidOptionError, match="give delay or run_at, not both"):
        check(delay=5, run_at=datetime(2030, 1, 1, tzinfo=timezone.utc))


def test_tags_are_kept_once_each_in_the_order_given():
    assert check(tags=["b", "a", "b", "ü"]).tags == '["b", "a", "ü"]'
    assert check(tags=(tag for tag in ("x", "x"))).tags == '["x"]'
    assert check(tags=[]).tags is None


def test_meta_is_kept_as_json():
    assert check(meta={"a": [1, None, "ü"]}).meta == '{"a":[1,null,"\\u00fc"]}'
    assert check(meta=OrderedDict(a=1)).meta == '{"a":1}'
    assert check(meta={}).meta == "{}"
    assert "\ud800" not in check(meta={"a": "\ud800"}).meta


def test_a_delay_is_kept_in_microseconds_and_counts_from_the_enqueueing():
    assert check(delay=1.5).run_time(NOW) == NOW + 1_500_000
    assert check(delay=timedelta(minutes=1)).run_time(NOW) == NOW + 60_000_000


@pytest.mark.parametrize("options", [{}, {"delay": 0}, {"delay": 0.0}, {"delay": timedelta(0)}])
def test_no_delay_is_at_once(options):
    assert check(**options).run_time(NOW) is None


def test_a_moment_in_the_future_is_kept_whatever_its_zone_and_one_in_the_past_is_at_once():
    moment = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    run_at = check(run_at=moment).run_time(NOW)

    assert run_at == to_microseconds(datetime(2030, 1, 1, 10, tzinfo=timezone.utc))
    assert check(run_at=moment).run_time(run_at) is None
    assert check(run_at=datetime.min.replace(tzinfo=timezone.utc)).run_time(NOW) is None


@given(st.datetimes(timezones=st.just(timezone.utc)))
def test_any_aware_moment_is_kept_to_the_microsecond(moment):
    kept = check(run_at=moment).run_at

    assert datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=kept) == moment
