"""cron_jobs in WorkerSettings: what is listed, and all that can be wrong with it."""

from __future__ import annotations

import json
import sys
from datetime import timedelta, timezone

import pytest

from sqlite_job import SettingsError, SignedPickleSerializer, WorkerSettings, cron, every, task

if sys.version_info >= (3, 9):
    from zoneinfo import ZoneInfo
else:
    from backports.zoneinfo import ZoneInfo


def report(day, *, length=10):
    return day, length


def ping():
    return "pong"


def make(*cron_jobs, **attributes):
    kind = type("MyWorkerSettings", (WorkerSettings,), {"functions": [report, ping], **attributes})
    kind.cron_jobs = list(cron_jobs)
    return kind()


def problems_of(*cron_jobs, **attributes):
    with pytest.raises(SettingsError) as caught:
        make(*cron_jobs, **attributes)
    return caught.value.problems


def test_a_schedule_is_what_it_was_given():
    entry = cron(
        *("0 3 * * *", report, [1], {"length": 2}),
        name="nightly",
        timezone="Europe/Paris",
        misfire="latest",
        max_late=timedelta(hours=1),
        jitter=1.5,
        queue="high",
        priority=3,
        max_tries=4,
        timeout=5,
        tags=["a"],
        meta={"b": 1},
    )
    settings = make(entry, every(30, ping, max_late=10))

    nightly, pinging = settings.schedules
    assert (nightly.name, nightly.cron, nightly.every, nightly.timezone) == (
        "nightly",
        "0 3 * * *",
        None,
        "Europe/Paris",
    )
    assert (nightly.misfire, nightly.max_late, nightly.jitter) == ("latest", 3_600_000_000, 1_500_000)
    assert (nightly.function, nightly.preview) == ("report", "1, length=2")
    assert settings.codecs.decode(nightly.codec, nightly.args, "report", "schedule:nightly") == ((1,), {"length": 2})
    assert json.loads(nightly.options) == {
        "queue": "high",
        "priority": 3,
        "max_tries": 4,
        "timeout": 5_000_000,
        "tags": '["a"]',
        "meta": '{"b":1}',
    }
    assert (pinging.name, pinging.cron, pinging.every, pinging.misfire) == ("ping", None, 30_000_000, "skip")
    assert json.loads(pinging.options) == {"queue": "default", "priority": 0}


def test_a_function_may_be_given_by_name_as_a_task_or_itself():
    renamed = task(ping, name="pinging", queue="low", priority=2)
    settings = make(
        *(every(1, "report", [1]), every(1, renamed), every(1, ping, name="third"), every(1, "pinging", name="fourth")),
        functions=[report, renamed],
    )

    assert [(one.name, one.function) for one in settings.schedules] == [
        *(("report", "report"), ("pinging", "pinging"), ("third", "pinging"), ("fourth", "pinging")),
    ]
    assert json.loads(settings.schedules[1].options) == {"queue": "low", "priority": 2}


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", ZoneInfo("Asia/Kathmandu")])
def test_the_time_zone_of_the_settings_is_the_default(zone):
    settings = make(cron("@daily", ping), cron("@daily", ping, name="utc", timezone=timezone.utc), timezone=zone)

    assert [one.timezone for one in settings.schedules] == ["Asia/Kathmandu", "UTC"]


def test_settings_without_schedules_have_none():
    assert type("Mine", (WorkerSettings,), {"functions": [ping]})().schedules == ()


class Base(WorkerSettings):
    functions = [ping]
    cron_jobs = [every(1, ping)]


class Derived(Base):
    max_jobs = 2


class Other(Base):
    cron_jobs = [every(2, ping)]


def test_the_origin_is_the_class_that_has_the_list(monkeypatch):
    name = f"{__name__}.Base"
    assert [kind().origin_of_schedules for kind in (Base, Derived, Other)] == [name, name, f"{__name__}.Other"]

    monkeypatch.setattr(Base, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/srv/app/worker.py", raising=False)
    assert Derived().origin_of_schedules == "worker.Base"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            cron("61 * * * *", ping),
            "schedule 'ping': no cron expression: '61 * * * *' (bad minute); write minute, hour",
        ),
        (cron("@dayly", ping), "schedule 'ping': no alias '@dayly' (did you mean '@daily'?); there are @yearly"),
        (cron(None, ping), "schedule 'ping': the cron expression '' has 0 fields"),
        (cron(60, ping), "schedule 'ping': a cron expression is text, not 60"),
        (
            cron("@daily", ping, timezone="Europe/Pari"),
            "schedule 'ping': no time zone 'Europe/Pari' (did you mean 'Europe/Paris'?)",
        ),
        (cron("@daily", ping, misfire="lates"), "schedule 'ping': misfire is 'skip', 'latest' or 'all', not 'lates'"),
        (cron("@daily", ping, max_late=-1), "schedule 'ping': max_late: a duration is from 0"),
        (cron("@daily", ping, jitter="1m"), "schedule 'ping': jitter: a duration is a number of seconds"),
        (every(0, ping), "schedule 'ping': every is 0.01 seconds or more, not 0"),
        (every(None, ping), "schedule 'ping': every: a duration is a number of seconds or a timedelta, not None"),
        (every(1, "pong"), "schedule 'pong': No function named 'pong'; add it to MyWorkerSettings.functions (did you"),
        (every(1, print), "schedule 'print': No function named 'print'; add it to MyWorkerSettings.functions"),
        (every(1, ping, name=5), "schedule '5': A schedule name must be text, not int"),
        (every(1, 5), "schedule '5': a schedule runs a function, or its name, not 5"),
        (every(1, report), "schedule 'report': the function cannot be called with these arguments: missing a required"),
        (every(1, ping, 5), "schedule 'ping': args is a list of arguments, not 5"),
        (every(1, ping, "ab"), "schedule 'ping': args is a list of arguments, not 'ab'"),
        (every(1, ping, (), [1]), "schedule 'ping': kwargs is a dict of arguments, not [1]"),
        (every(1, ping, name=" x"), "schedule ' x': A schedule name must not be empty or have spaces around it: ' x'"),
        (every(1, ping, name="x" * 101), f"schedule '{'x' * 101}': A schedule name may have 100 characters"),
        (every(1, ping, queue=""), "schedule 'ping': A queue name must not be empty"),
        (every(1, ping, priority="high"), "schedule 'ping': priority is a whole number"),
        (every(1, ping, tags="ab"), "schedule 'ping': tags is a list of tags, not one text"),
        (every(1, report, [lambda: 1]), "schedule 'report': the arguments of report cannot be encoded with 'pickle'"),
        (every(1, report, [b"x" * 2_000_000]), "schedule 'report': the arguments of report takes 2,"),
        (ping, "cron_jobs has <function ping at"),
    ],
)
def test_what_cannot_work_is_told(entry, problem):
    (found,) = problems_of(entry)

    assert found.startswith(problem)


def test_the_longest_name_leaves_room_for_the_time_in_the_ids_of_jobs():
    assert make(every(1, ping, name="x" * 100)).schedules[0].name == "x" * 100


def test_two_schedules_of_one_name_need_another():
    (found,) = problems_of(every(1, ping), every(2, ping))

    assert found == "two schedules are named 'ping'; give one another name: cron(..., name='...')"


def test_all_that_is_wrong_is_told_at_once_with_what_is_wrong_elsewhere():
    problems = problems_of(
        cron("* *", "pong", misfire="no", timezone="x"), every(-1, ping), max_jobs=0, timezone="Mars"
    )

    assert [problem.split("; ")[0].split(" (")[0] for problem in problems] == [
        "timezone: no time zone 'Mars'",
        "max_jobs is a whole number from 1, not 0",
        "schedule 'pong': No function named 'pong'",
        "schedule 'pong': misfire is 'skip', 'latest' or 'all', not 'no'",
        "schedule 'pong': the cron expression '* *' has 2 fields",
        "schedule 'pong': no time zone 'x'",
        "schedule 'ping': every: a duration is from 0 up to 1,000 years in seconds, not -1",
    ]


@pytest.mark.parametrize("value", [every(1, ping), "ping", 5, None])
def test_cron_jobs_is_a_list(value):
    with pytest.raises(SettingsError, match="cron_jobs is a list of schedules, not"):
        type("Mine", (WorkerSettings,), {"functions": [ping], "cron_jobs": value})()


def test_bad_functions_are_told_beside_schedules():
    problems = problems_of(every(1, ping), functions="ping")

    assert problems[0].startswith("functions is a list")
    assert len(problems) == 2


def test_arguments_are_signed_where_settings_sign():
    settings = make(every(1, report, [1]), serializer=SignedPickleSerializer("0123456789abcdef"))

    (schedule,) = settings.schedules
    assert settings.codecs.decode("signed-pickle", schedule.args, "report", "schedule:report") == ((1,), {})
