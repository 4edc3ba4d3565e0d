"""The yardstick: the same work by hand with sqlite3, on the schema and with the pragmas of sqlite_job, nothing else.

No ids but a counter, no previews, one clock reading for each commit, no threads, no errors handled.
"""

from __future__ import annotations

import pickle
import sqlite3
import time
from typing import Any, Callable, List, Mapping, Sequence, Tuple

from sqlite_job import SQLiteJob
from sqlite_job.storage.sqlite_connection import connect as connect_as_sqlite_job

BATCH = 100

# sqlite_job switches automatic checkpoints off, and makes its own at 32 MB of journal: as much in pages.
_CHECKPOINT_PAGES = 8192

_INSERT_JOB = (
    "INSERT INTO sqlitejob_job (id, queue, function, status, created_at) VALUES (?, 'default', 'echo', 'pending', ?)"
)
_INSERT_NUMBERED_JOB = (
    "INSERT INTO sqlitejob_job (seq, id, queue, function, status, created_at)"
    " VALUES (?, ?, 'default', 'echo', 'pending', ?)"
)
_INSERT_PAYLOAD = "INSERT INTO sqlitejob_payload (seq, codec, args) VALUES (?, 'pickle', ?)"
_CLAIM = (
    "UPDATE sqlitejob_job SET status = 'running', started_at = ?, worker_id = 1, tries = tries + 1,"
    " claim_number = claim_number + 1"
    " WHERE seq IN (SELECT seq FROM sqlitejob_job WHERE queue = 'default' AND status = 'pending'"
    " ORDER BY priority DESC, seq LIMIT ?)"
    " RETURNING seq, claim_number, function"
)
_PAYLOADS = "SELECT seq, args FROM sqlitejob_payload WHERE seq BETWEEN ? AND ?"
_COMPLETE = (
    "UPDATE sqlitejob_job SET status = 'completed', finished_at = ?, worker_id = NULL"
    " WHERE seq = ? AND status = 'running' AND claim_number = ?"
)
_INSERT_RESULT = "INSERT INTO sqlitejob_result (seq, codec, value) VALUES (?, 'pickle', ?)"


def make_database(path: str) -> None:
    """Let sqlite_job make the file, with its schema."""
    jobs = SQLiteJob(database=path)
    jobs.counts()
    jobs.close()


def connect(path: str, durability: str) -> sqlite3.Connection:
    connection = connect_as_sqlite_job(path, durability)
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    return connection


def enqueue_each(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Insert jobs with one commit for each."""
    cursor = connection.cursor()
    execute = cursor.execute
    for number in numbers:
        execute("BEGIN IMMEDIATE")
        execute(_INSERT_JOB, (f"{number:036d}", _now()))
        execute(_INSERT_PAYLOAD, (cursor.lastrowid, pickle.dumps(((number,), {}), 5)))
        execute("COMMIT")


def enqueue_batch(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Insert jobs with one commit for all; a number is the seq as well."""
    now = _now()
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.executemany(_INSERT_NUMBERED_JOB, [(number, f"{number:036d}", now) for number in numbers])
    cursor.executemany(_INSERT_PAYLOAD, [(number, pickle.dumps(((number,), {}), 5)) for number in numbers])
    cursor.execute("COMMIT")


def drain(connection: sqlite3.Connection, functions: Mapping[str, Callable[..., Any]]) -> int:
    """Run all jobs: each commit settles a batch and claims the next; returns how many ran."""
    cursor = connection.cursor()
    done: List[Tuple[int, int, bytes]] = []
    ran = 0
    while True:
        now = _now()
        cursor.execute("BEGIN IMMEDIATE")
        if done:
            cursor.executemany(_COMPLETE, [(now, seq, claim_number) for seq, claim_number, _ in done])
            cursor.executemany(_INSERT_RESULT, [(seq, value) for seq, _, value in done])
        claimed = cursor.execute(_CLAIM, (now, BATCH)).fetchall()
        if claimed:
            claimed.sort()
            payloads = dict(cursor.execute(_PAYLOADS, (claimed[0][0], claimed[-1][0])).fetchall())
        cursor.execute("COMMIT")
        if not claimed:
            return ran
        done = []
        for seq, claim_number, function in claimed:
            args, kwargs = pickle.loads(payloads[seq])  # noqa: S301 - our own
            done.append((seq, claim_number, pickle.dumps(functions[function](*args, **kwargs), 5)))
        ran += len(done)


def _now() -> int:
    return time.time_ns() // 1000
