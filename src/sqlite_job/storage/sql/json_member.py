"""Ask whether a JSON object in a column has a member with a certain value."""

from __future__ import annotations

import json
from typing import Any, Tuple

from sqlalchemy import Boolean, ColumnElement, and_, bindparam, case, column, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from sqlite_job.core.options import MetaValue


class has_member(ColumnElement[bool]):  # noqa: N801 - reads as a function in the statements
    """The object has this value under this key; a number is found as an integer and as a real."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, document: Any, key: str, value: MetaValue) -> None:
        """Take the column of the object."""
        self.document = document
        self.key = key
        self.value = value

    def self_group(self, against: Any = None) -> has_member:
        """Return itself: an EXISTS, or a comparison, stands in an AND as it is."""
        del against
        return self


@compiles(has_member, "sqlite")
def _has_member_sqlite(element: has_member, compiler: SQLCompiler, **options: Any) -> str:
    # Not json_extract: to it True is 1, a missing key is null, and a path cannot hold every key.
    members = func.json_each(element.document).table_valued(column("key"), column("atom"), column("type"))
    conditions = [
        members.c.key == bindparam("key", element.key, unique=True),
        members.c.type.in_([literal_column(f"'{kind}'") for kind in _types_of(element.value)]),
    ]
    if element.value is not None and not isinstance(element.value, bool):
        conditions.append(members.c.atom == bindparam("value", element.value, unique=True))
    found = exists(select(literal_column("1")).select_from(members).where(and_(*conditions)))
    return str(compiler.process(found, **options))


@compiles(has_member, "postgresql")
def _has_member_postgresql(element: has_member, compiler: SQLCompiler, **options: Any) -> str:
    member = func.jsonb_extract_path(element.document.cast(JSONB), bindparam("key", element.key, unique=True))
    wanted = bindparam("value", json.dumps(element.value), unique=True).cast(JSONB)
    # The one character that jsonb cannot hold: such an object is not looked into, rather than all of the query fail.
    found = case((func.strpos(element.document, literal_column(r"'\u0000'")) == literal_column("0"), member == wanted))
    return str(compiler.process(found, **options))


def _types_of(value: MetaValue) -> Tuple[str, ...]:
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    return ("text",) if isinstance(value, str) else ("integer", "real")
