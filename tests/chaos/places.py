"""Where a run keeps its jobs, as the run itself looks at it from outside: a file, or a PostgreSQL server of its own."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from typing import FrozenSet, List, Tuple

from tests.chaos.history import Log
from tests.chaos.record import connect_to, is_server
from tools.postgres_server import PostgresServer

_UNFINISHED = "SELECT count(*) FROM sqlitejob_job WHERE finished_at IS NULL"

# How a process of the cast names itself to the server: what is done to one of its sessions is told of it.
_NAMED = "chaos-"

# Sessions of the cast, and whether it is the one by which a process hears, and shows that its workers live.
_SESSIONS = """
SELECT pid, application_name, query ILIKE 'LISTEN %%' OR EXISTS (
    SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid AND locktype = 'advisory' AND objsubid = 2
) FROM pg_stat_activity WHERE application_name LIKE %s
"""


class FilePlace:
    """A SQLite file, to which nothing is done but by those who use it."""

    keepers: FrozenSet[int] = frozenset()
    # Seconds between two faults.
    pauses = (0.1, 0.4)

    def __init__(self, folder: str, _log: Log) -> None:
        self.database = os.path.join(folder, "jobs.db")

    def open(self) -> None:
        """Do nothing: the first one to come makes the file."""

    def close(self) -> None:
        """Do nothing: nobody has it open any more."""

    def is_ready(self) -> bool:
        """Whether somebody has made the tables."""
        try:
            return os.path.exists(self.database) and self.unfinished() >= 0
        except sqlite3.OperationalError:
            return False

    def unfinished(self) -> int:
        """Count the jobs that have not ended."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(_UNFINISHED).fetchone()[0]

    def hurt(self) -> None:
        """Do nothing."""

    def left(self) -> List[str]:
        """Return what the cast has left in it: nothing that could be seen."""
        return []


class ServerPlace:
    """A durable PostgreSQL server, whose sessions are cut now and then, and which is stopped and started again."""

    # A worker and a job process take longer to start there, and should come to do something.
    pauses = (0.2, 0.8)

    # Some outages are shorter than what an operation waits for a server, and some are longer.
    _OUTAGES = (0.4, 0.0, 4.5, 1.5)
    _MODES = ("fast", "immediate")

    def __init__(self, _folder: str, log: Log) -> None:
        self._server = PostgresServer(durable=True)
        self._log = log
        self._began = 0.0
        self._restarts = 0

    @property
    def database(self) -> str:
        return self._server.url

    @property
    def keepers(self) -> FrozenSet[int]:
        """The processes of ours that are no part of the cast."""
        return frozenset({self._server.supervisor_pid})

    def open(self) -> None:
        self._server.start()
        self._began = time.monotonic()

    def close(self) -> None:
        self._server.close()

    def is_ready(self) -> bool:
        import psycopg

        try:
            return self.unfinished() >= 0
        except psycopg.Error:
            return False

    def unfinished(self) -> int:
        with closing(connect_to(self.database)) as connection:
            return connection.execute(_UNFINISHED).fetchone()[0]

    def hurt(self) -> None:
        """Cut a session now and then; and restart the server twice in each 30 seconds, once in each mode."""
        pairs, is_second = divmod(self._restarts, 2)
        if time.monotonic() > self._began + 30 * pairs + (15 if is_second else 5):
            self._restart(self._MODES[is_second], self._OUTAGES[self._restarts % 4])
            self._restarts += 1
        elif random.random() < 0.3:
            self._cut()

    def left(self) -> List[str]:
        """Return the sessions that the cast has left, which has ended: the server notices that in a moment."""
        deadline = time.monotonic() + 5
        while True:
            found = self._sessions()
            if not found or time.monotonic() > deadline:
                return [f"session {pid} of {name}" for pid, name, _ in found]
            time.sleep(0.05)

    def _restart(self, mode: str, outage: float) -> None:
        pid = self._server.pid
        self._log.fault("down", pid, mode)
        self._server.stop(mode)
        time.sleep(outage)
        self._server.start()
        self._log.fault("up", pid, mode)

    def _cut(self) -> None:
        sessions = self._sessions()
        if not sessions:
            return
        # Each process has one session to listen by, and some for the rest.
        is_listening = random.random() < 0.5
        pid, name, is_listener = random.choice([one for one in sessions if one[2] == is_listening] or sessions)
        self._log.fault("cut", int(name[len(_NAMED) :]), "listener" if is_listener else "session")
        with closing(connect_to(self.database)) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    def _sessions(self) -> List[Tuple[int, str, bool]]:
        with closing(connect_to(self.database)) as connection:
            return connection.execute(_SESSIONS, [f"{_NAMED}%"]).fetchall()


PLACES = {"sqlite": FilePlace, "postgres": ServerPlace}


def named(database: str) -> str:
    """Return the database as this process is to open it: a server is told which process it is."""
    return f"{database}?application_name={_NAMED}{os.getpid()}" if is_server(database) else database
