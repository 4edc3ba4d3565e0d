"""Wait for the end of a job, or for what it logs: woken by commits, never by a poll."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Awaitable, Callable, Iterator, Optional

from sqlite_job.core.clock import elapsed
from sqlite_job.core.errors import JobNotFoundError, ResultTimeoutError
from sqlite_job.core.jobs import StoredResult
from sqlite_job.core.notes import JobLog
from sqlite_job.storage.interface import Storage

if TYPE_CHECKING:
    import asyncio  # at run time where it is used: half of this package's import time

# How long to wait for a sign before looking all the same: whoever gives the signs may have been closed, or have failed.
_LONGEST_WAIT = 5.0

Read = Callable[[], Awaitable[StoredResult]]


def read_result(storage: Storage, job_id: str) -> StoredResult:
    """Return a job's status and encoded result; raises JobNotFoundError."""
    stored = storage.result(job_id)
    if stored is None:
        raise JobNotFoundError(job_id)
    return stored


def wait_until_final(storage: Storage, job_id: str, timeout: Optional[float]) -> StoredResult:
    """Block until the job has ended, at most `timeout` seconds; raises ResultTimeoutError or JobNotFoundError."""
    stored = read_result(storage, job_id)
    if stored.status.is_final:
        return stored
    deadline = None if timeout is None else elapsed() + timeout
    committed = threading.Event()
    unsubscribe = storage.subscribe(committed.set)
    try:
        while True:
            committed.clear()
            stored = read_result(storage, job_id)
            if stored.status.is_final:
                return stored
            remaining = _LONGEST_WAIT if deadline is None else deadline - elapsed()
            if remaining <= 0:
                raise ResultTimeoutError(job_id, timeout or 0)
            committed.wait(min(remaining, _LONGEST_WAIT))
    finally:
        unsubscribe()


def follow_logs(storage: Storage, job_id: str) -> Iterator[JobLog]:
    """Yield a job's log records, and those to come, until it has ended; raises JobNotFoundError."""
    last = 0
    committed = threading.Event()
    unsubscribe = storage.subscribe(committed.set)
    try:
        while True:
            committed.clear()
            # First the status: the last records are written before the end of their job, or with it.
            is_final = read_result(storage, job_id).status.is_final
            for record in storage.logs(job_id, last):
                last = record.number
                yield record
            if is_final:
                return
            committed.wait(_LONGEST_WAIT)
    finally:
        unsubscribe()


async def await_final(storage: Storage, job_id: str, timeout: Optional[float]) -> StoredResult:
    """Do as `wait_until_final`, without blocking the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    read: Read = partial(loop.run_in_executor, None, read_result, storage, job_id)
    stored = await read()  # opens the database, too, so that subscribing is a matter of microseconds
    if stored.status.is_final:
        return stored
    committed = asyncio.Event()
    unsubscribe = storage.subscribe(partial(_set_soon, loop, committed))
    try:
        return await asyncio.wait_for(_read_until_final(read, committed), timeout)
    except asyncio.TimeoutError:
        raise ResultTimeoutError(job_id, timeout or 0) from None
    finally:
        unsubscribe()


async def _read_until_final(read: Read, committed: asyncio.Event) -> StoredResult:
    import asyncio

    while True:
        committed.clear()
        stored = await read()
        if stored.status.is_final:
            return stored
        safety = asyncio.get_running_loop().call_later(_LONGEST_WAIT, committed.set)
        try:
            await committed.wait()
        finally:
            safety.cancel()


def _set_soon(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits any more
        loop.call_soon_threadsafe(event.set)
