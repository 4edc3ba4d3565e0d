"""Find the storage for a path or URL: one for each database in a process, so that its writers share a lane."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, List, Tuple, Union

from sqlite_job.core.errors import DatabaseUnavailableError
from sqlite_job.storage.shared_transactions import AnySession

if TYPE_CHECKING:
    from sqlite_job.core.findings import Finding
    from sqlite_job.storage.interface import Storage
    from sqlite_job.storage.sqlite import SqliteStorage

NETWORK_VARIABLE = "SQLITE_JOB_ALLOW_NETWORK_FS"

Database = Union[str, "os.PathLike[str]"]

# The seed's `SQLiteJob("email").enqueue(...)` makes a new door for each job: the last few databases stay open.
_KEPT_OPEN = 8

_lock = threading.Lock()
_known: weakref.WeakValueDictionary[Tuple[str, str, bool], SqliteStorage] = weakref.WeakValueDictionary()
_recent: OrderedDict[Tuple[str, str, bool], SqliteStorage] = OrderedDict()


def locate(database: Database) -> str:
    """Return the absolute path that a path or `sqlite:///` URL means, now: a later chdir changes nothing.

    Raises DatabaseUnavailableError for what no worker could share.
    """
    text = os.fspath(database)
    if "://" in text:
        text = _path_of_url(text)
    if text in ("", ":memory:"):
        message = "A database in memory belongs to one connection, no worker could see it; give a file, as 'jobs.db'"
        raise DatabaseUnavailableError(message)
    if "\0" in text:
        message = f"The path of a database has no null characters: {text!r}"
        raise DatabaseUnavailableError(message)
    return os.path.realpath(text)


def open_storage(path: str, durability: str, *, allow_network_fs: bool = False) -> Storage:
    """Return the storage of a path from `locate`; the file is opened, or made, at its first use.

    SQLITE_JOB_ALLOW_NETWORK_FS=1 in the environment allows it for all.
    """
    # Imported here: SQLAlchemy takes longer to import than all the rest.
    from sqlite_job.storage.sqlite import SqliteStorage

    allow_network_fs = allow_network_fs or environment_allows_network_fs()
    key = (path, durability, allow_network_fs)
    with _lock:
        storage = _known.get(key)
        if storage is None:
            storage = _known[key] = SqliteStorage(path, durability, allow_network_fs=allow_network_fs)
        _recent[key] = storage
        _recent.move_to_end(key)
        if len(_recent) > _KEPT_OPEN:
            _recent.popitem(last=False)
    return storage


def environment_allows_network_fs() -> bool:
    """Whether the environment says that all databases may lie on a network file system."""
    return os.environ.get(NETWORK_VARIABLE) == "1"


def holds_queue(path: str) -> bool:
    """Whether the file at `path` has our tables; opening it otherwise would make them."""
    from sqlite_job.storage import schema

    return schema.holds_queue(path)


def examine(path: str, *, now: int, is_thorough: bool) -> List[Finding]:
    """Examine the database at `path`, in whatever state it is; nothing is changed."""
    from sqlite_job.storage import examination

    allow = environment_allows_network_fs()
    return examination.examine(path, now=now, is_thorough=is_thorough, allow_network_fs=allow)


def check_session(session: AnySession) -> AnySession:
    """Return what has a transaction for jobs to be in; raises InvalidOptionError for anything else."""
    from sqlite_job.storage import joining

    joining.check_session(session)
    return session


def _path_of_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme.split("+")[0] != "sqlite":
        message = (
            f"{scheme!r} databases are not supported by this version; give the path of a file, or a sqlite:///path URL"
        )
        raise DatabaseUnavailableError(message)
    # SQLAlchemy's form: three slashes and a relative path, or four and an absolute one; nothing behind them is memory.
    return rest[1:] if rest.startswith("/") else rest
