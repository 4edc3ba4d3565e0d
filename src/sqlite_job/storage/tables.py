"""Define the schema. Blobs live apart from the row that changes state: SQLite rewrites a whole row at each change.

There are no foreign keys: looking up the parent costs about a tenth of a drain, and every delete of a job goes through
one statement list (`storage/base.py`). Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    literal_column,
    text,
)

from sqlite_job.core.states import FINAL, JobStatus

# SQLite makes a column the rowid only if its type is exactly INTEGER.
BIG = BigInteger().with_variant(Integer(), "sqlite")
# STRICT tables know REAL only, which elsewhere has half the precision.
_REAL: Any = Double().with_variant(REAL(), "sqlite")

# By what a worker is known to live: a lock that ends with it, or its lease alone.
BY_LOCK, BY_LEASE = "lock", "lease"

metadata = MetaData()


def status_literal(status: JobStatus) -> Any:
    """Return a status as SQL text: SQLite uses a partial index only where its condition stands in the query."""
    return literal_column(f"'{status.value}'", Text)


def _is_one_of(statuses: Any) -> str:
    # Not IN (...): for a list SQLite builds a temporary index each time, which doubles the cost of settling a job.
    return " OR ".join(f"status = '{status.value}'" for status in JobStatus if status in statuses)


job = Table(
    "sqlitejob_job",
    metadata,
    Column("seq", BIG, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("queue", Text, nullable=False),
    Column("function", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", BIG, nullable=False, server_default=text("0")),
    Column("created_at", BIG, nullable=False),
    Column("run_at", BIG),
    Column("started_at", BIG),
    Column("finished_at", BIG),
    Column("expires_at", BIG),
    Column("tries", BIG, nullable=False, server_default=text("0")),
    Column("max_tries", BIG),
    Column("deaths", BIG, nullable=False, server_default=text("0")),
    Column("claim_number", BIG, nullable=False, server_default=text("0")),
    Column("worker_id", BIG),
    Column("timeout", BIG),
    Column("cancel_requested_at", BIG),
    Column("cancel_reason", Text),
    Column("unique_key", Text),
    Column("group_key", Text),
    Column("group_limit", BIG),
    Column("rate_key", Text),
    CheckConstraint(_is_one_of(JobStatus), name="sqlitejob_job_status"),
    CheckConstraint(f"(finished_at IS NOT NULL) = ({_is_one_of(FINAL)})", name="sqlitejob_job_finished"),
    CheckConstraint("status <> 'scheduled' OR run_at IS NOT NULL", name="sqlitejob_job_scheduled"),
    sqlite_autoincrement=True,  # a seq is part of the fence: it must never come back after a delete
    sqlite_strict=True,
)

payload = Table(
    "sqlitejob_payload",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("codec", Text, nullable=False),
    Column("args", LargeBinary, nullable=False),
    Column("preview", Text),
    Column("tags", Text),
    Column("meta", Text),
    sqlite_strict=True,
)

result = Table(
    "sqlitejob_result",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("codec", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("preview", Text),
    sqlite_strict=True,
)

failure = Table(
    "sqlitejob_failure",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("claim_number", BIG, primary_key=True, autoincrement=False),
    Column("try", BIG, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("started_at", BIG, nullable=False),
    Column("finished_at", BIG, nullable=False),
    Column("worker_id", BIG),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# The index of payload.tags by tag: empty and free for those who use none.
tag = Table(
    "sqlitejob_tag",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("seq", BIG, primary_key=True, autoincrement=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Jobs whose worker died while it held them, until they have their next run, alone. Apart from the job, as a column with
# an index would cost each insert a tenth.
suspect = Table(
    "sqlitejob_suspect",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    sqlite_strict=True,
)

# Who has a unique key: a row outlives its job only as long as the window of the key (`until`) lasts.
unique = Table(
    "sqlitejob_unique",
    metadata,
    Column("key", Text, primary_key=True),
    Column("seq", BIG, nullable=False),
    Column("until", BIG),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What a rate limit allows: `starts` in any `per` microseconds; as the newest job with this key said.
rate = Table(
    "sqlitejob_rate",
    metadata,
    Column("key", Text, primary_key=True),
    Column("starts", BIG, nullable=False),
    Column("per", BIG, nullable=False),
    Column("next_at", BIG),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# The starts that still count for a rate limit.
start = Table(
    "sqlitejob_start",
    metadata,
    Column("rate_key", Text, primary_key=True),
    Column("started_at", BIG, primary_key=True, autoincrement=False),
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("claim_number", BIG, primary_key=True, autoincrement=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Queues of which something is known besides their jobs.
queue = Table(
    "sqlitejob_queue",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused_at", BIG),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# `origin` names the settings that a schedule stands in; null: it was made at run time.
schedule = Table(
    "sqlitejob_schedule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("origin", Text),
    Column("cron", Text),
    Column("every", BIG),
    Column("timezone", Text, nullable=False),
    Column("misfire", Text, nullable=False),
    Column("max_late", BIG),
    Column("jitter", BIG),
    Column("function", Text, nullable=False),
    Column("codec", Text, nullable=False),
    Column("args", LargeBinary, nullable=False),
    Column("preview", Text),
    Column("options", Text, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("paused_at", BIG),
    Column("next_at", BIG),
    Column("last_at", BIG),
    Column("last_job_id", Text),
    sqlite_strict=True,
)

# How far a running job has come, as it says itself.
progress = Table(
    "sqlitejob_progress",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("done", _REAL, nullable=False),
    Column("total", _REAL),
    Column("message", Text),
    Column("updated_at", BIG, nullable=False),
    sqlite_strict=True,
)

# Log records of jobs that asked to have them kept.
log = Table(
    "sqlitejob_log",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("at", BIG, nullable=False),
    Column("try", BIG, nullable=False),
    Column("level", BIG, nullable=False),
    Column("logger", Text, nullable=False),
    Column("message", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

worker = Table(
    "sqlitejob_worker",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BIG, nullable=False),
    Column("queues", Text, nullable=False),
    Column("started_at", BIG, nullable=False),
    Column("heartbeat_at", BIG, nullable=False),
    Column("lease_until", BIG, nullable=False),
    Column("liveness", Text, nullable=False, server_default=text(f"'{BY_LOCK}'")),
    sqlite_autoincrement=True,  # an id names a lock and stands in failures: it must never be used twice
    sqlite_strict=True,
)

_status = job.c.status


def _partial(name: str, *columns: Any, where: str) -> Index:
    return Index(f"sqlitejob_{name}", *columns, sqlite_where=text(where), postgresql_where=text(where))


# Each index is named after its only reader.
_partial("claimable", job.c.queue, job.c.priority.desc(), job.c.seq, where="status = 'pending'")
_partial("due", job.c.run_at, where="status = 'scheduled'")
_partial("held", job.c.worker_id, where="status = 'running'")
_partial("finished", job.c.finished_at, where="finished_at IS NOT NULL")
_partial("expiring", job.c.expires_at, where="expires_at IS NOT NULL AND finished_at IS NULL")
_partial("grouped", job.c.group_key, job.c.status, job.c.seq, where="group_key IS NOT NULL AND finished_at IS NULL")
_partial("rated", job.c.rate_key, job.c.status, job.c.seq, where="rate_key IS NOT NULL AND finished_at IS NULL")
# Not by seq: PostgreSQL would take it for the way to the first job of a group.
_partial("blocked", job.c.created_at, where="status = 'blocked'")
_partial("rate_next", rate.c.next_at, where="next_at IS NOT NULL")
Index("sqlitejob_tag_seq", tag.c.seq)
Index("sqlitejob_schedule_due", schedule.c.next_at)
