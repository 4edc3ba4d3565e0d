"""Compare the reference with the code: what is not documented, or documented and gone, fails here."""

from __future__ import annotations

import inspect
import re
from typing import Dict, List

import pytest

import sqlite_job
from sqlite_job import (
    EnqueueContext,
    Inspector,
    Job,
    JobContext,
    Middleware,
    SQLiteJob,
    Worker,
    WorkerSettings,
    cron,
    events,
    every,
)
from sqlite_job.core import errors
from sqlite_job.core import events as core_events
from sqlite_job.core.tasks import TaskOptions
from sqlite_job.schedules import Schedules
from sqlite_job.settings import KNOBS
from sqlite_job.storage import tables
from tests.docs.documents import ROOT

REFERENCE = ROOT / "docs" / "reference"


def text_of(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its rank."""
    rank = heading.split(" ", 1)[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"there is no {heading!r}"
    return rest.split(f"\n{rank} ", 1)[0]


def rows(text: str) -> List[List[str]]:
    """Return the cells of all table rows whose first cell is code: `name` or `name(...)`."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def names(text: str) -> List[str]:
    return [re.sub(r"\(.*", "", row[0].strip("`")) for row in rows(text)]


# ---- settings.md


def knob_rows() -> List[List[str]]:
    return rows(text_of("settings.md").split("\n## ", 1)[0])


def test_every_setting_is_documented_in_the_order_of_the_class():
    assert [row[0].strip("`") for row in knob_rows()] == list(KNOBS)


def test_documented_defaults_are_those_of_the_class():
    shown = {row[0].strip("`"): row[2].strip("`") for row in knob_rows()}

    assert shown.pop("functions") == "required"
    assert shown == {knob: repr(getattr(WorkerSettings, knob)) for knob in KNOBS if knob != "functions"}


def test_every_setting_has_a_type_and_a_meaning():
    assert [row[0] for row in knob_rows() if not (row[1] and row[3])] == []


def test_every_option_of_a_function_is_documented():
    documented = names(section(text_of("settings.md"), "## Options of one function"))

    assert documented == list(TaskOptions.__dataclass_fields__)


def test_every_option_of_a_job_is_documented():
    documented = names(section(text_of("settings.md"), "## Options of one job"))

    assert documented == parameters(SQLiteJob.with_options)


@pytest.mark.parametrize("make", [cron, every])
def test_every_argument_of_a_schedule_is_documented(make):
    table = section(text_of("settings.md"), "## Schedules")
    documented = re.findall(r"`(\w+)`", " ".join(row[0] for row in rows(table)))

    assert [name for name in parameters(make) if name not in documented] == []
    assert [name for name in documented if name not in {*parameters(cron), *parameters(every)}] == []


# ---- api.md


def test_every_public_name_is_documented_once():
    text = text_of("api.md")
    explained = [name for name in names(text) if name in sqlite_job.__all__]
    listed = re.findall(r"`(\w+)`", section(text, "## Errors"))

    assert sorted([*explained, *listed]) == sorted(sqlite_job.__all__)


@pytest.mark.parametrize("name", sqlite_job.__all__)
def test_every_public_name_is_there_and_has_a_docstring(name):
    assert inspect.getdoc(getattr(sqlite_job, name))


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        (SQLiteJob, "| method | what it does |"),
        (Job, "| method of `Job` | what it does |"),
        (Inspector, "| method of `Inspector` | what it does |"),
        (Worker, "| method of `Worker` | what it does |"),
        (Schedules, "| method of `schedules` | what it does |"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_public_method_is_documented(kind, before):
    table = text_of("api.md").partition(before)[2].split("\n\n", 1)[0]

    assert sorted(names(table)) == sorted(public(kind))


def test_everything_a_job_can_ask_about_itself_is_documented():
    (row,) = (row for row in rows(text_of("api.md")) if row[0] == "`JobContext`")

    assert sorted(re.findall(r"`(\w+)`", row[1])) == sorted(public(JobContext))


def test_everything_middleware_sees_at_enqueue_is_documented():
    (row,) = (row for row in rows(text_of("api.md")) if row[0] == "`EnqueueContext`")

    assert sorted(re.findall(r"`(\w+)`", row[1])) == sorted(public(EnqueueContext))


def test_every_method_of_middleware_is_documented():
    table = rows(section(text_of("settings.md"), "## Middleware"))

    assert [row[0].strip("`") for row in table] == [
        f"{name}({', '.join(inspect.signature(method).parameters)})"
        for name, method in vars(Middleware).items()
        if not name.startswith("_")
    ]


# ---- events.md


def event_rows() -> Dict[str, List[str]]:
    return {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in rows(text_of("events.md"))}


CARRIED = (events.RescuedJob, events.SyncedSchedules, events.FailureReport)


def test_every_event_and_outcome_is_documented_with_its_fields():
    documented = event_rows()

    for kind in (*core_events.EVENTS, *events.Outcome.__args__, *CARRIED):
        assert documented.pop(kind.__name__, None) == list(kind._fields), kind
    assert set(documented.pop("ClaimedJob")) <= set(events.ClaimedJob._fields)
    assert documented == {}


def test_every_name_of_the_events_is_documented():
    text = text_of("events.md")

    assert [name for name in events.__all__ if f"`{name}`" not in text] == []
    assert set(event_rows()) <= set(events.__all__)


# ---- errors.md


def test_every_error_is_documented_once():
    assert sorted(names(text_of("errors.md"))) == sorted(error_classes())


def test_documented_bases_are_those_of_the_classes():
    builtin = (ValueError, RuntimeError, TimeoutError, errors.EncodeError, errors.DecodeError)
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows(text_of("errors.md")) if len(row) == 4}
    found = {
        name: next((base.__name__ for base in builtin if base in kind.__bases__), "")
        for name, kind in error_classes().items()
        if name in shown
    }

    assert shown == found


def test_errors_of_the_database_stand_under_the_database():
    documented = names(section(text_of("errors.md"), "## The database"))
    found = [name for name, kind in error_classes().items() if issubclass(kind, errors.DatabaseError)]

    assert sorted(documented) == sorted(found)


def test_attributes_of_errors_are_documented():
    assert [
        f"{name}.{attribute}"
        for name, kind in error_classes().items()
        for attribute in re.findall(r"self\.(\w+) = ", inspect.getsource(kind))
        if f"`{attribute}`" not in next(" ".join(row) for row in rows(text_of("errors.md")) if row[0] == f"`{name}`")
    ] == []


# ---- database.md


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda table: table.name)
def test_every_column_is_documented_in_the_order_of_the_table(table):
    shown = rows(section(text_of("database.md"), f"## {table.name}"))

    assert [row[0].strip("`") for row in shown] == [column.name for column in table.columns]
    for row, column in zip(shown, table.columns):
        assert row[1].startswith(type_of(column)), f"{table.name}.{column.name} is {type_of(column)}"
        assert row[1].endswith(" or null") == column.nullable, f"{table.name}.{column.name}"


def test_every_table_is_documented():
    headings = re.findall(r"^## (sqlitejob_\w+)$", text_of("database.md"), re.MULTILINE)

    assert sorted(headings) == sorted([*tables.metadata.tables, "sqlitejob_version"])


def test_every_index_is_documented():
    found = [index.name for table in tables.metadata.sorted_tables for index in table.indexes]

    assert sorted(names(section(text_of("database.md"), "## Indexes"))) == sorted(found)


def type_of(column) -> str:
    return {"BIGINT": "INTEGER", "DOUBLE": "REAL"}.get(str(column.type), str(column.type))


# ---- what the code has


def public(kind: type) -> List[str]:
    own = [name for parent in kind.__mro__ if parent.__module__.startswith("sqlite_job") for name in vars(parent)]
    slots = [name for parent in kind.__mro__ for name in vars(parent).get("__slots__", ())]
    return sorted({name for name in [*own, *slots] if not name.startswith("_")})


def parameters(function) -> List[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def error_classes() -> Dict[str, type]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.SQLiteJobError)
    }
