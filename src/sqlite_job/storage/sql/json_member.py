"""Ask whether a JSON object in a column has a member with a certain value."""

from __future__ import annotations

from typing import Any, Tuple

from sqlalchemy import ColumnElement, and_, bindparam, column, exists, func, literal_column, select

from sqlite_job.core.options import MetaValue


def has_member(document: Any, key: str, value: MetaValue) -> ColumnElement[bool]:
    """Return whether the object has this value under this key; a number is found as an integer and as a real."""
    # Not json_extract: to it True is 1, a missing key is null, and a path cannot hold every key.
    members = func.json_each(document).table_valued(column("key"), column("atom"), column("type"))
    conditions = [
        members.c.key == bindparam("key", key, unique=True),
        members.c.type.in_([literal_column(f"'{kind}'") for kind in _types_of(value)]),
    ]
    if value is not None and not isinstance(value, bool):
        conditions.append(members.c.atom == bindparam("value", value, unique=True))
    return exists(select(literal_column("1")).select_from(members).where(and_(*conditions)))


def _types_of(value: MetaValue) -> Tuple[str, ...]:
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    return ("text",) if isinstance(value, str) else ("integer", "real")
