"""Schedules from end to end: a worker with those of its settings, and those made at run time."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import (
    DecodeError,
    EncodeError,
    Inspector,
    InvalidNameError,
    InvalidOptionError,
    JobStatus,
    ScheduleNotFoundError,
    ScheduleStateError,
    SignedPickleSerializer,
    SQLiteJob,
    UnknownFunctionError,
    Worker,
    cron,
    every,
    task,
)
from tests.doors.making import DEADLINE, drain, execute, settings_of, wait_until

KEY = "0123456789abcdef"


def add(a, b=0):
    return a + b


def other():
    return "other"


@pytest.fixture
def path(database):
    return os.fspath(database)


def jobs_of(path, name):
    """Return the jobs of a schedule, oldest first."""
    return [job for job in reversed(Inspector(path).jobs(limit=1000)) if job.id.startswith(f"{name}@")]


def completed(path, name):
    return [job for job in jobs_of(path, name) if job.status is JobStatus.COMPLETED]


def put_back(path, name, seconds):
    """Let the next time of a schedule be that long ago."""
    execute(
        path,
        "UPDATE sqlitejob_schedule SET next_at = next_at - ?, created_at = created_at - ? WHERE name = ?",
        *(seconds * 10**6, seconds * 10**6, name),
    )


# ---- those of settings


def test_a_worker_runs_what_its_settings_list_again_and_again(path):
    settings = settings_of(path, add, cron_jobs=[every(0.1, add, [1], {"b": 2}, name="sums", tags=["t"])])
    with Worker("default", settings).running_in_background():
        wait_until(lambda: len(completed(path, "sums")) >= 3)

    jobs = completed(path, "sums")
    assert {(job.result, job.arguments, job.tags) for job in jobs} == {("3", "1, b=2", ("t",))}
    slots = [datetime.fromisoformat(job.id.split("@")[1].replace("Z", "+00:00")) for job in jobs]
    assert {after - before for before, after in zip(slots, slots[1:])} == {timedelta(seconds=0.1)}
    assert slots[0] == Inspector(path).schedule("sums").created_at + timedelta(seconds=0.1)


def test_a_cron_expression_with_seconds_runs_on_the_second(path):
    settings = settings_of(path, other, cron_jobs=[cron("* * * * * *", other)])
    with Worker("default", settings).running_in_background():
        wait_until(lambda: completed(path, "other"))

    job = completed(path, "other")[0]
    assert job.id.endswith(".000000Z")
    assert job.created_at.microsecond < 900_000


@pytest.mark.parametrize(("misfire", "jobs"), [("skip", 1), ("latest", 1), ("all", 24)])
def test_what_passed_without_a_worker_is_handled_as_misfire_says(path, misfire, jobs, caplog):
    settings = settings_of(path, other, cron_jobs=[every(3600, other, misfire=misfire)])
    drain(settings)
    put_back(path, "other", 24 * 3600 + 10)  # so that the newest was due ten seconds ago
    with caplog.at_level(logging.INFO, "sqlite_job"):
        drain(settings)

    assert len(completed(path, "other")) == jobs
    missed = [record.getMessage() for record in caplog.records if "missed" in record.getMessage()]
    expected = f"Schedule other missed 23 times, which passed without a worker (misfire={misfire!r})"
    assert missed == ([] if misfire == "all" else [expected])


def test_too_late_is_too_late(path):
    entries = [every(3600, other, misfire="all", max_late=2 * 3600, name="two"), every(3600, other, max_late=1)]
    settings = settings_of(path, other, cron_jobs=entries)
    drain(settings)
    put_back(path, "two", 24 * 3600 + 10)
    put_back(path, "other", 24 * 3600 + 10)
    drain(settings)

    assert (len(jobs_of(path, "two")), len(jobs_of(path, "other"))) == (2, 0)


def test_a_listed_schedule_is_changed_and_removed_with_the_settings(path, caplog):
    with caplog.at_level(logging.INFO, "sqlite_job"):
        drain(settings_of(path, add, other, cron_jobs=[every(60, other), every(60, add, [1])]))
        first = Inspector(path).schedule("add")
        drain(settings_of(path, add, other, cron_jobs=[every(60, add, [2])]))
        changed = Inspector(path).schedules()
        drain(settings_of(path, add, other))

    assert [(one.name, one.arguments, one.next_at) for one in changed] == [("add", "2", first.next_at)]
    assert Inspector(path).schedules() == []
    sentences = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Schedules of")]
    origin = first.origin
    assert sentences == [
        f"Schedules of {origin}: added 2 (other, add)",
        f"Schedules of {origin}: changed 1 (add)",
        f"Schedules of {origin}: removed 1 (other)",
        f"Schedules of {origin}: removed 1 (add)",
    ]


def test_settings_take_the_name_of_one_made_at_run_time_and_say_so(path, caplog):
    SQLiteJob(database=path).schedules.create(every(60, "other"))
    with caplog.at_level(logging.WARNING, "sqlite_job"):
        drain(settings_of(path, other, cron_jobs=[every(60, other)]))

    (record,) = [record for record in caplog.records if "pickles" not in record.getMessage()]
    assert record.getMessage().startswith("Schedule other was made at run time; from now on it is what ")


def test_a_pause_survives_restarts_and_run_now_works_in_it(path):
    settings = settings_of(path, other, cron_jobs=[every(0.01, other, misfire="all")])
    drain(settings)
    schedules = SQLiteJob("default", settings).schedules
    assert schedules.pause("other").is_paused
    before = len(jobs_of(path, "other"))
    drain(settings)
    job = schedules.run_now("other")
    drain(settings)

    assert len(jobs_of(path, "other")) == before + 1
    assert job.result(timeout=0) == "other"
    resumed = schedules.resume("other")
    assert not resumed.is_paused
    assert resumed.next_at > job.info().created_at
    assert schedules.resume("other") == resumed


def test_a_listed_schedule_can_be_neither_deleted_nor_changed(path):
    settings = settings_of(path, other, cron_jobs=[every(60, other)])
    drain(settings)
    schedules = SQLiteJob("default", settings).schedules
    for verb in (lambda: schedules.delete("other"), lambda: schedules.change("other", every(1, other))):
        with pytest.raises(ScheduleStateError, match=r"Settings lists it"):
            verb()
    with pytest.raises(ScheduleStateError) as caught:
        schedules.create(every(1, other), replace=True)
    assert caught.value.name == "other"
    schedules.delete("other", force=True)
    assert schedules.list() == []


def test_a_worker_does_not_fire_what_it_has_no_function_for(path):
    schedules = SQLiteJob(database=path).schedules
    schedules.create(every(0.01, "elsewhere", misfire="all"))
    schedules.create(every(0.01, "other", misfire="all"))
    with Worker("default", settings_of(path, other)).running_in_background():
        wait_until(lambda: completed(path, "other"))

    assert jobs_of(path, "elsewhere") == []
    with Worker("default", settings_of(path, task(other, name="elsewhere"))).running_in_background():
        wait_until(lambda: len(completed(path, "elsewhere")) > 3)


# ---- those made at run time


def test_one_made_while_a_worker_sleeps_is_run_in_time(path):
    settings = settings_of(path, other)
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        jobs.enqueue(other).result(DEADLINE)
        for number in range(5):
            made = jobs.schedules.create(every(0.2, other, name=f"s{number}"))
            wait_until(lambda made=made: completed(path, made.name))
            late = completed(path, made.name)[0].created_at - made.next_at
            # Far below the second after which it would be found anyway.
            assert timedelta(0) <= late < timedelta(seconds=0.5)
            jobs.schedules.delete(made.name)


def test_what_is_known_of_a_schedule(path):
    schedules = SQLiteJob("emails", database=path).schedules
    made = schedules.create(
        cron(
            *("30 2 * * *", add, [1], {"b": 2}),
            name="nightly",
            timezone="Europe/Paris",
            max_late=60,
            jitter=5,
            timeout=1.5,
            tags=["a"],
        )
    )

    assert made == schedules.get("nightly") == Inspector(path).schedule("nightly")
    assert schedules.list() == Inspector(path).schedules() == [made]
    assert (made.name, made.origin, made.cron, made.every) == ("nightly", None, "30 2 * * *", None)
    assert (made.description, made.timezone, made.misfire) == ("At 02:30 every day", "Europe/Paris", "skip")
    assert (made.max_late, made.jitter, made.function, made.arguments) == (60, 5, "add", "1, b=2")
    assert made.options == {"queue": "emails", "priority": 0, "timeout": 1.5, "tags": ["a"]}
    assert (made.paused_at, made.last_at, made.last_job_id) == (None, None, None)
    times = made.next_times(400)
    assert times[0] == made.next_at
    assert times == sorted(set(times))
    # On the day when that time is skipped it comes half an hour later.
    assert {after - before for before, after in zip(times, times[1:])} == {
        timedelta(hours=hours) for hours in (23.5, 24, 25)
    }
    assert (made.next_times(1), made.next_times(0)) == ([made.next_at], [])


def test_an_interval_tells_its_next_times(path):
    made = SQLiteJob(database=path).schedules.create(every(timedelta(minutes=1), "other"))

    assert made.next_times(3) == [made.created_at + timedelta(minutes=number) for number in (1, 2, 3)]


def test_what_cannot_be_read_is_shown_all_the_same(path):
    schedules = SQLiteJob(database=path).schedules
    schedules.create(cron("@daily", "other"))
    execute(path, "UPDATE sqlitejob_schedule SET timezone = 'Mars', options = '{'")

    (found,) = schedules.list()
    assert found.description == "not understood here: no time zone 'Mars'"
    assert found.options == {}
    with pytest.raises(InvalidOptionError, match="Mars"):
        found.next_times()


def test_a_schedule_is_changed_as_a_whole(path):
    schedules = SQLiteJob(database=path).schedules
    made = schedules.create(every(60, "add", [1], name="mine", tags=["old"]))
    changed = schedules.change("mine", every(60, "add", [2], misfire="all"))

    assert (changed.arguments, changed.misfire, changed.next_at) == ("2", "all", made.next_at)
    assert "tags" not in changed.options
    changed = schedules.create(cron("@hourly", "other", name="mine"), replace=True)
    assert (changed.function, changed.every, changed.next_at.minute) == ("other", None, 0)
    assert changed.created_at == made.created_at
    with pytest.raises(ScheduleStateError, match="it exists already; change it, or create it with replace"):
        schedules.create(every(1, "other", name="mine"))


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (every(1, "othr"), UnknownFunctionError, r"No function named 'othr'.*did you mean 'other'"),
        (
            cron("* *", "other"),
            InvalidOptionError,
            r"schedule '\w+': the cron expression '\* \*' has 2 fields",
        ),
        (every(1, add, misfire="x"), InvalidOptionError, "missing a required argument: 'a'; misfire is 'skip'"),
        (every(1, add, [lambda: 1]), EncodeError, "cannot be encoded"),
        (other, InvalidOptionError, "a schedule is made by cron"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(path, entry, error, message):
    schedules = SQLiteJob("default", settings_of(path, add, other)).schedules
    for verb in (schedules.create, lambda entry: schedules.change("mine", entry)):
        with pytest.raises(error, match=message):
            verb(entry)
    assert schedules.list() == []


def test_without_settings_a_function_is_known_by_its_name_only(path):
    schedules = SQLiteJob(database=path).schedules

    assert schedules.create(every(60, "whatever", [1, 2])).function == "whatever"
    with pytest.raises(InvalidOptionError, match="missing a required argument"):
        schedules.create(every(60, add))
    with pytest.raises(InvalidNameError):
        schedules.create(every(60, 5))
    with pytest.raises(InvalidNameError, match="has no name to enqueue it by"):
        schedules.create(every(60, lambda: 1, name="mine"))
    assert schedules.create(every(60, task(lambda: 1, name="one"))).name == "one"


def test_a_schedule_keeps_its_name(path):
    schedules = SQLiteJob(database=path).schedules
    schedules.create(every(60, "other"))
    with pytest.raises(InvalidOptionError, match="a schedule keeps its name: 'other', not 'new'"):
        schedules.change("other", every(60, "other", name="new"))


@pytest.mark.parametrize("verb", ["pause", "resume", "run_now", "delete", "get"])
def test_an_unknown_schedule_is_not_found(path, verb):
    schedules = SQLiteJob(database=path).schedules
    schedules.create(every(60, "other"))
    with pytest.raises(ScheduleNotFoundError, match=r"No schedule named 'othr' \(did you mean 'other'\?\)") as caught:
        getattr(schedules, verb)("othr")
    assert caught.value.name == "othr"
    with pytest.raises(ScheduleNotFoundError):
        getattr(schedules, verb)("\ud800")
    with pytest.raises(InvalidNameError, match="A schedule name is text, not int: 5"):
        getattr(schedules, verb)(5)


def test_the_time_zone_of_the_settings_counts_at_run_time_too(path):
    schedules = SQLiteJob("default", settings_of(path, other, timezone="Asia/Tokyo")).schedules

    assert schedules.create(cron("@daily", other)).timezone == "Asia/Tokyo"


# ---- signed arguments


def test_signed_arguments_are_for_those_who_have_the_key(path):
    settings = settings_of(path, add, serializer=SignedPickleSerializer(KEY), cron_jobs=[every(0.05, add, [20, 22])])
    with Worker("default", settings).running_in_background():
        wait_until(lambda: len(completed(path, "add")) >= 2)
    jobs = SQLiteJob("default", settings)

    assert {jobs.get_job_result(job.id) for job in completed(path, "add")} == {42}
    job = jobs.schedules.run_now("add")
    with pytest.raises(DecodeError, match="'signed-pickle', which is not accepted here"):
        SQLiteJob(database=path).schedules.run_now("add")
    drain(settings)
    assert job.result(timeout=0) == 42


def test_a_worker_without_the_key_says_so_and_runs_the_others(path, caplog):
    signing = SQLiteJob(database=path, serializer=SignedPickleSerializer(KEY))
    signing.schedules.create(every(0.01, "add", [1], name="signed"))
    SQLiteJob(database=path).schedules.create(every(0.05, "add", [1], name="plain"))
    with caplog.at_level(logging.INFO, "sqlite_job"), Worker("default", settings_of(path, add)).running_in_background():
        wait_until(lambda: len(completed(path, "plain")) >= 3)

    assert jobs_of(path, "signed") == []
    (sentence,) = [record.getMessage() for record in caplog.records if "Cannot fire" in record.getMessage()]
    assert sentence.startswith(
        "Cannot fire signed: the arguments of add are encoded with 'signed-pickle', which is not"
    )


def test_run_now_never_unpickles(path):
    SQLiteJob(database=path).schedules.create(every(60, "add", [1], name="mine"))
    execute(path, "UPDATE sqlitejob_schedule SET args = ?", b"\0")
    job = SQLiteJob(database=path, serializer="json").schedules.run_now("mine")

    assert execute(path, "SELECT codec, args FROM sqlitejob_payload") == [("pickle", b"\0")]
    assert job.info().created_at.tzinfo == timezone.utc
