"""Names are bounded and free of control characters, wherever one comes in."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sqlite_job import Inspector, InvalidNameError, SettingsError, SQLiteJob, Worker, call, task
from sqlite_job.cli.program import program
from tests.doors.making import count_jobs, settings_of

HOSTILE = {
    "empty": "",
    "spaces": " a",
    "too long": "a" * 129,
    "line break": "a\nERROR forged",
    "carriage return": "a\rb",
    "escape": "a\x1b[2Jb",
    "C1 escape": "a\x9b2Jb",
    "NUL": "a\x00b",
    "delete": "a\x7fb",
    "line separator": "a\u2028b",
    "override": "a\u202eb",
    "direction mark": "a\u200fb",
    "surrogate": "a\ud800b",
}

DOORS = {
    "SQLiteJob": lambda path, name: SQLiteJob(name, database=path),
    "enqueue": lambda path, name: SQLiteJob(database=path).enqueue(name, 1),
    "enqueue_many": lambda path, name: SQLiteJob(database=path).enqueue_many([call("a"), call(name)]),
    "enqueue a task": lambda path, name: SQLiteJob(database=path).enqueue(named(name), 1),
    "job_id": lambda path, name: SQLiteJob(database=path).with_options(job_id=name),
    "queue": lambda path, name: SQLiteJob(database=path).with_options(queue=name),
    "tags": lambda path, name: SQLiteJob(database=path).with_options(tags=["a", name]),
    "counts": lambda path, name: SQLiteJob(database=path).counts(name),
    "list_jobs(queue)": lambda path, name: SQLiteJob(database=path).list_jobs(queue=name),
    "list_jobs(function)": lambda path, name: SQLiteJob(database=path).list_jobs(function=name),
    "list_jobs(tag)": lambda path, name: SQLiteJob(database=path).list_jobs(tag=name),
    "Inspector.jobs": lambda path, name: Inspector(path).jobs(queue=name),
    "Worker": lambda path, name: Worker(name, settings_of(path, add)),
    "Worker of several": lambda path, name: Worker(["a", name], settings_of(path, add)),
}

COMMANDS = {
    "function": ["enqueue", "{}"],
    "queue": ["enqueue", "add", "--queue", "{}"],
    "job id": ["enqueue", "add", "--job-id", "{}"],
    "tag": ["enqueue", "add", "--tag", "{}"],
    "list --queue": ["list", "--queue", "{}"],
    "list --function": ["list", "--function", "{}"],
    "list --tag": ["list", "--tag", "{}"],
}

hostile = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


def add(a, b):
    return a + b


def named(name):
    def function(_):
        pass

    function.__name__ = name
    return function


@hostile
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_every_door_refuses_a_hostile_name_and_writes_nothing(database, door, name):
    SQLiteJob(database=database).counts()  # so that the database is there

    with pytest.raises(InvalidNameError) as caught:
        door(database, name)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert count_jobs(database) == 0


@hostile
@pytest.mark.parametrize("door", ["function", "name of a task", "queue of a task"])
def test_settings_refuse_a_hostile_name(database, door, name):
    makers = {
        "function": lambda: settings_of(database, named(name)),
        "name of a task": lambda: settings_of(database, task(add, name=name)),
        "queue of a task": lambda: settings_of(database, task(add, queue=name)),
    }

    with pytest.raises(ValueError, match=r"A (function|queue) name ") as caught:
        makers[door]()

    assert str(caught.value).replace("\n", "").isprintable()
    assert door != "function" or isinstance(caught.value, SettingsError)


@pytest.mark.parametrize("name", [name for kind, name in HOSTILE.items() if kind not in ("NUL", "surrogate")])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_command_line_refuses_a_hostile_name_on_one_printable_line(database, command, name):
    SQLiteJob(database=database).counts()
    words = [name if word == "{}" else word for word in command]

    ended = CliRunner().invoke(program, [*words, "--database", str(database)])

    assert ended.exit_code != 0
    assert ended.output.rstrip("\n").isprintable()
    assert (
        "control characters" in ended.output or "128 characters" in ended.output or "must not be empty" in ended.output
    )
    assert count_jobs(database) == 0


@hostile
def test_a_stored_id_that_is_no_name_can_be_asked_for_and_is_not_found(database, name):
    """Whoever looks a job up may have any text; what another program wrote into the table can be deleted so."""
    jobs = SQLiteJob(database=database)

    for ask in (jobs.get_job, jobs.get_job_result, jobs.delete, jobs.requeue):
        with pytest.raises(ValueError, match="No job with the id") as caught:
            ask(name)
        assert str(caught.value).isprintable()
