"""Nothing that a job or another program wrote can forge a log line or steer the terminal that shows it."""

from __future__ import annotations

import io
import logging
import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job import Cancel, SQLiteJob, StopRequested, Worker
from sqlite_job.core import events
from sqlite_job.core.escaping import EscapedLines, escape_controls, escape_lines
from sqlite_job.core.jobs import ClaimedJob, RescuedJob
from sqlite_job.core.outcomes import Cancelled, Completed, Died, Failed, FailureReport, Retried, Returned, Snoozed
from sqlite_job.telemetry.log import LogEvents
from tests.doors.making import drain, execute, settings_of

HOSTILE = "a\n12:00:00 ERROR forged\r\x1b[2J\x9b31m\x00\u2028\u202eb"
ESCAPED = r"a\n12:00:00 ERROR forged\r\x1b[2J\x9b31m\x00\u2028\u202eb"


@pytest.fixture
def log():
    """What a program that has set up logging as most do writes to its log, line by line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("LINE %(levelname)s %(message)s"))
    logger = logging.getLogger("sqlite_job")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: stream.getvalue().rstrip("\n").split("\n")
    logger.removeHandler(handler)
    logger.setLevel(level)


def is_harmless(lines):
    """Whether each line is one that the program began, or an indented line of a traceback, and can be shown."""
    return all(line.isprintable() and line.startswith(("LINE ", "  ")) for line in lines if line)


# ---- the functions


@given(st.text())
def test_escaped_text_is_one_line_that_can_be_shown_and_stored(text):
    escaped = escape_controls(text)

    assert not [c for c in escaped if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert "\u202e" not in escaped
    escaped.encode("utf-8")


@given(st.text(st.characters(blacklist_categories=("C", "Z"))))
def test_visible_text_stays_as_it_is(text):
    assert escape_controls(text) == text


def test_controls_are_written_as_in_python():
    assert escape_controls(HOSTILE) == ESCAPED
    assert escape_controls("C:\\new \\x1b é 日本 😀") == "C:\\new \\x1b é 日本 😀"
    assert escape_controls("a\ud800\u200f") == r"a\ud800\u200f"


@given(st.text())
def test_escaped_lines_are_indented_and_free_of_other_controls(text):
    for line in escape_lines(text).split("\n"):
        assert line.startswith("  ")
        assert escape_controls(line) == line


def test_lines_keep_their_breaks():
    assert (
        escape_lines("Traceback:\n  File \x1b\n\nValueError: a\r\n")
        == "  Traceback:\n    File \\x1b\n  \n  ValueError: a"
    )


# ---- the filter of our logger


def test_arguments_of_a_log_line_are_escaped_and_its_sentence_is_not(log, caplog):
    logger = logging.getLogger("sqlite_job")

    with caplog.at_level(logging.DEBUG, "sqlite_job"):
        logger.warning(
            "%s %r %s %d %.1f\n%s", HOSTILE, HOSTILE, ValueError(HOSTILE), 3, 0.5, escape_lines(f"x\n{HOSTILE}")
        )

    assert is_harmless(log())
    assert log()[0].startswith(f"LINE WARNING {ESCAPED} ")
    assert log()[0].endswith(f" {ESCAPED} 3 0.5")
    assert log()[1] == "  x"
    (record,) = caplog.records
    assert record.msg == "%s %r %s %d %.1f\n%s"


def test_the_traceback_of_an_exception_that_is_logged_is_escaped(log):
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("sqlite_job").exception("It failed for %s", HOSTILE)

    assert is_harmless(log())
    assert log()[0] == f"LINE ERROR It failed for {ESCAPED}"
    assert log()[1] == "  Traceback (most recent call last):"
    assert any("ValueError: a" in line for line in log())


def test_a_record_without_arguments_passes_as_it_is(log):
    logging.getLogger("sqlite_job").info("100 % sure")

    assert log() == ["LINE INFO 100 % sure"]


def test_lines_that_were_escaped_already_are_not_escaped_again(log):
    logging.getLogger("sqlite_job").info("%s", EscapedLines("a\n  b"))

    assert log() == ["LINE INFO a", "  b"]


# ---- every sentence of a worker


def claimed(**changes):
    facts = dict.fromkeys(ClaimedJob._fields)
    facts.update(
        seq=1, claim_number=1, tries=1, id=HOSTILE, queue=HOSTILE, function=HOSTILE, deaths=0, codec="", args=b""
    )
    return ClaimedJob(**{**facts, **changes})


REPORT = FailureReport(1, HOSTILE, HOSTILE, f"Traceback:\n{HOSTILE}")
ENDED = (1_000_000, 2_000_000, 1, 1)

OUTCOMES = {
    "completed": lambda: Completed(*ENDED, "pickle", b"", None),
    "failed": lambda: Failed(*ENDED, REPORT),
    "retried": lambda: Retried(*ENDED, REPORT, 3_000_000),
    "snoozed": lambda: Snoozed(*ENDED, 3_000_000),
    "cancelled": lambda: Cancelled(*ENDED, HOSTILE),
    "died": lambda: Died(*ENDED, REPORT, is_final=True),
    "returned": lambda: Returned(1, 1),
}

EVENTS = {
    "WorkerStarted": lambda: events.WorkerStarted(1, (HOSTILE,), (HOSTILE,), HOSTILE),
    "JobsRescued": lambda: events.JobsRescued([RescuedJob(HOSTILE, HOSTILE, 3, 1, is_final=True)]),
    "FunctionUnknown": lambda: events.FunctionUnknown(HOSTILE, HOSTILE),
    "StorageFailed": lambda: events.StorageFailed(sqlite3.OperationalError(HOSTILE), 1.0),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_the_sentence_of_each_outcome_is_harmless(log, outcome):
    LogEvents()(events.JobsSettled([(claimed(), outcome())]))

    assert is_harmless(log())
    assert log()[0].count(ESCAPED) >= 2


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_sentence_of_each_event_with_text_of_others_is_harmless(log, event):
    LogEvents()(event())

    assert is_harmless(log())
    assert "forged" in log()[0] or "forged" in log()[1]


# ---- at work


def fail(message):
    raise ValueError(message)


def cancel(message):
    raise Cancel(message)


def test_what_a_job_raises_is_harmless_in_the_log_and_whole_in_the_record(database, log):
    settings = settings_of(database, fail, cancel)
    jobs = SQLiteJob("default", settings)
    failing = jobs.enqueue(fail, HOSTILE.replace("\x00", ""))
    jobs.enqueue(cancel, HOSTILE)

    drain(settings)

    assert is_harmless(log())
    assert "forged" in "".join(log())
    assert jobs.failures(failing)[0].message == HOSTILE.replace("\x00", "")


def test_a_forged_row_is_harmless_in_the_log(database, log):
    settings = settings_of(database, fail)
    jobs = SQLiteJob("default", settings)
    jobs.enqueue(fail, "no")
    jobs.enqueue(fail, "no")
    execute(database, "UPDATE sqlitejob_job SET id = ? WHERE seq = 1", HOSTILE.replace("\x00", ""))
    execute(database, "UPDATE sqlitejob_job SET function = ? WHERE seq = 2", HOSTILE.replace("\x00", ""))

    drain(settings)

    assert is_harmless(log())
    assert len([line for line in log() if "forged" in line]) >= 2


@pytest.mark.parametrize("error", [ValueError, StopRequested])
def test_a_hook_that_raises_is_harmless_in_the_log(database, log, error):
    def on_job_end(_):
        raise error(HOSTILE)

    settings = settings_of(database, fail, on_job_end=on_job_end)
    SQLiteJob("default", settings).enqueue(fail, "no")

    drain(settings)

    assert is_harmless(log())
    assert any("on_job_end failed for" in line for line in log())


def test_a_subscriber_that_raises_is_harmless_in_the_log(database, log):
    def subscriber(_):
        raise ValueError(HOSTILE)

    worker = Worker("default", settings_of(database, fail))
    worker.subscribe(subscriber)

    worker.run(burst=True)

    assert is_harmless(log())
    assert any("A subscriber failed on" in line for line in log())


def test_a_job_process_logs_harmless_lines_too(database, log):
    """It hands its lines to the worker as text, with the traceback in it."""
    import tests.security.process_tasks as tasks

    settings = tasks.Settings(database)
    job = SQLiteJob("default", settings).enqueue("work")

    drain(settings)

    assert job.status().value == "completed"
    assert is_harmless(log())
    assert any("on_job_end failed for" in line for line in log())
    assert any(line.startswith("  ValueError: a") for line in log())
