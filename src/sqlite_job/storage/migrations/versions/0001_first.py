"""The first schema. Frozen: a later change is a revision of its own.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables and indexes."""
    _create_job()
    op.create_table(
        "sqlitejob_payload",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("codec", sa.Text, nullable=False),
        sa.Column("args", sa.LargeBinary, nullable=False),
        sa.Column("preview", sa.Text),
        sa.Column("tags", sa.Text),
        sa.Column("meta", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "sqlitejob_result",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("codec", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("preview", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "sqlitejob_failure",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("claim_number", _BIG, primary_key=True, autoincrement=False),
        sa.Column("try", _BIG, nullable=False),
        sa.Column("error_type", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("traceback", sa.Text, nullable=False),
        sa.Column("started_at", _BIG, nullable=False),
        sa.Column("finished_at", _BIG, nullable=False),
        sa.Column("worker_id", _BIG),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sqlitejob_tag",
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("sqlitejob_tag_seq", "sqlitejob_tag", ["seq"])
    op.create_table(
        "sqlitejob_suspect",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sqlite_strict=True,
    )
    op.create_table(
        "sqlitejob_worker",
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", _BIG, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("started_at", _BIG, nullable=False),
        sa.Column("heartbeat_at", _BIG, nullable=False),
        sa.Column("lease_until", _BIG, nullable=False),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )


def _create_job() -> None:
    op.create_table(
        "sqlitejob_job",
        sa.Column("seq", _BIG, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("function", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("priority", _BIG, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", _BIG, nullable=False),
        sa.Column("run_at", _BIG),
        sa.Column("started_at", _BIG),
        sa.Column("finished_at", _BIG),
        sa.Column("expires_at", _BIG),
        sa.Column("tries", _BIG, nullable=False, server_default=sa.text("0")),
        sa.Column("max_tries", _BIG),
        sa.Column("deaths", _BIG, nullable=False, server_default=sa.text("0")),
        sa.Column("claim_number", _BIG, nullable=False, server_default=sa.text("0")),
        sa.Column("worker_id", _BIG),
        sa.Column("timeout", _BIG),
        sa.Column("cancel_requested_at", _BIG),
        sa.Column("cancel_reason", sa.Text),
        sa.Column("unique_key", sa.Text),
        sa.Column("group_key", sa.Text),
        sa.CheckConstraint(
            "status = 'pending' OR status = 'scheduled' OR status = 'blocked' OR status = 'running'"
            " OR status = 'completed' OR status = 'failed' OR status = 'cancelled'",
            name="sqlitejob_job_status",
        ),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status = 'completed' OR status = 'failed' OR status = 'cancelled')",
            name="sqlitejob_job_finished",
        ),
        sa.CheckConstraint("status <> 'scheduled' OR run_at IS NOT NULL", name="sqlitejob_job_scheduled"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    _create_partial("claimable", ["queue", sa.text("priority DESC"), "seq"], where="status = 'pending'")
    _create_partial("due", ["run_at"], where="status = 'scheduled'")
    _create_partial("held", ["worker_id"], where="status = 'running'")
    _create_partial("finished", ["finished_at"], where="finished_at IS NOT NULL")


def _create_partial(name: str, columns: list, where: str) -> None:  # type: ignore[type-arg]
    op.create_index(
        f"sqlitejob_{name}", "sqlitejob_job", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
