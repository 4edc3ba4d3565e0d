"""An index of blocked jobs in an order that no other statement asks for. Frozen: a later change is its own revision.

By seq, PostgreSQL took it for the way to the first job of a group, and met all that was blocked in others.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make it anew, by age."""
    op.drop_index("sqlitejob_blocked", "sqlitejob_job")
    blocked = sa.text("status = 'blocked'")
    op.create_index(
        "sqlitejob_blocked", "sqlitejob_job", ["created_at"], sqlite_where=blocked, postgresql_where=blocked
    )
