"""Check that measured work was really done: a figure of wrong work is worth nothing."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
from typing import Any, Iterable, List, Optional, Tuple

_JOBS = (
    "SELECT job.status, job.tries, job.claim_number, payload.args, result.value FROM sqlitejob_job AS job"
    " LEFT JOIN sqlitejob_payload AS payload USING (seq) LEFT JOIN sqlitejob_result AS result USING (seq)"
    " WHERE job.seq > ? ORDER BY job.seq"
)


class WrongWorkError(Exception):
    """What was stored is not what was asked for."""


def check_enqueued(path: str, numbers: Iterable[int], after: int = 0) -> None:
    """Raise unless exactly the jobs of these numbers are pending behind the seq `after`."""
    found = []
    for status, tries, claim_number, args, value in _stored(path, after):
        expect((status, tries, claim_number, value) == ("pending", 0, 0, None), f"a job is {status}, try {tries}")
        found.append(_number(args))
    _expect_numbers(found, numbers)


def check_drained(path: str, numbers: Iterable[int], after: int = 0) -> None:
    """Raise unless exactly the jobs of these numbers ran once, behind the seq `after`, and gave their number back."""
    found = []
    for status, tries, claim_number, args, value in _stored(path, after):
        expect((status, tries, claim_number) == ("completed", 1, 1), f"a job is {status}, try {tries}")
        number = _number(args)
        result = None if value is None else pickle.loads(value)  # noqa: S301 - our own
        expect(result == number, f"job {number} has the result {result!r}")
        found.append(number)
    _expect_numbers(found, numbers)


def expect(is_right: bool, message: str) -> None:  # noqa: FBT001 - as assert, which -O removes
    if not is_right:
        raise WrongWorkError(message)


def _stored(path: str, after: int) -> List[Tuple[Any, ...]]:
    if "://" in path:
        import psycopg  # not everybody has it

        with psycopg.connect(path.replace("+psycopg", "")) as server:
            return server.execute(_JOBS.replace("?", "%s"), (after,)).fetchall()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(_JOBS, (after,)).fetchall()


def _number(args: Optional[bytes]) -> int:
    if args is None:
        raise WrongWorkError("a job has lost its arguments")
    (number,), kwargs = pickle.loads(args)  # noqa: S301 - our own
    expect(kwargs == {}, f"a job has the keyword arguments {kwargs!r}")
    return int(number)


def _expect_numbers(found: List[int], numbers: Iterable[int]) -> None:
    wanted = sorted(numbers)
    expect(sorted(found) == wanted, f"{len(found):,} jobs are stored, and {len(wanted):,} were asked for, or others")
