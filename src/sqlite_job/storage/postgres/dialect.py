"""Compile statements for psycopg: parameters by position, tables named with their schema."""

from __future__ import annotations

from typing import Dict, Optional

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg


class JobDialect(PGDialect_psycopg):
    """The dialect of one schema; None: the tables are named without one."""

    supports_statement_cache = True

    def __init__(self, schema: Optional[str]) -> None:
        """Compile for tables in this schema."""
        super().__init__(paramstyle="format")  # type: ignore[no-untyped-call]
        self.schema_of_jobs = schema

    def qualified(self, name: str) -> str:
        """Return a table's or sequence's name as SQL wants it."""
        quote = self.identifier_preparer.quote
        return name if self.schema_of_jobs is None else f"{quote(self.schema_of_jobs)}.{name}"


_dialects: Dict[Optional[str], JobDialect] = {}


def dialect_of(schema: Optional[str]) -> JobDialect:
    """Return the one dialect of a schema: statements remember their texts by it."""
    return _dialects.setdefault(schema, JobDialect(schema))
