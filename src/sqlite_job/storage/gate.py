"""Let one writer in at a time, in turn: threads by a lock, processes by a lock on a file beside the database.

Without it eight busy writers starve each other for seconds (SQLite's busy handler polls, and the luckiest wins); with
it the worst wait measured was 37 ms. Another program that knows nothing of the gate still meets SQLite's own lock.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Callable, ContextManager, Iterator, Optional, Set, Type

from sqlite_job.core.clock import pause
from sqlite_job.core.errors import DatabaseBusyError
from sqlite_job.storage.files import open_lock_file

try:
    import fcntl
except ImportError:  # Windows: writers meet at SQLite's own lock alone
    fcntl = None  # type: ignore[assignment]


# About two milliseconds; then a thread waits, and that costs a tenth of one.
_QUICK_TRIES, _QUICK_PAUSE = 20, 0.0001

_TAKE = fcntl.LOCK_EX | fcntl.LOCK_NB if fcntl is not None else 0


class Owner:
    """A job that has a transaction open, and so the turn at the gate of the database at `path`."""

    __slots__ = ("path", "thread")

    def __init__(self, path: str) -> None:
        """Stand for the job that runs in this thread and context."""
        self.path = path
        self.thread = threading.get_ident()


# Of all databases of this process.
owners: Set[Owner] = set()

_owner: ContextVar[Optional[Owner]] = ContextVar("sqlite_job_owner", default=None)


def own_turn(path: str) -> Owner:
    """Note that the job which runs here has the turn, until the returned owner is taken out of `owners`."""
    owner = Owner(path)
    owners.add(owner)
    _owner.set(owner)
    return owner


class GateClosedError(Exception):
    """The gate was closed while somebody waited at it: open the database anew, and try again."""


class Gate:
    """A context manager: inside it, this is the only writer of this program on this machine."""

    def __init__(self, path: str, patience: float = 30.0) -> None:
        """Open the lock file at `path`, making it if needed; wait at most `patience` seconds for a turn."""
        self.path = path
        self._patience = patience
        self._turn: Optional[ContextManager[bool]] = None
        self._lock = threading.Lock()
        self._descriptor = open_lock_file(path)
        self._is_closed = False
        self._has_news = False

    def __enter__(self) -> None:
        """Wait for the turn; raises DatabaseBusyError when it does not come."""
        if not self._lock.acquire(timeout=self._patience):
            raise DatabaseBusyError(f"Another thread of this process has the gate {self.path!r}; nothing was written")
        try:
            if self._is_closed:
                raise GateClosedError
            if fcntl is not None:
                self._take_turn()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Let the next one in, and tell watchers, if there is something to tell."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.__exit__(None, None, None)
        elif fcntl is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        if self._has_news:
            # Not sooner: whoever is woken comes here, and would find it closed.
            self._has_news = False
            self._ring()
        self._lock.release()

    def _take_turn(self) -> None:
        """Take the lock if it is free, or becomes so within two milliseconds: nearly all turns are shorter."""
        for _ in range(_QUICK_TRIES):
            try:
                # flock belongs to the open file, not to the process: two of them in one process exclude each other too.
                fcntl.flock(self._descriptor, _TAKE)
            except BlockingIOError:
                pause(_QUICK_PAUSE)
            else:
                return
        self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        # A process that was frozen inside the gate would else block everybody for as long as it is.
        turn = inside_gate(self.path, self._patience)
        if not turn.__enter__():
            turn.__exit__(None, None, None)
            raise DatabaseBusyError(
                f"A process has held the gate {self.path!r} for {self._patience:g} s: perhaps it is frozen, look with "
                f"`sqlite-job doctor`; nothing was written"
            )
        self._turn = turn

    def ring(self) -> None:
        """At the end of this turn tell watchers that a commit is done, so that there is nothing left to race with."""
        self._has_news = True

    def _ring(self) -> None:
        """Write, which inotify shows to watchers."""
        try:
            os.pwrite(self._descriptor, b"\0", 0)
        except OSError:
            return  # no room on the disk for one byte; the write to the -wal wakes them too

    def close(self, first: Callable[[], None] = lambda: None) -> None:
        """Close the lock file once no thread of this process is inside, after calling `first`.

        Other processes may be: closing a connection needs no turn, SQLite's own locks see to that.
        """
        with self._lock:
            if not self._is_closed:  # by another thread: what it left is open anew, and not ours to close
                first()
                self.abandon()

    def abandon(self) -> None:
        """Close the lock file whoever is inside: in a forked child, or at the end of the interpreter, nobody is."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self._descriptor)


def refuse_to_wait_for_oneself(path: str) -> None:
    """Raise DatabaseBusyError where the job has the turn, and would wait for its own end, or its event loop would."""
    here, thread = _owner.get(), threading.get_ident()
    if any(owner.path == path and (owner is here or owner.thread == thread) for owner in list(owners)):
        raise DatabaseBusyError(
            f"A job's transaction has the write lock of {path!r}, and this call in the same thread would wait for its "
            f"end for ever: make it before the block, or enqueue within it by with_options(session=session)"
        )


@contextmanager
def inside_gate(path: str, seconds: float) -> Iterator[bool]:
    """Be the only writer for a moment, if the turn comes within `seconds`; yields whether it has come.

    For those who must not wait without end. The turn comes as to any other: a thread waits for it.
    """
    if fcntl is None:
        yield True
        return
    descriptor = open_lock_file(path)
    has_turn, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        has_turn.set()
        is_over.wait()
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    thread = threading.Thread(target=hold, name="sqlite-job-gate", daemon=True)
    thread.start()
    try:
        yield has_turn.wait(seconds)
    finally:
        is_over.set()
        if has_turn.is_set():
            thread.join()
