"""Examine a database for `sqlite-job doctor`. It only looks: nothing is made, mended, migrated or deleted."""

from __future__ import annotations

import os
import sqlite3
from typing import Any, Callable, Dict, Iterator, List, Tuple

from sqlite_job.core.clock import elapsed, pause
from sqlite_job.core.errors import DatabaseError, DatabaseTooNewError, NotOurDatabaseError
from sqlite_job.core.findings import Finding, Level, ok, warning, wrong
from sqlite_job.core.states import WAITING, JobStatus
from sqlite_job.storage import files, lock_table, surroundings
from sqlite_job.storage.gate import inside_gate
from sqlite_job.storage.interface import WorkerRow
from sqlite_job.storage.liveness import is_gone
from sqlite_job.storage.plain_reading import read_rows, read_workers
from sqlite_job.storage.revisions import HEAD
from sqlite_job.storage.schema import check_owner, schema_version
from sqlite_job.storage.sql import failure, log, lookup, payload, progress, result, tag
from sqlite_job.storage.sqlite_connection import connect_plainly, is_busy, is_damage, keep_for_ever, translate

# Longer than any transaction of ours: who holds a lock that long is stuck, or does not know that others wait.
_PATIENCE_SECONDS = 2.0

_INCREMENTAL = 2

_MOST_SHOWN = 5

_RESTORE = "stop all workers, keep the file and what lies beside it, and restore a backup: sqlite-job restore"

_Check = Callable[[], Iterator[Finding]]


def examine(path: str, *, now: int, is_thorough: bool, allow_network_fs: bool) -> List[Finding]:
    """Return what there is to say of the database at `path`, in a fixed order; problems of any kind are findings."""
    findings = [
        surroundings.check_library(),
        surroundings.check_place(path, allow_network_fs=allow_network_fs),
        surroundings.check_space(path),
    ]
    if not os.path.exists(path):
        return [*findings, wrong("Files", f"there is no {path!r}", "the first job enqueued there makes it")]
    findings += [
        *surroundings.check_files(path),
        surroundings.check_journal(path),
        surroundings.check_users(path),
    ]
    if not files.size_of(path):
        return [*findings, warning("Schema", "the file is empty", "the first use makes a database of it")]
    return findings + _Inside(path, now, is_thorough=is_thorough).findings()


class _Inside:
    """One examination of what is in the file, over a connection that sets nothing."""

    def __init__(self, path: str, now: int, *, is_thorough: bool) -> None:
        self._path = path
        self._now = now
        self._is_thorough = is_thorough
        self._found: List[Finding] = []

    def findings(self) -> List[Finding]:
        try:
            self._connection = connect_plainly(self._path)
        except DatabaseError as error:
            return [wrong("Schema", str(error))]
        is_damaged = False
        for name, check in self._checks():
            if is_damaged and name != "Integrity":
                continue  # it would say the same again
            try:
                self._found += check()
            except (sqlite3.Error, DatabaseError) as error:
                is_damaged = is_damaged or (isinstance(error, sqlite3.Error) and is_damage(error))
                told = error if isinstance(error, DatabaseError) else translate(error, self._path)
                self._found.append(wrong(name, str(told)))
                if isinstance(told, (NotOurDatabaseError, DatabaseTooNewError)):
                    break  # there is nothing more to look at
        if is_damaged or any(one.check == "Integrity" and one.level is Level.ERROR for one in self._found):
            # Closing it could copy the journal into the damaged file, and delete it.
            keep_for_ever(self._connection)
        else:
            self._connection.close()
        return self._found

    def _checks(self) -> List[Tuple[str, _Check]]:
        return [
            ("Schema", self._check_schema),
            ("Pragmas", self._check_pragmas),
            ("Free pages", self._check_free_pages),
            ("Write lock", self._check_write_lock),
            ("Workers", self._check_workers),
            ("Running jobs", self._check_running),
            ("Rows", self._check_rows),
            ("Integrity", self._check_integrity),
        ]

    def _check_schema(self) -> Iterator[Finding]:
        check_owner(self._connection, self._path)
        version = schema_version(self._connection)
        if version is None:
            raise NotOurDatabaseError(f"{self._path!r} has no tables of sqlite-job; its first use makes them")
        if version < HEAD:
            yield warning("Schema", f"version {version}, older than {HEAD}", "the next use migrates it; make a backup")
            return
        yield ok("Schema", f"version {version}, and no triggers or views of others")

    def _check_pragmas(self) -> Iterator[Finding]:
        mode, vacuum, size = map(self._pragma, ("journal_mode", "auto_vacuum", "page_size"))
        note = "" if mode == "wal" else " (the next use sets wal)"
        message = f"journal_mode {mode}{note}, auto_vacuum {vacuum}, page_size {size:,}"
        if vacuum != _INCREMENTAL:
            mend = "stop all, then PRAGMA auto_vacuum=INCREMENTAL and VACUUM"
            yield warning("Pragmas", f"{message}: space once used is never given back to the disk", mend)
        else:
            yield ok("Pragmas", message)

    def _check_free_pages(self) -> Iterator[Finding]:
        free, pages, size = map(self._pragma, ("freelist_count", "page_count", "page_size"))
        yield ok("Free pages", f"{free * size / 1e6:,.1f} MB of {pages * size / 1e6:,.1f} MB, to be used again")

    def _check_write_lock(self) -> Iterator[Finding]:
        if not os.path.exists(f"{self._path}-gate"):
            yield ok("Write lock", "free: nobody has written yet, or the lock file was removed")
            return
        with inside_gate(f"{self._path}-gate", _PATIENCE_SECONDS) as is_inside:
            if not is_inside:
                who = lock_table.describe(lock_table.gate_holders(self._path))
                yield warning(
                    "Write lock",
                    f"held for {_PATIENCE_SECONDS:g} s and more by {who}",
                    "if it is stopped or hangs, end it",
                )
            elif self._can_write():
                yield ok("Write lock", "free")
            else:
                who = lock_table.describe(lock_table.writers(self._path))
                yield warning(
                    "Write lock",
                    f"held for {_PATIENCE_SECONDS:g} s and more by {who}, past the gate that our own writers keep to",
                    "end that transaction",
                )

    def _can_write(self) -> bool:
        deadline = elapsed() + _PATIENCE_SECONDS
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                except sqlite3.Error as error:
                    if not is_busy(error):
                        raise
                    if elapsed() > deadline:
                        return False
                    pause(0.01)
                else:
                    self._connection.execute("ROLLBACK")
                    return True
        finally:
            self._connection.execute("PRAGMA busy_timeout = 5000")

    def _check_workers(self) -> Iterator[Finding]:
        rows = read_workers(self._connection)
        gone = [row for row in rows if self._is_gone(row)]
        for row in gone:
            yield warning(
                "Workers",
                f"worker {row.id} (process {row.pid} on {row.host}) has ended without a word, or is silent too long",
                "the next worker that runs takes over its jobs",
            )
        alive = ", ".join(f"{row.id} (process {row.pid})" for row in rows if row not in gone)
        if alive:
            yield ok("Workers", f"alive: {alive}")
            return
        waiting = sum(
            count for _, status, count in read_rows(self._connection, lookup.COUNTS) if JobStatus(status) in WAITING
        )
        if waiting:
            yield warning(
                "Workers",
                f"none, and {waiting:,} {'job waits' if waiting == 1 else 'jobs wait'}",
                "start one: sqlite-job worker MODULE.CLASS",
            )
        elif not gone:
            yield ok("Workers", "none, and no job waits")

    def _check_running(self) -> Iterator[Finding]:
        alive = {row.id for row in read_workers(self._connection) if not self._is_gone(row)}
        held: Dict[int, int] = dict(read_rows(self._connection, lookup.COUNT_HELD))
        lost = sum(count for worker_id, count in held.items() if worker_id not in alive)
        if lost:
            yield warning(
                "Running jobs",
                f"{lost:,} of {sum(held.values()):,} are held by no worker that lives",
                "a worker takes them over within a second of its start",
            )
            return
        yield ok("Running jobs", f"{sum(held.values()):,}, each held by a worker that lives")

    def _check_rows(self) -> Iterator[Finding]:
        counted = [
            ("jobs without arguments", lookup.COUNT_WITHOUT_PAYLOAD),
            ("arguments", payload.COUNT_ORPHANS),
            ("results", result.COUNT_ORPHANS),
            ("failures", failure.COUNT_ORPHANS),
            ("tags", tag.COUNT_ORPHANS),
            ("progress", progress.COUNT_ORPHANS),
            ("log records", log.COUNT_ORPHANS),
        ]
        found = [(name, read_rows(self._connection, statement)[0][0]) for name, statement in counted]
        shown = ", ".join(
            f"{count:,} {name}" if name.startswith("jobs") else f"{count:,} {name} without a job"
            for name, count in found
            if count
        )
        if shown:
            yield warning("Rows", shown, "another program has deleted rows: find it; what is left over does no harm")
            return
        yield ok("Rows", "all belong together")

    def _check_integrity(self) -> Iterator[Finding]:
        pragma = "integrity_check" if self._is_thorough else "quick_check"
        rows = self._connection.execute(f"PRAGMA {pragma}({_MOST_SHOWN})").fetchall()
        found = [line for row in rows for line in str(row[0]).split("\n") if not line.startswith("***")]
        if found == ["ok"]:
            yield ok("Integrity", f"{pragma} found nothing")
            return
        yield wrong("Integrity", f"damaged: {'; '.join(found)}", _RESTORE)

    def _is_gone(self, row: WorkerRow) -> bool:
        return row.lease_until < self._now or is_gone(self._path, row.id)

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]
