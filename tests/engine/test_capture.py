"""What is kept of one log record."""

from __future__ import annotations

import logging

import pytest

from sqlite_job.engine.capture import MAX_RECORD, MAX_RECORDS, Capture
from sqlite_job.engine.notebook import Notebook
from tests.engine.making import HandClock
from tests.storage.making import NOW, claimed_job


def kept(*texts, name="app", level=20):
    """Return the records that are kept of these texts."""
    notebook = Notebook(lambda: None, HandClock())
    capture = Capture(claimed_job(1), notebook)
    for text in texts:
        capture.take(logging.makeLogRecord({"msg": text, "name": name, "levelno": level}))
    capture.end()
    return [record for notes in notebook.take() for record in notes.records]


def test_control_characters_stay_and_what_no_database_takes_is_written_out():
    (record,) = kept("red \x1b[31m and\nanother line \x00 \ud800", name="a\x00b")
    assert record.message == "red \x1b[31m and\nanother line \\x00 \\ud800"
    assert record.logger == "a\\x00b"


def test_a_record_has_the_time_of_the_clock_and_the_try_of_its_job():
    (record,) = kept("a")
    assert (record.at, record.try_number) == (NOW, 1)


@pytest.mark.parametrize(("level", "is_kept_as"), [(0, 0), (35, 35), (10**30, 1_000_000), (-5, 0), (True, 1)])
def test_any_level_fits_the_database(level, is_kept_as):
    (record,) = kept("a", level=level)
    assert (type(record.level), record.level) == (int, is_kept_as)


@pytest.mark.parametrize("text", ["x" * 100_000, "\x00" * 2_000, "\ud800" * 100_000, "é" * 2_001])
def test_no_record_is_longer_than_the_bound(text):
    (record,) = kept(f"begin {text}")
    assert len(record.message) <= MAX_RECORD
    assert record.message.startswith("begin ")


def test_a_long_record_keeps_its_end():
    (record,) = kept(f"begin {'x' * 100_000} end")
    assert record.message.endswith("xxx end")
    assert "\n… (98,010 characters left out)\n" in record.message


def test_the_longest_record_is_kept_whole():
    assert kept("x" * MAX_RECORD)[0].message == "x" * MAX_RECORD


def test_a_million_records_take_the_room_of_a_thousand():
    records = kept(*(f"{number}" for number in range(1_000_000)))
    assert len(records) == MAX_RECORDS + 1
    assert records[-1].message == "999,000 more records were left out: of one try the first 1,000 are kept"
