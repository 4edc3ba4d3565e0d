"""The contract of notes, on every database: what a running job says of itself, behind the fence."""

from __future__ import annotations

import pytest

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.errors import JobNotFoundError
from sqlite_job.core.notes import JobLog, JobNotes, JobProgress, LogNote, ProgressNote
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import JobFilter
from tests.storage.making import LEASE, NOW, claim, completed, execute, failed, new_job, settle

PROGRESS = ProgressNote(3.0, 10.0, "importing", NOW + 5)
READ = JobProgress(3.0, 10.0, "importing", to_datetime(NOW + 5))


def record(text, number=0):
    return LogNote(NOW + number, 1, 20, "app", text)


def notes_of(job, progress=PROGRESS, *texts):
    return JobNotes(job.seq, job.claim_number, progress, tuple(map(record, texts)))


@pytest.fixture
def running(storage):
    """A job that runs."""
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)
    return job


def test_a_job_that_says_nothing_has_no_progress_and_no_logs(storage, running):
    assert storage.progress("a") is None
    assert storage.logs("a") == []


def test_what_is_unknown_is_an_error_with_the_id(storage):
    for verb in (storage.progress, storage.logs):
        with pytest.raises(JobNotFoundError, match="'no'"):
            verb("no")


def test_the_newest_progress_takes_the_place_of_the_one_before(storage, running):
    storage.note([notes_of(running)])
    assert storage.progress("a") == READ
    storage.note([notes_of(running, ProgressNote(4.0, None, None, NOW + 9))])
    assert storage.progress("a") == JobProgress(4.0, None, None, to_datetime(NOW + 9))


def test_log_records_are_added_in_order_and_can_be_read_from_any_on(storage, running):
    storage.note([notes_of(running, None, "one", "two")])
    storage.note([notes_of(running, None, "three")])

    assert [(log.number, log.message) for log in storage.logs("a")] == [(1, "one"), (2, "two"), (3, "three")]
    assert storage.logs("a", 2) == [JobLog(to_datetime(NOW), 1, 20, "app", "three", 3)]
    assert storage.progress("a") is None


def test_notes_of_many_jobs_are_one_write(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    storage.note([notes_of(job, PROGRESS, job.id) for job in claim(storage)])

    assert [storage.progress(name) for name in "ab"] == [READ] * 2
    assert [[log.message for log in storage.logs(name)] for name in "ab"] == [["a"], ["b"]]


def test_a_job_that_was_taken_from_its_worker_notes_nothing_more(storage, running):
    storage.rescue(NOW + LEASE + 1, 9)
    old = notes_of(running, PROGRESS, "too late")

    storage.note([old])
    assert (storage.progress("a"), storage.logs("a")) == (None, [])

    storage.register_worker(("default",), NOW, 10 * LEASE)
    (again,) = claim(storage, worker_id=8)
    assert (again.seq, again.claim_number) == (running.seq, running.claim_number + 1)
    newer = ProgressNote(1.0, 10.0, None, NOW + 7)
    storage.note([notes_of(again, newer, "in time"), old])
    assert storage.progress("a") == JobProgress(1.0, 10.0, None, to_datetime(NOW + 7))
    assert [log.message for log in storage.logs("a")] == ["in time"]


def test_a_job_that_has_ended_notes_nothing_more(storage, running):
    settle(storage, completed(running))
    storage.note([notes_of(running, PROGRESS, "after all")])
    assert (storage.progress("a"), storage.logs("a")) == (None, [])


def test_the_last_notes_are_written_with_the_end_of_the_job(storage, running):
    exchange = storage.exchange(1, [completed(running)], None, NOW, [notes_of(running, PROGRESS, "done")])

    assert exchange.stale == []
    assert storage.get("a").status is JobStatus.COMPLETED
    assert storage.progress("a") == READ
    assert [log.message for log in storage.logs("a")] == ["done"]


def test_notes_beside_an_outcome_that_came_too_late_are_written_once_or_not_at_all(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    a, b = claim(storage)
    settle(storage, completed(a))
    notes = [notes_of(a, PROGRESS, "a"), notes_of(b, PROGRESS, "b")]

    exchange = storage.exchange(1, [completed(a), completed(b)], None, NOW, notes)

    assert [outcome.seq for outcome in exchange.stale] == [a.seq]
    assert [[log.message for log in storage.logs(name)] for name in "ab"] == [[], ["b"]]
    assert [storage.progress(name) for name in "ab"] == [None, READ]


def test_of_many_records_of_a_job_the_oldest_go(storage, running):
    storage.note([notes_of(running, None, *map(str, range(1, 1991)))])
    storage.note([notes_of(running, None, *map(str, range(1991, 2006)))])

    kept = storage.logs("a")
    assert [log.message for log in kept] == [str(number) for number in range(6, 2006)]
    assert [log.number for log in kept] == list(range(6, 2006))


def test_a_deleted_job_takes_its_notes_along(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    a, b = claim(storage)
    storage.note([notes_of(a, PROGRESS, "a"), notes_of(b, PROGRESS, "b")])
    settle(storage, completed(a))
    storage.delete("a")

    for table in ("progress", "log"):
        rows = execute(storage, f"SELECT seq FROM sqlitejob_{table}")
        assert rows == [(b.seq,)]


def test_a_job_that_is_requeued_starts_without_progress_and_keeps_its_logs(storage, running):
    storage.note([notes_of(running, PROGRESS, "the first time")])
    settle(storage, failed(running))
    storage.requeue("a", NOW)

    assert storage.progress("a") is None
    (again,) = claim(storage)
    storage.note([notes_of(again, None, "the second time")])
    assert [log.message for log in storage.logs("a")] == ["the first time", "the second time"]


@pytest.mark.parametrize(
    ("meta", "wanted", "matches"),
    [
        ('{"customer":42}', {"customer": 42}, True),
        ('{"customer":42}', {"customer": 42.0}, True),
        ('{"customer":42.0}', {"customer": 42}, True),
        ('{"customer":42}', {"customer": 43}, False),
        ('{"customer":42}', {"customer": "42"}, False),
        ('{"customer":"42"}', {"customer": 42}, False),
        ('{"rate":0.1}', {"rate": 0.1}, True),
        ('{"flag":true}', {"flag": True}, True),
        ('{"flag":true}', {"flag": 1}, False),
        ('{"flag":1}', {"flag": True}, False),
        ('{"flag":false}', {"flag": True}, False),
        ('{"flag":false}', {"flag": False}, True),
        ('{"flag":false}', {"flag": None}, False),
        ('{"gone":null}', {"gone": None}, True),
        ("{}", {"gone": None}, False),
        (None, {"gone": None}, False),
        ('{"a":{"b":1}}', {"b": 1}, False),
        ('{"a":[1]}', {"a": 1}, False),
        ('{"a":1,"b":"x"}', {"a": 1, "b": "x"}, True),
        ('{"a":1,"b":"x"}', {"a": 1, "b": "y"}, False),
        (r'{"\u00fc \"$.[0]\\":"\u00e9\u0027"}', {'ü "$.[0]\\': "é'"}, True),
        ('{"":""}', {"": ""}, True),
        ('{"n":9223372036854775807}', {"n": 2**63 - 1}, True),
    ],
)
def test_jobs_are_found_by_what_their_metadata_says(storage, meta, wanted, matches):
    storage.enqueue([new_job("a", meta=meta)])
    found = storage.find(JobFilter(meta=tuple(wanted.items())))
    assert [job.id for job in found] == (["a"] if matches else [])
