"""Keep the log records that a job writes: a handler on the root logger that looks whose context it is called in."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Iterator

from sqlite_job.core.context import current_record_taker
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.engine.failures import clean_text
from sqlite_job.engine.notebook import Notebook

MAX_RECORDS = 1_000
MAX_RECORD = 2_000
_MAX_LOGGER = 200

# A level may be any whole number, a column of the database not.
_HIGHEST_LEVEL = 1_000_000

# Of a text that is too long the end is kept, too: of a traceback it says what was raised.
_KEPT_END = 1_000

_LOGGER = "sqlite_job.job"


class Capture:
    """Takes the log records of one try into the notebook, as many as are kept, and counts the others."""

    def __init__(self, job: ClaimedJob, notebook: Notebook) -> None:
        """Begin with none."""
        self._job = job
        self._notebook = notebook
        self._count = 0

    def take(self, record: logging.LogRecord) -> None:
        """Keep a record, if there is room."""
        self._count += 1
        if self._count <= MAX_RECORDS:
            level = min(max(int(record.levelno), 0), _HIGHEST_LEVEL)
            name = clean_text(record.name, _MAX_LOGGER)
            self._notebook.put_record(self._job, level, name, _bounded(_text_of(record)))

    def end(self) -> None:
        """Say how many records were left out, if any were."""
        left_out = self._count - MAX_RECORDS
        if left_out > 0:
            what = "1 more record was" if left_out == 1 else f"{left_out:,} more records were"
            message = f"{what} left out: of one try the first {MAX_RECORDS:,} are kept"
            self._notebook.put_record(self._job, logging.WARNING, _LOGGER, message)


class _Handler(logging.Handler):
    """Hands each record to the job in whose context it was logged."""

    users = 0

    def emit(self, record: logging.LogRecord) -> None:
        taker = current_record_taker()
        if taker is not None:
            try:
                taker.take(record)
            except Exception:  # noqa: BLE001 - arguments that do not fit, a __str__ that raises: as all handlers do
                self.handleError(record)
        if len(logging.getLogger().handlers) == 1:
            self._show_as_without(record)

    def _show_as_without(self, record: logging.LogRecord) -> None:
        """Do what logging does where nothing is set up: a handler of ours must not silence a warning."""
        last_resort = logging.lastResort
        if last_resort is not None and record.levelno >= last_resort.level and not _has_other_handler(record.name):
            last_resort.handle(record)


_formatter = logging.Formatter("%(message)s")
_handler = _Handler()
_lock = threading.Lock()


@contextlib.contextmanager
def capturing() -> Iterator[None]:
    """Let jobs that ask for it keep their log records; workers of one process share one handler."""
    root = logging.getLogger()
    with _lock:
        _handler.users += 1
        root.addHandler(_handler)  # at most once: logging sees to it
    try:
        yield
    finally:
        with _lock:
            _handler.users -= 1
            if not _handler.users:
                root.removeHandler(_handler)


def _has_other_handler(name: str) -> bool:
    logger = logging.getLogger(name)
    while logger.parent is not None:
        if logger.handlers:
            return True
        logger = logger.parent
    return False


def _text_of(record: logging.LogRecord) -> str:
    # A formatter leaves its text of a traceback in the record, for other handlers to use: theirs may look different.
    before = record.exc_text
    try:
        return _formatter.format(record)
    finally:
        record.exc_text = before


def _bounded(text: str) -> str:
    if len(text) > MAX_RECORD:
        middle = f"\n… ({len(text) - MAX_RECORD:,} characters left out)\n"
        text = f"{text[: MAX_RECORD - _KEPT_END - len(middle)]}{middle}{text[-_KEPT_END:]}"
    return clean_text(text, MAX_RECORD)
