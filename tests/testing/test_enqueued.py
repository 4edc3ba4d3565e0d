from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job import (
    DecodeError,
    InvalidNameError,
    InvalidOptionError,
    SQLiteJob,
    UnknownFunctionError,
    WorkerSettings,
    call,
    task,
)
from sqlite_job.testing import assert_enqueued, drain, enqueued, fake_time, inline, refute_enqueued

START = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


def send(address, subject="hello", *, cc=()):
    return address, subject, cc


def clean_up():
    pass


class Settings(WorkerSettings):
    functions = [send, clean_up, task(send, name="send_again"), task(max, name="largest")]


@dataclass
class Address:
    name: str


class Plain:
    """Without an `__eq__`."""

    def __init__(self, value):
        self.value = value


class Stubborn:
    """As an array: what it is compared with is not the matter."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        raise ValueError("the truth value is ambiguous")

    __hash__ = None


@pytest.fixture
def settings(database):
    return Settings(database)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)


def message_of(assertion, *args, **options):
    with pytest.raises(AssertionError) as caught:
        assertion(*args, **options)
    return str(caught.value)


# ---- what is there


def test_enqueued_lists_all_jobs_oldest_first_with_their_arguments(jobs):
    jobs.enqueue(send, "ada", cc=["bob"])
    job = jobs.with_options(queue="other").enqueue(clean_up)

    first, second = enqueued(jobs)

    assert (first.function, first.args, first.kwargs) == ("send", ("ada",), {"cc": ["bob"]})
    assert (second.id, second.info.queue, second.args, second.kwargs) == (job, "other", (), {})
    assert repr(first) == "<EnqueuedJob send('ada', cc=['bob']) pending>"


def test_more_jobs_than_a_page_are_all_listed(jobs):
    jobs.enqueue_many([call(send, number) for number in range(1_203)])

    assert [job.args[0] for job in enqueued(jobs, send)] == list(range(1_203))


def test_the_database_may_be_given_as_door_settings_or_path(jobs, settings, database):
    jobs.enqueue(send, "ada")

    for where in (jobs, settings, database, os.fspath(database)):
        assert_enqueued(where, call(send, "ada"))


def test_arguments_that_cannot_be_decoded_are_an_error_when_asked_for(jobs, settings):
    class Other(Settings):
        serializer = "json"
        accept = ("json",)

    jobs.enqueue(send, "ada")
    other = SQLiteJob("default", Other(settings.location))
    (job,) = enqueued(other)

    with pytest.raises(DecodeError, match="not accepted here"):
        print(job.args)
    assert "send('ada')  <- the arguments of send are encoded with 'pickle', which is not accepted here" in message_of(
        assert_enqueued, other, call(send, "ada")
    )
    assert enqueued(other, send)


# ---- what matches


def test_a_function_alone_matches_whatever_its_arguments(jobs):
    jobs.enqueue(send, "ada")
    jobs.enqueue("send_again", "bob")

    assert [job.args for job in assert_enqueued(jobs, send)] == [("ada",)]
    assert [job.args for job in assert_enqueued(jobs, "send")] == [("ada",)]
    assert [job.args for job in assert_enqueued(jobs, task(send, name="send_again"))] == [("bob",)]
    refute_enqueued(jobs, clean_up)


def test_a_call_matches_its_arguments_only(jobs):
    jobs.enqueue(send, "ada", "hello", cc=[])

    assert_enqueued(jobs, call(send, "ada", "hello", cc=[]))
    refute_enqueued(jobs, call(send, "ada", "hello"))
    refute_enqueued(jobs, call(send, "bob", "hello", cc=[]))
    refute_enqueued(jobs, call(send, "ada", "hello", cc=[], to="all"))


@pytest.mark.parametrize(
    "given_call", [call(send, "ada"), call(send, address="ada"), call("send", "ada", subject="hello")]
)
@pytest.mark.parametrize("enqueued_call", [call(send, "ada", "hello"), call("send", subject="hello", address="ada")])
def test_it_does_not_matter_how_a_call_is_written(jobs, enqueued_call, given_call):
    jobs.enqueue_many([enqueued_call])

    assert_enqueued(jobs, given_call)


def test_a_call_that_the_function_does_not_take_is_compared_as_it_stands(jobs):
    jobs.enqueue("send", "a", "b", "c")

    assert_enqueued(jobs, call("send", "a", "b", "c"))
    refute_enqueued(jobs, call("send", "a", "b", "d"))


def test_without_settings_names_and_arguments_are_compared_as_they_stand(database):
    jobs = SQLiteJob(database=database)
    jobs.enqueue("send", "ada")
    jobs.enqueue("unheard_of")

    assert_enqueued(jobs, call("send", "ada"))
    assert_enqueued(jobs, call(send, address="ada"))
    refute_enqueued(jobs, call("send", address="ada"))
    assert_enqueued(jobs, "unheard_of")
    jobs.close()


@pytest.mark.parametrize(
    "value", [Address("ada"), Plain("ada"), Stubborn("ada"), (1, [2, {"three": 4}]), None, float("inf")]
)
def test_values_are_compared_as_values_or_by_what_is_stored(jobs, value):
    jobs.enqueue(send, value)

    assert_enqueued(jobs, call(send, value))
    assert_enqueued(jobs, call(send, ANY))
    refute_enqueued(jobs, call(send, "other"))


def test_objects_without_a_comparison_differ_by_their_contents(jobs):
    jobs.enqueue(send, Plain("ada"))

    refute_enqueued(jobs, call(send, Plain("bob")))
    refute_enqueued(jobs, call(send, Stubborn("ada")))
    refute_enqueued(jobs, call(send, lambda: "what no serializer takes"))


def test_what_json_makes_of_a_tuple_matches_the_tuple(settings):
    class Json(Settings):
        serializer = "json"

    jobs = SQLiteJob("default", Json(settings.location))
    jobs.enqueue(send, ("a", 1), cc=("b",))

    assert_enqueued(jobs, call(send, ("a", 1), cc=("b",)))
    assert_enqueued(jobs, call(send, ["a", 1], cc=["b"]))
    refute_enqueued(jobs, call(send, ("a", 2), cc=("b",)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@pytest.fixture(scope="module", params=["pickle", "json"])
def many(request, tmp_path_factory):
    """One database for the examples: to make one takes longer than all of them."""
    database = tmp_path_factory.mktemp("jobs") / "jobs.db"
    jobs = SQLiteJob(database=database, serializer=request.param, durability="normal")
    yield jobs
    jobs.close()


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_two_calls_match_if_and_only_if_their_arguments_are_equal(many, one, other):
    job = many.enqueue("work", *one)

    assert bool(enqueued(many, call("work", *one)))
    assert bool(enqueued(many, call("work", *other))) == (one == other)
    many.delete(job)


def test_signed_arguments_are_compared_too(settings, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_SIGNING_KEYS", "0123456789abcdef0123456789abcdef")

    class Signed(Settings):
        serializer = "signed-pickle"

    jobs = SQLiteJob("default", Signed(settings.location))
    jobs.enqueue(send, Plain("ada"))

    assert_enqueued(jobs, call(send, Plain("ada")))
    refute_enqueued(jobs, call(send, Plain("bob")))


def test_options_match_what_the_job_has(jobs):
    jobs.with_options(queue="mail", priority=5, tags=["a", "b"], meta={"by": "ada", "n": 1}).enqueue(send, "ada")
    jobs.enqueue(send, "bob")

    for options in (
        {"queue": "mail"},
        {"priority": 5},
        {"tags": ["b"]},
        {"tags": ["b", "a"]},
        {"meta": {"n": 1}},
        {"meta": {"n": 1, "by": "ada"}, "queue": "mail", "priority": 5, "tags": ["a"], "status": "pending"},
    ):
        (job,) = assert_enqueued(jobs, send, **options)
        assert job.args == ("ada",)
        refute_enqueued(jobs, clean_up, **options)
    for options in ({"queue": "b"}, {"priority": 1}, {"tags": ["c"]}, {"meta": {"n": 2}}, {"meta": {"m": None}}):
        refute_enqueued(jobs, send, **options)


def test_the_delay_is_matched_within_a_second_or_by_a_range(jobs):
    jobs.with_options(delay=timedelta(minutes=1)).enqueue(send, "ada")

    for delay in (60, timedelta(minutes=1), 60.9, 59.1, (60, 60), (0, 60), (timedelta(seconds=59), 3600)):
        assert_enqueued(jobs, send, delay=delay)
    for delay in (0, 58.9, 61.1, timedelta(hours=1), (0, 59.9), (60.1, 70)):
        refute_enqueued(jobs, send, delay=delay)


def test_a_job_that_may_run_at_once_has_no_delay(jobs):
    jobs.enqueue(send, "ada")

    assert_enqueued(jobs, send, delay=0)
    refute_enqueued(jobs, send, delay=(1, 60))


def test_the_time_is_matched_within_a_second(jobs):
    with fake_time(START):
        jobs.with_options(run_at=START + timedelta(days=1)).enqueue(send, "ada")
        jobs.enqueue(send, "bob")

    paris = timezone(timedelta(hours=1))
    (job,) = assert_enqueued(jobs, send, run_at=(START + timedelta(days=1, milliseconds=900)).astimezone(paris))
    assert job.args == ("ada",)
    assert [job.args[0] for job in enqueued(jobs, run_at=START)] == ["bob"]
    refute_enqueued(jobs, send, run_at=START + timedelta(days=1, seconds=2))


def test_jobs_match_in_any_status_unless_one_is_given(jobs, settings):
    jobs.enqueue(send, "ada")
    drain(settings)
    jobs.enqueue(send, "ada")

    assert_enqueued(jobs, call(send, "ada"), count=2)
    assert_enqueued(jobs, send, status="pending", count=1)
    assert_enqueued(jobs, send, status="completed", count=1)
    refute_enqueued(jobs, send, status="failed")


def test_what_ran_inline_was_enqueued(settings):
    with inline(settings) as jobs:
        jobs.enqueue(send, "ada")

    assert_enqueued(settings, call(send, "ada"), status="completed")


def test_count_is_exact(jobs):
    jobs.enqueue(send, "ada")
    jobs.enqueue(send, "bob")

    assert len(assert_enqueued(jobs, send, count=2)) == 2
    assert assert_enqueued(jobs, clean_up, count=0) == []
    for count in (0, 1, 3):
        with pytest.raises(AssertionError):
            assert_enqueued(jobs, send, count=count)


# ---- what a failure says


def test_a_missing_job_is_described_with_what_there_is_nearest_first(jobs):
    jobs.enqueue(clean_up)
    jobs.with_options(priority=3).enqueue(send, "bob", "no")
    jobs.with_options(priority=3).enqueue(send, "ada", "hello")
    jobs.enqueue(send, "ada", "other")

    assert message_of(assert_enqueued, jobs, call(send, "ada", "hello"), queue="mail", priority=3) == (
        "No such job was enqueued: send('ada', 'hello'), with queue='mail', priority=3\n"
        "\n"
        "4 jobs were enqueued, nearest first:\n"
        "  send('ada', 'hello')  <- queue='default'\n"
        "  send('bob', 'no')  <- other arguments, queue='default'\n"
        "  send('ada', 'other')  <- other arguments, queue='default', priority=0\n"
        "  clean_up()  <- another function, queue='default', priority=0"
    )


def test_nearer_arguments_stand_first(jobs):
    for address, subject in (("a", "b"), ("ada", "b"), ("a", "c")):
        jobs.enqueue(send, address, subject)

    lines = message_of(assert_enqueued, jobs, call(send, "ada", "hello")).splitlines()

    assert lines[3] == "  send('ada', 'b')  <- other arguments"


def test_an_empty_database_is_told_apart(jobs):
    assert message_of(assert_enqueued, jobs, send) == (
        "No such job was enqueued: send, with whatever arguments\n\nNothing was enqueued at all in this database."
    )


def test_many_jobs_are_not_all_shown(jobs):
    jobs.enqueue_many([call(send, number) for number in range(25)])

    message = message_of(assert_enqueued, jobs, clean_up)

    assert "25 jobs were enqueued, nearest first:" in message
    assert message.endswith("\n  and 15 more")
    assert message.count("send(") == 10


def test_long_values_are_cut(jobs):
    jobs.enqueue(send, "x" * 5_000)

    assert len(message_of(assert_enqueued, jobs, clean_up)) < 500


def test_a_wrong_count_shows_which_match(jobs):
    jobs.enqueue(send, "ada")
    jobs.enqueue(clean_up)

    assert message_of(assert_enqueued, jobs, send, count=2) == (
        "Expected 2 jobs, and 1 was enqueued: send, with whatever arguments\n"
        "\n"
        "2 jobs were enqueued, nearest first:\n"
        "  send('ada')  <- matches\n"
        "  clean_up()  <- another function"
    )


def test_a_job_that_should_not_be_there_is_shown(jobs):
    jobs.with_options(tags=["a"]).enqueue(send, "ada")
    jobs.enqueue(send, "bob")

    assert message_of(refute_enqueued, jobs, send, tags=["a"]) == (
        "Expected no such job: send, with whatever arguments, with tags=('a',)\n"
        "\n"
        "1 job was enqueued:\n"
        "  send('ada')  <- matches"
    )
    assert message_of(refute_enqueued, jobs).startswith("Expected no such job: any function\n\n2 jobs were enqueued:\n")


def test_times_are_shown_in_full(jobs):
    with fake_time(START):
        jobs.with_options(delay=60).enqueue(send, "ada")

    message = message_of(assert_enqueued, jobs, send, run_at=START, delay=5)

    assert "with delay=5, run_at='2030-01-31T12:00:00+00:00'" in message
    assert message.endswith("  send('ada')  <- delay=60, run_at=2030-01-31T12:01:00+00:00")


def test_meta_and_tags_of_a_job_are_shown_where_they_differ(jobs):
    jobs.with_options(tags=["a"], meta={"n": 1}).enqueue(send, "ada")

    assert message_of(assert_enqueued, jobs, send, tags=["b"], meta={"n": 2}, status="failed").endswith(
        "<- status='pending', tags=['a'], meta={'n': 1}"
    )


# ---- what cannot match


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"queue": ""}, InvalidNameError, "queue name"),
        ({"priority": "high"}, InvalidOptionError, "priority is a whole number"),
        ({"tags": "a"}, InvalidOptionError, r"write tags=\['a'\]"),
        ({"meta": ["a"]}, InvalidOptionError, "meta is a dict"),
        ({"run_at": datetime(2030, 1, 1)}, InvalidOptionError, "no time zone"),  # noqa: DTZ001
        ({"status": "done"}, InvalidOptionError, "no status 'done'"),
        ({"delay": "1"}, InvalidOptionError, r"delay: .* not '1'; or give a pair, \(least, most\)"),
        ({"delay": (1, 2, 3)}, InvalidOptionError, r"delay: .*pair, \(least, most\)"),
        ({"delay": (2, 1)}, InvalidOptionError, r"delay is a pair \(least, most\), not \(2, 1\)"),
        ({"delay": -1}, InvalidOptionError, "delay: a duration is from 0 up"),
    ],
)
@pytest.mark.parametrize("look", [enqueued, assert_enqueued, refute_enqueued])
def test_an_option_that_no_job_could_have_is_an_error(jobs, look, options, error, message):
    with pytest.raises(error, match=message):
        look(jobs, send, **options)


@pytest.mark.parametrize("look", [enqueued, assert_enqueued, refute_enqueued])
def test_a_function_that_no_job_could_have_is_an_error(jobs, look):
    for unknown in ("sned", call("sned", "ada"), json.dumps):
        with pytest.raises(UnknownFunctionError, match=r"add it to Settings\.functions"):
            look(jobs, unknown)
    with pytest.raises(TypeError, match="a SQLiteJob, settings, or the path of a database, not 3"):
        look(3, send)


@pytest.mark.parametrize("count", [-1, 1.5, True, "1"])
def test_a_count_is_a_whole_number(jobs, count):
    with pytest.raises(InvalidOptionError, match="count is a whole number from 0"):
        assert_enqueued(jobs, send, count=count)


def test_what_is_no_function_is_an_error(database):
    jobs = SQLiteJob(database=database)

    with pytest.raises(InvalidNameError, match="takes a function or its name, not 3"):
        refute_enqueued(jobs, 3)
    jobs.close()
