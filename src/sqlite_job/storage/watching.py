"""Wake up when somebody commits: by inotify on Linux, elsewhere by a poll that grows lazy.

Two signs reach the folder's inotify watch. The gate's bell is rung after our own commits, so it is exact. A write to
the -wal may come before its commit (the commits of other programs, of a user's own transaction), so it only starts a
series of looks at `PRAGMA data_version`: looking once loses 1-2 wake-ups in 300.
"""

from __future__ import annotations

import os
import select
import sqlite3
import struct
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import List, Optional

from sqlite_job.core.clock import elapsed
from sqlite_job.storage.interface import CommitWatcher

try:
    from inotify_simple import INotify, flags
except ImportError:  # other systems than Linux
    INotify = None

# Seconds between a sign of the -wal and each look: a commit at FULL takes 0.2 ms here, 20 ms on a slow disk, and more
# on one that is busy.
_LOOKS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

# How an event begins that says that there were too many, and others are lost.
_OVERFLOW = struct.pack("iI", -1, 0x4000)

# The bounds of the lazy poll: quick right after work, at most 25 ms late when idle.
_POLL_FIRST = 0.001
_POLL_LAST = 0.025


def watch_commits(path: str, gate_path: str, connection: sqlite3.Connection) -> CommitWatcher:
    """Return the best watcher this system has; it owns `connection` from now on."""
    if INotify is not None:
        try:
            return InotifyWatcher(path, gate_path, connection)
        except OSError:
            # fs.inotify.max_user_instances is 128 by default; a poll is slower, and works.
            pass
    return PollWatcher(connection)


class _DataVersion:
    """Tells whether another connection has committed since the last look."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._seen = self._read()

    def has_changed(self) -> bool:
        found = self._read()
        changed = found != self._seen
        self._seen = found
        return changed

    def _read(self) -> Optional[int]:
        try:
            return int(self.connection.execute("PRAGMA data_version").fetchall()[0][0])
        except sqlite3.Error:
            # A change, too: whoever is woken by it reads, and meets the error where it can be told.
            return None


class InotifyWatcher:
    """A watcher that costs nothing while nothing happens."""

    def __init__(self, path: str, gate_path: str, connection: sqlite3.Connection) -> None:
        """Watch the folder of `path`; raises OSError when the system has no watch left."""
        # As they stand in the events, where NULs follow a name. Of a file whose name ends in one of ours a sign is
        # taken for ours, too: a look for nothing.
        self._bell = os.fsencode(os.path.basename(gate_path)) + b"\0"
        self._journal = os.fsencode(os.path.basename(path)) + b"-wal\0"
        self._inotify = INotify()
        try:
            self._inotify.add_watch(os.path.dirname(path), flags.MODIFY)
            self._read_end, self._write_end = os.pipe()
        except OSError:
            self._inotify.close()
            raise
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._everything = _poll_for(self._inotify.fileno(), self._read_end)
        self._interrupts = _poll_for(self._read_end)
        self._data_version = _DataVersion(connection)
        self._has_woken = False
        # The moments of the looks to come. They outlast a wait: the change that ends it may be an earlier commit than
        # the one whose sign was seen.
        self._looks: List[float] = []
        self._is_closed = False

    def wait(self, timeout_seconds: float, *, ignore_commits: bool = False) -> bool:
        """Block until a commit (True), `interrupt` or the timeout (both False)."""
        end = elapsed() + timeout_seconds
        poll = self._interrupts if ignore_commits else self._everything
        while True:
            looks = [] if ignore_commits else self._looks
            ready = _ready(poll, min(end, looks[0]) if looks else end)
            if self._read_end in ready:
                os.read(self._read_end, 4096)
                return False
            if ready:
                has_rung = self._read_signs()
                looks = [] if ignore_commits else self._looks
                if has_rung:
                    # Whoever is woken reads at once: what is known of the version is brought up to date by `forget`.
                    self._has_woken = True
                    return True
            if looks and elapsed() >= looks[0]:
                looks.pop(0)
                if self._data_version.has_changed():
                    return True
            if elapsed() >= end:
                return False

    def forget(self) -> None:
        """Let what has been committed so far end no wait."""
        has_signs = self._inotify.fileno() in _ready(self._everything, 0.0)
        if has_signs:
            self._read_signs()
        if has_signs or self._has_woken:
            # The looks that signs have led to are for what comes after this.
            self._has_woken = False
            self._data_version.has_changed()

    def interrupt(self) -> None:
        """End the present wait, or the next one."""
        if self._is_closed:
            return
        with suppress(BlockingIOError):  # full of interrupts that were not yet seen
            os.write(self._write_end, b"\0")

    def close(self) -> None:
        """Give back descriptors and connection."""
        if self._is_closed:
            return
        self._is_closed = True
        self._inotify.close()
        os.close(self._read_end)
        os.close(self._write_end)
        self._data_version.connection.close()

    def _read_signs(self) -> bool:
        """Return whether the bell has rung; a sign of the journal sets the times of the looks to come."""
        events = os.read(self._inotify.fileno(), 65536)
        has_lost_some = _OVERFLOW in events
        if has_lost_some or self._journal in events:
            # Also where the bell has rung: somebody else may have begun to write before it did.
            now = elapsed()
            self._looks = [now + delay for delay in _LOOKS]
        return has_lost_some or self._bell in events


class PollWatcher:
    """A watcher for systems without inotify: it looks at the version of the data, ever more seldom."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Start with a first look."""
        self._data_version = _DataVersion(connection)
        self._interrupts: SimpleQueue[None] = SimpleQueue()

    def wait(self, timeout_seconds: float, *, ignore_commits: bool = False) -> bool:
        """Block until a commit (True), `interrupt` or the timeout (both False)."""
        end = elapsed() + timeout_seconds
        if ignore_commits:
            self._is_interrupted(timeout_seconds)
            return False
        delay = _POLL_FIRST
        while not self._data_version.has_changed():
            remaining = min(delay, end - elapsed())
            if remaining <= 0 or self._is_interrupted(remaining):
                return False
            delay = min(delay * 1.2, _POLL_LAST)
        return True

    def forget(self) -> None:
        """Let what has been committed so far end no wait."""
        self._data_version.has_changed()

    def interrupt(self) -> None:
        """End the present wait, or the next one."""
        self._interrupts.put(None)  # the one queue whose put may be called from a signal handler

    def close(self) -> None:
        """Give back the connection."""
        self._data_version.connection.close()

    def _is_interrupted(self, seconds: float) -> bool:
        try:
            self._interrupts.get(timeout=max(seconds, 0))
        except Empty:
            return False
        return True


def _poll_for(*descriptors: int) -> select.poll:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll


def _ready(poll: select.poll, moment: float) -> List[int]:
    # poll counts in whole milliseconds and rounds up: a timer is never early, and up to 1 ms late.
    return [descriptor for descriptor, _ in poll.poll(max(moment - elapsed(), 0) * 1000)]
