"""WorkerSettings: everything is checked at construction, and all that is wrong is said at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sqlite_job import Backoff, SettingsError, SQLiteJobError, WorkerSettings, task
from sqlite_job.settings import KNOBS


def add(a, b):
    return a + b


def make(**attributes):
    """Construct settings with these attributes, and one function unless they bring their own."""
    return type("MyWorkerSettings", (WorkerSettings,), {"functions": [add], **attributes})()


def problems_of(**attributes):
    with pytest.raises(SettingsError) as caught:
        make(**attributes)
    return caught.value.problems


def only_problem_of(**attributes):
    (problem,) = problems_of(**attributes)
    return problem


# The knobs that api.md publishes.
PUBLISHED = {
    *(
        "functions",
        "cron_jobs",
        "database",
        "max_jobs",
        "executor",
        "job_timeout",
        "max_tries",
        "backoff",
        "max_deaths",
    ),
    *("keep_result", "keep_failed", "lease", "poll_delay", "shutdown_timeout", "durability", "serializer", "accept"),
    *("max_payload", "preview", "redact", "capture_logs", "timezone", "max_jobs_per_child", "max_rss_mb", "schema"),
    *("allow_network_fs", "middleware", "on_startup", "on_shutdown", "on_job_start", "on_job_end", "on_failure"),
    "queue_limits",
    "subscribers",  # a worker that is started by the command line has no other way to get any
}


def test_settings_need_no_more_than_functions():
    settings = make()

    assert settings.registry.names == ["add"]
    assert settings.max_jobs == 10
    assert settings.max_tries == 1
    assert settings.backoff == Backoff()
    assert settings.durability == "full"
    assert settings.max_payload == 1_000_000
    assert settings.codecs.encoder.name == "pickle"
    hooks = ("on_startup", "on_shutdown", "on_job_start", "on_job_end", "on_failure")
    assert settings.hooks == dict.fromkeys(hooks)


def test_worker_settings_themselves_say_how_to_write_ones_own():
    with pytest.raises(SettingsError, match=r"subclass it .* class MyWorkerSettings\(WorkerSettings\): functions ="):
        WorkerSettings()


def test_settings_without_functions_are_refused():
    class MyWorkerSettings(WorkerSettings):
        pass

    with pytest.raises(SettingsError, match="functions is missing or empty; list what the worker may run"):
        MyWorkerSettings()


def test_a_settings_error_is_ours_and_a_value_error():
    assert issubclass(SettingsError, SQLiteJobError)
    assert issubclass(SettingsError, ValueError)


@pytest.mark.parametrize(
    ("attributes", "mend"),
    [
        ({"functions": []}, "functions is missing or empty"),
        ({"functions": ()}, "functions is missing or empty"),
        ({"functions": "add"}, "functions is a list of functions, not 'add'"),
        ({"functions": None}, "functions is a list of functions, not None"),
        ({"functions": {"add": add}}, "functions is a list of functions, not {"),
        ({"functions": ["add"]}, "functions has 'add', which is not a function; give the function itself"),
        ({"functions": [3]}, "functions has 3, which is not a function"),
        ({"functions": [lambda: None]}, "which has no name of its own; write task(function, name='...')"),
        ({"functions": [task(lambda: None)]}, "which has no name of its own"),
        ({"functions": [add, add]}, "two functions are named 'add'; give one another name: task(function, name='...')"),
        ({"functions": [add, task(max, name="add")]}, "two functions are named 'add'"),
        ({"max_jobs": 0}, "max_jobs is a whole number from 1, not 0"),
        ({"max_jobs": 2.5}, "max_jobs is a whole number from 1, not 2.5"),
        ({"max_jobs": True}, "max_jobs is a whole number from 1, not True"),
        ({"max_tries": None}, "max_tries is a whole number from 1, not None"),
        ({"max_payload": "1MB"}, "max_payload is a whole number from 1, not '1MB'"),
        ({"poll_delay": -1}, "poll_delay: a duration is from 0 up"),
        ({"poll_delay": "5"}, "poll_delay: a duration is a number of seconds or a timedelta, not '5'"),
        ({"shutdown_timeout": float("nan")}, "shutdown_timeout: a duration is from 0 up"),
        ({"shutdown_timeout": None}, "shutdown_timeout: a duration is a number of seconds"),
        ({"backoff": 5}, "backoff is a Backoff, as Backoff(first=2), not 5"),
        ({"durability": "half"}, 'durability is "full" or "normal", not \'half\''),
        ({"durability": None}, 'durability is "full" or "normal", not None'),
        ({"serializer": "yaml"}, "serializer: no serializer named 'yaml'; use one of 'pickle', 'json'"),
        ({"serializer": object}, "serializer: <class 'object'> is not a serializer: it needs `name`"),
        ({"accept": "json"}, "accept is a tuple of serializers, as (\"json\",), not 'json'"),
        ({"accept": None}, "accept is a tuple of serializers"),
        ({"accept": ("json", "yaml")}, "accept: no serializer named 'yaml'"),
        ({"preview": "yes"}, "preview is True or False, not 'yes'"),
        ({"preview": 1}, "preview is True or False, not 1"),
        ({"on_startup": "prepare"}, "on_startup is a function, not 'prepare'"),
        ({"on_job_end": 3}, "on_job_end is a function, not 3"),
        ({"database": ":memory:"}, "database: A database in memory belongs to one connection, no worker could see it"),
        ({"database": "sqlite://"}, "database: A database in memory"),
        ({"database": "sqlite:///:memory:"}, "database: A database in memory"),
        ({"database": ""}, "database: A database in memory"),
        (
            {"database": "postgresql+psycopg2://me@host/jobs"},
            "database: 'postgresql+psycopg2' is not a database or driver",
        ),
        ({"database": "postgresql://me@host"}, "database: 'postgresql://me@host' names no database; write"),
        ({"database": "postgresql://host/jobs", "schema": "pg_x"}, "database: A schema is named by"),
        ({"schema": ""}, "schema is the name of a schema"),
        ({"database": "mysql://host/jobs"}, "database: 'mysql' is not a database or driver that sqlite-job knows"),
        ({"database": 5}, "database: "),
        ({"database": b"jobs.db"}, "database: "),
        ({"database": "a\0b"}, "database: "),
    ],
)
def test_each_problem_is_named_with_the_value_and_the_mend(attributes, mend):
    assert mend in only_problem_of(**attributes)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("", "A function name must not be empty"),
        ("a\nb", "A function name must not contain control characters: 'a\\nb'"),
        ("a" * 129, "A function name may have 128 characters, this one has 129"),
    ],
)
def test_a_function_of_a_name_that_cannot_be_one_is_refused(name, mend):
    def function():
        pass

    function.__name__ = name

    assert mend in only_problem_of(functions=[function])


def test_all_problems_are_said_at_once():
    wrong = {
        "max_jobs": 0,
        "max_tries": "many",
        "poll_delay": -1,
        "backoff": 2,
        "durability": "half",
        "serializer": "yaml",
        "accept": ("xml",),
        "preview": None,
        "on_startup": 5,
        "database": ":memory:",
    }

    problems = problems_of(functions=[add, "mul", add], **wrong, max_job=3)

    for knob in wrong:
        assert len([problem for problem in problems if problem.startswith(knob)]) == 1, knob
    for rest in ("functions has 'mul'", "two functions are named 'add'", "there is no setting 'max_job'"):
        assert len([problem for problem in problems if problem.startswith(rest)]) == 1, rest
    assert len(problems) == len(wrong) + 3


def test_the_message_has_the_name_of_the_settings_and_a_line_for_each_problem():
    with pytest.raises(SettingsError) as caught:
        make(max_jobs=0, max_tries=0)

    first, *lines = str(caught.value).splitlines()
    assert first == "MyWorkerSettings cannot be used:"
    assert lines == [f"  - {problem}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("function", "functions"),
        ("max_job", "max_jobs"),
        ("max_retries", "max_tries"),
        ("databse", "database"),
        ("on_start_up", "on_startup"),
        ("on_job_started", "on_job_start"),
        ("poll_dealy", "poll_delay"),
        ("serialiser", "serializer"),
        ("Max_Jobs", "max_jobs"),
        ("MAX_JOBS", "max_jobs"),
    ],
)
def test_a_misspelt_setting_is_refused_with_what_was_perhaps_meant(misspelt, meant):
    assert only_problem_of(**{misspelt: 1}) == f"there is no setting {misspelt!r} (did you mean {meant!r}?)"


@pytest.mark.parametrize("name", ["model_path", "batch_size", "helper", "_max_job"])
def test_an_attribute_of_ones_own_that_resembles_no_setting_is_left_alone(name):
    assert getattr(make(**{name: "mine"}), name) == "mine"


def test_every_setting_there_is_has_been_published():
    assert set(KNOBS) <= PUBLISHED


def test_a_duration_may_be_a_timedelta():
    settings = make(poll_delay=timedelta(minutes=1), shutdown_timeout=timedelta(seconds=5))

    assert (settings.poll_delay, settings.shutdown_timeout) == (timedelta(minutes=1), timedelta(seconds=5))


# ---- inheritance -----------------------------------------------------------------------------------------------------


class Base(WorkerSettings):
    functions = [add]
    max_jobs = 3
    max_tries = 4


def test_settings_are_read_along_the_class_hierarchy():
    class Mixin:
        poll_delay = 1

    class MyWorkerSettings(Mixin, Base):
        max_tries = 5

    settings = MyWorkerSettings()

    assert (settings.max_jobs, settings.max_tries, settings.poll_delay) == (3, 5, 1)
    assert settings.registry.names == ["add"]


def test_a_misspelt_setting_of_a_parent_or_mixin_is_found_too():
    class Mixin:
        max_job = 1

    class MyWorkerSettings(Mixin, Base):
        pass

    with pytest.raises(SettingsError, match="'max_job'"):
        MyWorkerSettings()


def test_changing_settings_after_construction_of_others_changes_only_new_ones():
    one, other = make(), make(functions=[max])

    assert (one.registry.names, other.registry.names) == (["add"], ["max"])
