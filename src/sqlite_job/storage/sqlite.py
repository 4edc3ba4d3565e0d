"""Keep jobs in a SQLite file: connections, the write transaction behind the gate, checkpoints."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import AbstractSet, Callable, Collection, Deque, List, Mapping, Optional, Sequence, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlite_job.core.clock import elapsed, pause
from sqlite_job.core.errors import DatabaseBusyError, DatabaseError, DatabaseReplacedError
from sqlite_job.core.jobs import NewJob
from sqlite_job.storage import files
from sqlite_job.storage.commit_hub import CommitHub
from sqlite_job.storage.disk_wait import DiskWait
from sqlite_job.storage.filesystem import check_filesystem
from sqlite_job.storage.free_space import FreeSpace
from sqlite_job.storage.gate import Gate, GateClosedError, owners, refuse_to_wait_for_oneself
from sqlite_job.storage.group_commit import GroupCommit
from sqlite_job.storage.interface import CommitWatcher
from sqlite_job.storage.liveness import Liveness
from sqlite_job.storage.schema import check_candidate, prepare_file
from sqlite_job.storage.space import SpaceVerbs
from sqlite_job.storage.sqlite_connection import (
    check_version,
    connect,
    discard,
    is_busy,
    is_full,
    keep_for_ever,
    translate,
)
from sqlite_job.storage.sqlite_sharing import SqliteSharing
from sqlite_job.storage.transaction import Transaction
from sqlite_job.storage.trust import warn_of_open_folder
from sqlite_job.storage.watching import watch_commits

T = TypeVar("T")
W = TypeVar("W")

_DIALECT = SQLiteDialect_pysqlite()

# How long an operation waits in all for a program that holds the lock.
_DEADLINE_SECONDS = 30.0

_MOST_READERS = 8

# The journal is copied into the database when it has grown by this much: often enough to stay small, seldom enough
# that pages changed again and again are copied once.
_CHECKPOINT_BYTES = 32 * 1024 * 1024

# Looking at the journal's size takes 1.5 microseconds: not at each commit.
_COMMITS_BETWEEN_LOOKS = 16


class SqliteStorage(SpaceVerbs, SqliteSharing):
    """One database file, for any number of threads; survives a fork by opening everything anew in the child."""

    def __init__(self, path: str, durability: str, *, allow_network_fs: bool = False) -> None:
        """Take the absolute path and "full" or "normal"; nothing is opened before the first use."""
        self._path = path
        self._durability = durability
        self._allow_network_fs = allow_network_fs
        self._free_space = FreeSpace(path)
        self._gate_path = f"{path}-gate"
        self._liveness = Liveness(f"{path}-workers")
        self._gate: Optional[Gate] = None
        self._identity: files.Identity = (0, 0)
        self._opening = threading.Lock()
        self._writer: Optional[sqlite3.Connection] = None
        self._disk_wait = DiskWait(path, durability)
        # Whether what was done in the gate's turn is anybody's business: a claim may have found nothing.
        self._has_changed = True
        self._readers: Deque[sqlite3.Connection] = deque()
        self._group_commit = GroupCommit()
        self._hub = CommitHub()
        # The first commit looks: of programs that enqueue one job and end, none would ever come to a later one.
        self._commits_until_look = 1
        self._checkpoint_at = _CHECKPOINT_BYTES
        _all_storages.add(self)

    @property
    def location(self) -> str:
        """The path."""
        return self._path

    @property
    def clock_offset(self) -> int:
        """Nothing: whoever shares a file shares a machine."""
        return 0

    def enqueue(self, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store jobs, sharing a commit with other threads; refused while the disk is nearly full."""
        self._free_space.require()
        if owners:
            refuse_to_wait_for_oneself(self._path)
        return self._group_commit.submit(jobs, self._write_jobs)

    def sync(self) -> None:
        """Wait for the disk, which claims have not done."""
        self._disk_wait.catch_up()

    def watch(self) -> CommitWatcher:
        """Return a new watcher of this file."""
        self._ensure_open()
        return watch_commits(self._path, self._gate_path, connect(self._path, self._durability))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after commits, from a thread of its own, until the returned function is called."""
        return self._hub.subscribe(callback, self.watch)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        if owners:
            refuse_to_wait_for_oneself(self._path)
        gate = self._gate
        self._hub.stop()
        if gate is not None:
            gate.close(self._forget_gate_and_connections)

    def __del__(self) -> None:
        """Close what nobody holds any more.

        Nobody is inside, so no lock is waited for: at the end of the interpreter a thread that has one never gives it
        back, and one that should wait for the gate never starts.
        """
        try:
            self._hub.abandon()
            self._close_connections()
            if self._gate is not None:
                self._gate.abandon()
        except Exception:  # noqa: BLE001, S110 - half of what it needs may be gone
            pass

    def _forget_gate_and_connections(self) -> None:
        """Leave nothing to whoever opens a gate anew; called while nobody is inside the old one."""
        taken = self._taken_connections()
        self._gate = None
        for connection in taken:
            connection.close()

    def _close_connections(self) -> None:
        for connection in self._taken_connections():
            connection.close()

    def _ensure_open(self) -> Gate:
        gate = self._gate
        if gate is not None:
            return gate
        with self._opening:
            if self._gate is None:
                check_version()
                check_filesystem(self._path, allow_network=self._allow_network_fs)
                is_ready = check_candidate(self._path)
                gate = Gate(self._gate_path, _DEADLINE_SECONDS)
                try:
                    self._identity = (
                        files.check_file(self._path) if is_ready else prepare_file(self._path, gate, self._durability)
                    )
                except BaseException:
                    gate.close()
                    raise
                warn_of_open_folder(self._path)
                self._gate = gate
            return self._gate

    def _write(self, work: Callable[[Transaction], T]) -> T:
        return self._in_turn(self._attempt, work)

    def _write_claim(self, work: Callable[[Transaction], T]) -> T:
        return self._in_turn(self._attempt_claim, work)

    def _in_turn(self, attempt: Callable[[W], T], work: W) -> T:
        if owners:
            refuse_to_wait_for_oneself(self._path)
        deadline = elapsed() + _DEADLINE_SECONDS
        while True:
            try:
                gate = self._gate or self._ensure_open()
                with gate:
                    self._has_changed = True
                    found = attempt(work)
                    # From here on nothing may raise: the commit is done, and would be taken for failed, or be repeated.
                    if self._has_changed:
                        gate.ring()
                    # In any case: giving space back changes no row, and writes to the journal.
                    self._checkpoint_if_due()
            except GateClosedError:
                continue
            except DatabaseReplacedError:
                self.close()  # the next use meets the new file, or makes one
                raise
            except (sqlite3.Error, DatabaseBusyError) as error:
                self._wait_if_busy(error, deadline)
            else:
                return found

    def _wait_if_busy(self, error: Exception, deadline: float) -> None:
        """Pause when somebody else holds a lock and there is time left; else raise a DatabaseError."""
        if isinstance(error, sqlite3.Error):
            if not is_busy(error) or elapsed() > deadline:
                raise translate(error, self._path) from error
        elif elapsed() > deadline:
            raise error
        pause(random.uniform(0.001, 0.02))  # noqa: S311 - jitter, not a secret

    def _attempt(self, work: Callable[[Transaction], T], *, waits: bool = True) -> T:
        files.check_same(self._path, self._identity)
        connection = self._writer or self._open_writer()
        cursor = connection.cursor()
        changes = connection.total_changes
        try:
            self._disk_wait.prepare(connection, waits=waits)
            # BEGIN IMMEDIATE: a read lock upgraded at the first write fails with SQLITE_BUSY at once, without waiting.
            cursor.execute("BEGIN IMMEDIATE")
            found = work(Transaction(cursor, _DIALECT))
            began = elapsed()
            cursor.execute("COMMIT")
            self.commit_seconds = elapsed() - began
            self._has_changed = connection.total_changes != changes
            if self._has_changed:
                self._disk_wait.note_commit()
        except BaseException as error:
            self._abandon_transaction(connection, error)
            raise
        return found

    def _attempt_claim(self, work: Callable[[Transaction], T]) -> T:
        return self._attempt(work, waits=False)

    def _abandon_transaction(self, connection: sqlite3.Connection, error: BaseException) -> None:
        try:
            # After a full disk or an I/O error SQLite has rolled back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass
        if isinstance(error, sqlite3.Error) and not is_busy(error):
            self._drop_writer(error)
            if is_full(error):
                self._shrink_journal()

    def _drop_writer(self, error: BaseException) -> None:
        # What an error left in the connection is not to be trusted.
        connection, self._writer = self._writer, None
        if connection is not None:
            discard(connection, error)

    def _shrink_journal(self) -> None:
        """Try to make room on a full disk: of pages that were changed again and again only the last counts."""
        with suppress(sqlite3.Error, DatabaseError):
            self._open_writer().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _open_writer(self) -> sqlite3.Connection:
        self._writer = connect(self._path, self._durability)
        self._disk_wait.start_anew()
        return self._writer

    def _read(self, work: Callable[[Transaction], T]) -> T:
        deadline = elapsed() + _DEADLINE_SECONDS
        while True:
            try:
                self._ensure_open()
                files.check_same(self._path, self._identity)
                return self._read_once(work)
            except DatabaseReplacedError:
                self.close()
                raise
            except (sqlite3.Error, DatabaseBusyError) as error:
                # In WAL mode a reader waits only where the journal is being recovered or removed.
                self._wait_if_busy(error, deadline)

    def _read_once(self, work: Callable[[Transaction], T]) -> T:
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = connect(self._path, self._durability)
        try:
            found = work(Transaction(connection.cursor(), _DIALECT))
        except BaseException as error:
            discard(connection, error)
            raise
        if len(self._readers) < _MOST_READERS:
            self._readers.append(connection)
        else:
            connection.close()
        return found

    def _checkpoint_if_due(self) -> None:
        """Copy the journal into the database when it has grown; called behind the gate.

        Automatic checkpoints are off (sqlite_connection.py): these take the write lock, so that no commit races them.
        RESTART leaves the file its length, and commits overwrite it, which costs half of what extending it does; that
        it grows again tells that it is full once more.
        """
        self._commits_until_look -= 1
        if self._commits_until_look > 0:
            return
        self._commits_until_look = _COMMITS_BETWEEN_LOOKS
        size = files.size_of(f"{self._path}-wal")
        if size <= self._checkpoint_at or self._writer is None:
            return
        # It grew a little each time, or much while a reader stood in the way: give the disk its space back.
        is_long = size >= 2 * _CHECKPOINT_BYTES
        pragma = "PRAGMA wal_checkpoint(TRUNCATE)" if is_long else "PRAGMA wal_checkpoint(RESTART)"
        try:
            is_blocked = self._writer.execute(pragma).fetchall()[0][0]
        except sqlite3.Error as error:
            # No room, an I/O error: all is still in the journal.
            is_blocked = True
            self._drop_writer(error)
        if is_blocked:
            # A long reader stands in the way: each try stalls all writers for the busy timeout, so not at each look.
            self._checkpoint_at = size + _CHECKPOINT_BYTES
        else:
            self._checkpoint_at = _CHECKPOINT_BYTES if is_long else max(size, _CHECKPOINT_BYTES)

    def _require_space(self) -> None:
        self._free_space.require()

    def _write_jobs(self, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        return self._in_turn(self._attempt, lambda transaction: self._enqueue(transaction, jobs))

    def _show_alive(self, worker_id: int) -> bool:
        return self._liveness.hold(worker_id)

    def _show_ended(self, worker_id: int) -> None:
        self._liveness.release(worker_id)

    def _ended(self, worker_ids: Collection[int]) -> AbstractSet[int]:
        return {worker_id for worker_id in worker_ids if self._liveness.is_free(worker_id)}

    def _taken_connections(self) -> List[sqlite3.Connection]:
        taken = [self._writer] if self._writer is not None else []
        self._writer = None
        while self._readers:
            taken.append(self._readers.pop())
        return taken

    def _after_fork_in_child(self) -> None:
        # Closing a connection carried over a fork may remove the journal under the parent, so they are kept for ever.
        for connection in self._taken_connections():
            keep_for_ever(connection)
        if self._gate is not None:
            self._gate.abandon()
        _all_storages.discard(self)
        # Anew, since locks that other threads held were copied.
        self.__init__(  # type: ignore[misc]
            self._path, self._durability, allow_network_fs=self._allow_network_fs
        )


_all_storages: weakref.WeakSet[SqliteStorage] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for storage in list(_all_storages):
        storage._after_fork_in_child()  # noqa: SLF001 - same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
