"""Speak with a job process: one message after the other on a socket.

A message is a tuple of Python's plain types, by marshal: both ends are the same interpreter, it cannot hold an
exception or any other object, and it is quick.
"""

from __future__ import annotations

import marshal
import select
import socket
import struct
import threading
from typing import Any, Optional, Tuple

from sqlite_job.core.clock import elapsed
from sqlite_job.core.notes import JobNotes, LogNote, ProgressNote
from sqlite_job.core.outcomes import (
    Cancelled,
    Committed,
    Completed,
    Failed,
    FailureReport,
    Outcome,
    Retried,
    Returned,
    Snoozed,
)

Message = Tuple[Any, ...]

_LENGTH = struct.Struct("!I")

_OUTCOMES = {kind.__name__: kind for kind in (Completed, Committed, Failed, Retried, Snoozed, Cancelled, Returned)}
_WITH_REPORT = frozenset({"Failed", "Retried"})


class Channel:
    """One end of the socket."""

    def __init__(self, end: socket.socket) -> None:
        """Take over an end."""
        self._end = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        self._buffer = bytearray()
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message, from any thread; raises OSError when the other end is gone."""
        data = marshal.dumps(message)
        with self._sending:
            self._end.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, deadline: Optional[float] = None) -> Message:
        """Return the next message; raises TimeoutError at the deadline (of `elapsed`), EOFError at the end."""
        while True:
            message = self._take()
            if message is not None:
                return message
            if deadline is not None and not self._poll.poll(max(deadline - elapsed(), 0) * 1000):
                raise TimeoutError
            data = self._end.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data

    def close(self) -> None:
        """Close this end, which the other one takes as the end."""
        self._end.close()

    def _take(self) -> Optional[Message]:
        buffer = self._buffer
        if len(buffer) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            return None
        message: Message = marshal.loads(memoryview(buffer)[_LENGTH.size : end])  # noqa: S302 - our own child
        self._buffer = buffer[end:]
        return message


def pack_outcome(outcome: Outcome) -> Message:
    """Return an outcome as a message."""
    kind = type(outcome).__name__
    return (kind, *(tuple(field) if isinstance(field, FailureReport) else field for field in outcome))


def unpack_outcome(kind: str, *fields: Any) -> Outcome:
    """Return the outcome of a message."""
    if kind in _WITH_REPORT:
        started_at, finished_at, seq, claim_number, report, *rest = fields
        fields = (started_at, finished_at, seq, claim_number, FailureReport(*report), *rest)
    return _OUTCOMES[kind](*fields)


def pack_notes(notes: JobNotes) -> Message:
    """Return notes as a message."""
    progress = None if notes.progress is None else tuple(notes.progress)
    return (notes.seq, notes.claim_number, progress, tuple(map(tuple, notes.records)))


def unpack_notes(seq: int, claim_number: int, progress: Optional[Message], records: Tuple[Message, ...]) -> JobNotes:
    """Return the notes of a message."""
    note = None if progress is None else ProgressNote(*progress)
    return JobNotes(seq, claim_number, note, tuple(LogNote(*record) for record in records))
