"""Fail at chosen points of a worker's or producer's work, to prove that nothing is lost there.

The environment variable SQLITE_JOB_FAILPOINTS says where and how, as "commit.before=kill@7; claim.after=raise": kill at
the seventh commit of each process, raise at the first claim. Without it this module is never imported: no function is
wrapped, and connections are SQLite's own (tests/chaos/test_failpoints.py holds that).
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import threading
from collections import Counter
from typing import Any, Callable, Dict, NamedTuple, Optional
from typing import Counter as CounterOf

from sqlite_job.core.clock import pause
from sqlite_job.engine.engine import Engine
from sqlite_job.engine.executors.frames import Channel
from sqlite_job.engine.outbox import Outbox
from sqlite_job.storage import sqlite_connection

POINTS = (
    # around each write transaction: before and after it has the lock, before it commits, and before the bell is rung
    *("begin.before", "begin.after", "commit.before", "commit.after"),
    *("checkpoint.before", "checkpoint.during", "checkpoint.after"),
    # around the handing of claimed jobs to the executors, and of an outcome to the loop
    *("claim.before", "claim.after", "outcome.before", "outcome.after"),
    # in a job process: around the sending of an outcome to the worker
    *("send.before", "send.after"),
)

_EXIT_CODE = 70
_PAUSE_SECONDS = 1.0


class Plan(NamedTuple):
    """What happens at a point, and at which time of reaching it, from 1."""

    action: str
    nth: int


def install(text: str) -> Failpoints:
    """Wrap what must be wrapped to reach the points of `text`; raises ValueError for one that does not exist."""
    points = Failpoints(text)
    sqlite_connection.connection_class = type("FailingConnection", (_Connection,), {"points": points})
    _surround(Engine, "_start", points, "claim", bool)
    _surround(Outbox, "put", points, "outcome", lambda _outcome: True)
    _surround(Channel, "send", points, "send", lambda message: message[0] == "done")
    return points


class Failpoints:
    """The plans, and how often each point was reached in this process."""

    def __init__(self, text: str) -> None:
        """Read plans as "point=action@count", with semicolons between them; without a count it is the first time."""
        self._plans: Dict[str, Plan] = dict(_parse(part.strip()) for part in text.split(";") if part.strip())
        self._reached: CounterOf[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        """Do what is planned for this time of reaching a point, if anything is."""
        plan = self._plans.get(point)
        if plan is None:
            return
        with self._lock:
            self._reached[point] += 1
            is_due = self._reached[point] == plan.nth
        if is_due:
            _ACTIONS[plan.action]()

    def reach_meanwhile(self, point: str) -> None:
        """Reach a point in another thread, while this one goes on into a call of SQLite."""
        if point in self._plans:
            threading.Thread(target=self.reach, args=(point,), daemon=True).start()


def _parse(part: str) -> Any:
    point, _, plan = part.partition("=")
    action, _, count = plan.partition("@")
    if point not in POINTS or action not in _ACTIONS or not (count or "1").isdigit():
        message = (
            f"{part!r} is no failpoint; write POINT=ACTION@COUNT, with a point of {', '.join(POINTS)} "
            f"and an action of {', '.join(_ACTIONS)}"
        )
        raise ValueError(message)
    return point, Plan(action, int(count or 1))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _exit() -> None:
    os._exit(_EXIT_CODE)


def _raise() -> None:
    message = "disk I/O error"
    raise sqlite3.OperationalError(message)


def _pause() -> None:
    pause(_PAUSE_SECONDS)


_ACTIONS: Dict[str, Callable[[], None]] = {
    "kill": _kill,
    "stop": _stop,
    "exit": _exit,
    "raise": _raise,
    "pause": _pause,
}


def _surround(owner: type, name: str, points: Failpoints, point: str, is_meant: Callable[[Any], bool]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(self: Any, argument: Any) -> Any:
        if not is_meant(argument):
            return original(self, argument)
        points.reach(f"{point}.before")
        found = original(self, argument)
        points.reach(f"{point}.after")
        return found

    setattr(owner, name, wrapped)


class _Connection(sqlite3.Connection):
    """A connection whose cursors reach the points."""

    points: Failpoints

    def cursor(self, factory: Optional[Any] = None) -> Any:
        del factory
        return super().cursor(_Cursor)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return self.cursor().execute(sql, *parameters)  # type: ignore[no-any-return]


class _Cursor(sqlite3.Cursor):
    """A cursor that knows the statements which begin, commit and checkpoint."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # type: ignore[override]
        point = _POINT_OF.get(sql)
        if point is None:
            return super().execute(sql, *parameters)
        points: Failpoints = self.connection.points  # type: ignore[attr-defined]
        points.reach(f"{point}.before")
        if point == "checkpoint":
            points.reach_meanwhile("checkpoint.during")
        found = super().execute(sql, *parameters)
        points.reach(f"{point}.after")
        return found


_POINT_OF = {
    "BEGIN IMMEDIATE": "begin",
    "COMMIT": "commit",
    "PRAGMA wal_checkpoint(TRUNCATE)": "checkpoint",
    "PRAGMA wal_checkpoint(RESTART)": "checkpoint",
}
