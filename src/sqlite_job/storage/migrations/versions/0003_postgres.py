"""How a worker is known to live; a hot table that PostgreSQL cleans often. Frozen: a later change is its own revision.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Each job leaves two dead versions of its row, and with many jobs a second PostgreSQL's defaults (a fifth of the table,
# with pauses) would let the table grow to many times the live rows before the first cleaning.
_HOT = (
    "fillfactor = 80",
    "autovacuum_vacuum_scale_factor = 0.01",
    "autovacuum_vacuum_threshold = 1000",
    "autovacuum_vacuum_insert_scale_factor = 0.2",
    "autovacuum_analyze_scale_factor = 0.05",
    "autovacuum_vacuum_cost_delay = 0",
)

# Blobs are written once and deleted once.
_COLD = ("autovacuum_vacuum_scale_factor = 0.05", "autovacuum_vacuum_threshold = 1000")


def upgrade() -> None:
    """Add the column, and tell PostgreSQL which tables change all the time."""
    op.add_column("sqlitejob_worker", sa.Column("liveness", sa.Text, nullable=False, server_default=sa.text("'lock'")))
    if op.get_bind().dialect.name != "postgresql":
        return
    _set("job", *_HOT)
    for table in ("payload", "result", "tag", "failure", "log"):
        _set(table, *_COLD)
    for table in ("worker", "suspect", "progress", "rate", "start", "unique", "schedule"):
        _set(table, *_HOT[1:])


def _set(table: str, *options: str) -> None:
    op.execute(f"ALTER TABLE sqlitejob_{table} SET ({', '.join(options)})")
