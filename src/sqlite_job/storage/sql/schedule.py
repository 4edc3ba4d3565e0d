"""Statements on schedules."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, literal_column, select, update

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names, one_of
from sqlite_job.storage.tables import schedule

_NULL: Any = literal_column("NULL")

# What settings say of a schedule, and what follows from it; in the order of Schedule.
_DEFINITION = (
    *("origin", "cron", "every", "timezone", "misfire", "max_late", "jitter"),
    *("function", "codec", "args", "preview", "options"),
)

INSERT = Insert(schedule, *schedule.columns.keys())

DEFINE = Statement(
    update(schedule)
    .where(schedule.c.name == given("name"))
    .values({**{column: given(column) for column in _DEFINITION}, "next_at": given("next_at")}),
    *names(*_DEFINITION, "next_at", "name"),
)

# Whoever read the schedule before this one was fired, changed or paused comes too late.
FIRE = Statement(
    update(schedule)
    .where(schedule.c.name == given("name"), schedule.c.next_at == given("read_at"), schedule.c.paused_at.is_(None))
    .values(next_at=given("next_at"), last_at=given("last_at"), last_job_id=given("last_job_id")),
    *names("next_at", "last_at", "last_job_id", "name", "read_at"),
)

PAUSE = Statement(
    update(schedule)
    .where(schedule.c.name == given("name"), schedule.c.paused_at.is_(None))
    .values(paused_at=given("now")),
    *names("now", "name"),
)

RESUME = Statement(
    update(schedule).where(schedule.c.name == given("name")).values(paused_at=_NULL, next_at=given("next_at")),
    *names("next_at", "name"),
)

DELETE = Statement(delete(schedule).where(schedule.c.name == given("name")), *names("name"))

ALL = Statement(select(*schedule.columns).order_by(schedule.c.name))

GET = Statement(select(*schedule.columns).where(schedule.c.name == given("name")), *names("name"))

_RUNS_HERE = schedule.c.paused_at.is_(None) & one_of(schedule.c.function, given("functions"))

# Index: schedule_due.
DUE = Statement(
    select(*schedule.columns).where(_RUNS_HERE, schedule.c.next_at <= given("now")).order_by(schedule.c.next_at),
    *names("functions", "now"),
)

# Index: schedule_due. ORDER BY and not min(): it ends at the first that fits.
NEXT_AT = Statement(
    select(schedule.c.next_at)
    .where(_RUNS_HERE, schedule.c.next_at > given("now"))
    .order_by(schedule.c.next_at)
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("functions", "now"),
)

# Index: schedule_due.
SOONEST = Statement(
    select(schedule.c.next_at)
    .where(_RUNS_HERE, schedule.c.next_at.is_not(None))
    .order_by(schedule.c.next_at)
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("functions"),
)
