"""What the database says in the end, read with plain sqlite3."""

from __future__ import annotations

import json
import sqlite3
from typing import Dict, List, NamedTuple, Optional, Set

FINAL = {"completed", "failed", "cancelled"}
STATUSES = FINAL | {"pending", "scheduled", "blocked", "running"}


class Row(NamedTuple):
    """A job's row; `key` is its first argument."""

    seq: int
    id: str
    function: str
    status: str
    tries: int
    max_tries: Optional[int]
    deaths: int
    claim: int
    worker_id: Optional[int]
    key: Optional[str]


class Death(NamedTuple):
    """A try that is kept as not having succeeded."""

    claim: int
    error_type: str
    message: str
    worker_id: int
    started_at: int
    finished_at: int

    @property
    def is_death(self) -> bool:
        return self.error_type == "WorkerDied"


class Record:
    """All rows of a database."""

    def __init__(self, path: str) -> None:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            self.integrity: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
            self.rows: List[Row] = [
                Row(*fields, _key(args))
                for *fields, args in connection.execute(
                    "SELECT seq, id, function, status, tries, max_tries, deaths, claim_number, worker_id, args"
                    " FROM sqlitejob_job LEFT JOIN sqlitejob_payload USING (seq) ORDER BY seq"
                )
            ]
            self.results: Set[int] = {row[0] for row in connection.execute("SELECT seq FROM sqlitejob_result")}
            self.failures: Dict[int, Dict[int, Death]] = {}
            for seq, *fields in connection.execute(
                "SELECT seq, claim_number, error_type, message, worker_id, started_at, finished_at"
                " FROM sqlitejob_failure"
            ):
                death = Death(*fields)
                self.failures.setdefault(seq, {})[death.claim] = death
        finally:
            connection.close()
        self.by_id = {row.id: row for row in self.rows}

    def failure(self, job_id: str, claim: int) -> Optional[Death]:
        row = self.by_id.get(job_id)
        return None if row is None else self.failures.get(row.seq, {}).get(claim)


def _key(args: Optional[bytes]) -> Optional[str]:
    if args is None:
        return None
    try:
        positional, _ = json.loads(args)
        key = positional[0]
    except (ValueError, IndexError, TypeError):
        return None
    return key if isinstance(key, str) else None
