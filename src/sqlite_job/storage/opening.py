"""Find the storage for a path or URL: one for each database in a process, so that its writers share a lane."""

from __future__ import annotations

import importlib.util
import os
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, List, Optional, Tuple, Union

from sqlite_job.core.clock import Clock, ShiftedClock, SystemClock
from sqlite_job.core.errors import DatabaseUnavailableError
from sqlite_job.storage.shared_transactions import AnySession

if TYPE_CHECKING:
    from sqlite_job.core.findings import Finding
    from sqlite_job.storage.interface import Storage
    from sqlite_job.storage.postgres.storage import PostgresStorage
    from sqlite_job.storage.sqlite import SqliteStorage

    AnyStorage = Union[SqliteStorage, PostgresStorage]

NETWORK_VARIABLE = "SQLITE_JOB_ALLOW_NETWORK_FS"

Database = Union[str, "os.PathLike[str]"]

# The seed's `SQLiteJob("email").enqueue(...)` makes a new door for each job: the last few databases stay open.
_KEPT_OPEN = 8

_lock = threading.Lock()
_known: weakref.WeakValueDictionary[Tuple[str, str, bool], AnyStorage] = weakref.WeakValueDictionary()
_recent: OrderedDict[Tuple[str, str, bool], AnyStorage] = OrderedDict()


def locate(database: Database, schema: Optional[str] = None) -> str:
    """Return the absolute path that a path or `sqlite:///` URL means, now: a later chdir changes nothing.

    Of a PostgreSQL database return the URL, with `?schema=` where one is named; files have none. Raises
    DatabaseUnavailableError for what no worker could share.
    """
    text = os.fspath(database)
    if is_server(text):
        return _locate_on_server(text, schema)
    if "://" in text:
        text = _path_of_url(text)
    if text in ("", ":memory:"):
        message = "A database in memory belongs to one connection, no worker could see it; give a file, as 'jobs.db'"
        raise DatabaseUnavailableError(message)
    if "\0" in text:
        message = f"The path of a database has no null characters: {text!r}"
        raise DatabaseUnavailableError(message)
    return os.path.realpath(text)


def is_server(location: str) -> bool:
    """Whether a location is on a server, and not a file."""
    scheme, separator, _ = location.partition("://")
    return bool(separator) and scheme.split("+")[0] != "sqlite"


def shown(location: str) -> str:
    """Return a location fit to be shown: a URL without its password."""
    if not is_server(location):
        return location
    from sqlite_job.storage.postgres.address import parse

    return parse(location).shown


def open_storage(location: str, durability: str, *, allow_network_fs: bool = False) -> Storage:
    """Return the storage of what `locate` has returned; it is opened, or made, at its first use.

    SQLITE_JOB_ALLOW_NETWORK_FS=1 in the environment allows it for all.
    """
    allow_network_fs = allow_network_fs or environment_allows_network_fs()
    key = (location, durability, allow_network_fs)
    with _lock:
        storage = _known.get(key)
        if storage is None:
            storage = _known[key] = _make_storage(*key)
        _recent[key] = storage
        _recent.move_to_end(key)
        if len(_recent) > _KEPT_OPEN:
            _recent.popitem(last=False)
    return storage


def _make_storage(location: str, durability: str, allow_network_fs: bool) -> AnyStorage:  # noqa: FBT001 - of a key
    # Imported here: SQLAlchemy takes longer to import than all the rest.
    if is_server(location):
        from sqlite_job.storage.postgres.address import parse
        from sqlite_job.storage.postgres.storage import PostgresStorage

        return PostgresStorage(parse(location), durability)
    from sqlite_job.storage.sqlite import SqliteStorage

    return SqliteStorage(location, durability, allow_network_fs=allow_network_fs)


def clock_of(location: str, durability: str = "full") -> Clock:
    """Return the clock that the times of a database go by: a server's is the same to all machines."""
    if not is_server(location):
        return SystemClock()
    return ShiftedClock(lambda: open_storage(location, durability).clock_offset)


def environment_allows_network_fs() -> bool:
    """Whether the environment says that all databases may lie on a network file system."""
    return os.environ.get(NETWORK_VARIABLE) == "1"


def holds_queue(location: str) -> bool:
    """Whether a database has our tables; opening it otherwise would make them."""
    if is_server(location):
        from sqlite_job.storage.postgres import examination as of_server

        return of_server.holds_queue(location)
    from sqlite_job.storage import schema

    return schema.holds_queue(location)


def examine(location: str, *, now: int, is_thorough: bool) -> List[Finding]:
    """Examine a database, in whatever state it is; nothing is changed."""
    if is_server(location):
        from sqlite_job.storage.postgres import examination as of_server

        return of_server.examine(location, now=now)
    from sqlite_job.storage import examination

    allow = environment_allows_network_fs()
    return examination.examine(location, now=now, is_thorough=is_thorough, allow_network_fs=allow)


def check_session(session: AnySession) -> AnySession:
    """Return what has a transaction for jobs to be in; raises InvalidOptionError for anything else."""
    from sqlite_job.storage import joining

    joining.check_session(session)
    return session


def _locate_on_server(url: str, schema: Optional[str]) -> str:
    from sqlite_job.storage.postgres.address import parse

    found = parse(url, schema).text
    if importlib.util.find_spec("psycopg") is None:
        message = "PostgreSQL needs the driver psycopg, which is not installed: pip install 'sqlite-job[postgres]'"
        raise DatabaseUnavailableError(message)
    return found


def _path_of_url(url: str) -> str:
    _, _, rest = url.partition("://")
    # SQLAlchemy's form: three slashes and a relative path, or four and an absolute one; nothing behind them is memory.
    return rest[1:] if rest.startswith("/") else rest
