"""Read the URL of a PostgreSQL database: where it is, and in which schema of it the tables are."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Optional

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sqlite_job.core.errors import DatabaseUnavailableError

# What SQLAlchemy calls the driver: the plain name means psycopg 2 to some of its versions, and psycopg 3 to others.
_DRIVER = "postgresql+psycopg"

_OURS = ("postgresql", "postgres", _DRIVER, "postgresql+psycopg_async")

# PostgreSQL cuts longer names off.
_LONGEST_NAME = 63

# Between a name and the server drivers look for parameters, each for its own kind; and no quotes help against that.
_UNWANTED = frozenset("%:\\\0")


class Address(NamedTuple):
    """A database, and the schema that was named; without one, the tables are where the connection looks first."""

    url: URL
    schema: Optional[str]

    @property
    def shown(self) -> str:
        """The URL without its password, fit to be shown."""
        return self._with_schema().render_as_string(hide_password=True)

    @property
    def text(self) -> str:
        """The whole of it, as `parse` takes it."""
        return self._with_schema().render_as_string(hide_password=False)

    def _with_schema(self) -> URL:
        return self.url if self.schema is None else self.url.update_query_dict({"schema": self.schema})


def parse(text: str, schema: Optional[str] = None) -> Address:
    """Return the address in a URL; `schema` counts for one that is named in it by `?schema=`.

    Raises DatabaseUnavailableError for what is no URL of PostgreSQL, names another driver, or no database.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnavailableError(f"{_hidden(text)!r} is not the URL of a database: {error}") from error
    if url.drivername not in _OURS:
        raise DatabaseUnavailableError(
            f"{url.drivername!r} is not a database or driver that sqlite-job knows: give the path of a file, a "
            f"sqlite:///path URL, or {_DRIVER}://user@host/database (sessions of your own may use any driver)"
        )
    if not url.database:
        shown = url.render_as_string(hide_password=True)
        raise DatabaseUnavailableError(f"{shown!r} names no database; write {_DRIVER}://user@host/database")
    named = url.query.get("schema")
    chosen = schema or (named if isinstance(named, str) else None)
    return Address(url.set(drivername=_DRIVER).difference_update_query(["schema"]), _checked(chosen))


def lock_number(schema: Optional[str], key: str, *, size: int = 8) -> int:
    """Return the number of an advisory lock: of so many bytes, the same in every process."""
    digest = hashlib.blake2b(f"sqlite-job\0{schema or ''}\0{key}".encode(), digest_size=size).digest()
    return int.from_bytes(digest, "big", signed=True)


def channel(schema: Optional[str], what: str) -> str:
    """Return the name of a channel for NOTIFY: every schema has its own."""
    return f"sqlitejob_{what}" if schema is None else f"sqlitejob_{what}_{lock_number(schema, what) & (2**64 - 1):016x}"


def _checked(schema: Optional[str]) -> Optional[str]:
    if schema is None:
        return None
    if not schema or _UNWANTED.intersection(schema) or len(schema.encode()) > _LONGEST_NAME or schema.startswith("pg_"):
        raise DatabaseUnavailableError(
            f"A schema is named by 1 to {_LONGEST_NAME} bytes, without % : and \\, and not as PostgreSQL's own are "
            f"(pg_...); not by {schema!r}"
        )
    return schema


def _hidden(text: str) -> str:
    return re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", text)
