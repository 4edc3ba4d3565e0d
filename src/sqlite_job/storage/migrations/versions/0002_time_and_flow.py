"""Expiry, limits, unique keys, rates, pauses, schedules, progress, logs. Frozen: a later change is its own revision.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REAL: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    """Create what decides whether, when and how many jobs run."""
    _extend_job()
    _create_limits()
    _create_schedule()
    op.create_table(
        "sqlitejob_queue",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("paused_at", _BIG),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sqlitejob_progress",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("done", _REAL, nullable=False),
        sa.Column("total", _REAL),
        sa.Column("message", sa.Text),
        sa.Column("updated_at", _BIG, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "sqlitejob_log",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("number", _BIG, primary_key=True, autoincrement=False),
        sa.Column("at", _BIG, nullable=False),
        sa.Column("try", _BIG, nullable=False),
        sa.Column("level", _BIG, nullable=False),
        sa.Column("logger", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _extend_job() -> None:
    op.add_column("sqlitejob_job", sa.Column("group_limit", _BIG))
    op.add_column("sqlitejob_job", sa.Column("rate_key", sa.Text))
    _create_partial("expiring", ["expires_at"], where="expires_at IS NOT NULL AND finished_at IS NULL")
    _create_partial("grouped", ["group_key", "status", "seq"], where="group_key IS NOT NULL AND finished_at IS NULL")
    _create_partial("rated", ["rate_key", "status", "seq"], where="rate_key IS NOT NULL AND finished_at IS NULL")
    _create_partial("blocked", ["seq"], where="status = 'blocked'")


def _create_limits() -> None:
    op.create_table(
        "sqlitejob_unique",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("seq", _BIG, nullable=False),
        sa.Column("until", _BIG),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sqlitejob_rate",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("starts", _BIG, nullable=False),
        sa.Column("per", _BIG, nullable=False),
        sa.Column("next_at", _BIG),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    _create_partial("rate_next", ["next_at"], where="next_at IS NOT NULL", table="sqlitejob_rate")
    op.create_table(
        "sqlitejob_start",
        sa.Column("rate_key", sa.Text, primary_key=True),
        sa.Column("started_at", _BIG, primary_key=True, autoincrement=False),
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("claim_number", _BIG, primary_key=True, autoincrement=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _create_schedule() -> None:
    op.create_table(
        "sqlitejob_schedule",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("origin", sa.Text),
        sa.Column("cron", sa.Text),
        sa.Column("every", _BIG),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("misfire", sa.Text, nullable=False),
        sa.Column("max_late", _BIG),
        sa.Column("jitter", _BIG),
        sa.Column("function", sa.Text, nullable=False),
        sa.Column("codec", sa.Text, nullable=False),
        sa.Column("args", sa.LargeBinary, nullable=False),
        sa.Column("preview", sa.Text),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("created_at", _BIG, nullable=False),
        sa.Column("paused_at", _BIG),
        sa.Column("next_at", _BIG),
        sa.Column("last_at", _BIG),
        sa.Column("last_job_id", sa.Text),
        sqlite_strict=True,
    )
    op.create_index("sqlitejob_schedule_due", "sqlitejob_schedule", ["next_at"])


def _create_partial(name: str, columns: list, where: str, table: str = "sqlitejob_job") -> None:  # type: ignore[type-arg]
    op.create_index(f"sqlitejob_{name}", table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
