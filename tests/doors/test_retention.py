"""How long finished jobs are kept: the settings, what a worker does by itself, and prune."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sqlite_job import (
    InvalidNameError,
    InvalidOptionError,
    JobNotFoundError,
    JobStatus,
    SettingsError,
    SQLiteJob,
    Worker,
    WorkerSettings,
    task,
)
from sqlite_job.core.clock import SECOND
from sqlite_job.core.events import JobsPruned
from tests.doors.making import count_jobs, drain, execute, settings_of, wait_until

DAY = 24 * 3600


def echo(value=None):
    return value


def fail():
    raise ValueError("no")


@pytest.fixture
def settings(database):
    return settings_of(database, echo, fail)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)


def age(database, seconds):
    """Let all that has ended have done so longer ago."""
    execute(database, "UPDATE sqlitejob_job SET finished_at = finished_at - ?", round(seconds * SECOND))


def left(jobs):
    return sorted(str(info.id) for info in jobs.list_jobs(limit=1000))


# ---- settings --------------------------------------------------------------------------------------------------------


def test_finished_jobs_are_kept_for_a_week_and_failed_ones_for_a_month_unless_told_otherwise():
    assert (WorkerSettings.keep_result, WorkerSettings.keep_failed) == (timedelta(days=7), timedelta(days=30))


@pytest.mark.parametrize("knob", ["keep_result", "keep_failed"])
@pytest.mark.parametrize("wrong", [-1, "7d", timedelta(days=-1), float("nan"), True])
def test_a_period_that_is_none_is_refused(database, knob, wrong):
    with pytest.raises(SettingsError, match=knob):
        settings_of(database, echo, **{knob: wrong})
    with pytest.raises(ValueError, match=knob):
        task(echo, **{knob: wrong})


@pytest.mark.parametrize(
    ("knobs", "options", "kept"),
    [
        ({}, {}, (7 * DAY, 30 * DAY)),
        ({"keep_result": 60, "keep_failed": None}, {}, (60, None)),
        ({"keep_result": 60}, {"keep_result": timedelta(hours=1)}, (3600, 30 * DAY)),
        ({"keep_failed": 60}, {"keep_result": None, "keep_failed": 0}, (None, 0)),
    ],
)
def test_the_word_of_the_function_goes_before_that_of_the_settings(database, knobs, options, kept):
    retention = settings_of(database, task(echo, **options), **knobs).retention

    found = (retention.of("echo", JobStatus.COMPLETED), retention.of("echo", JobStatus.FAILED))
    assert found == tuple(None if seconds is None else seconds * SECOND for seconds in kept)
    assert retention.of("echo", JobStatus.CANCELLED) == found[0]


# ---- what a worker does by itself ------------------------------------------------------------------------------------


def test_a_worker_prunes_what_has_been_kept_for_its_time(jobs, settings, database):
    old, old_failed = jobs.enqueue("echo"), jobs.enqueue("fail")
    drain(settings)
    age(database, 8 * DAY)
    new = jobs.enqueue("echo")
    events = []
    worker = Worker("default", settings)
    worker.subscribe(events.append)
    with worker.running_in_background():
        assert new.result(20) is None
        wait_until(lambda: left(jobs) == sorted([old_failed, new]))
        wait_until(lambda: JobsPruned(1) in events)

    with pytest.raises(JobNotFoundError):
        old.result(timeout=0)
    assert jobs.failures(old_failed)


def test_a_worker_leaves_the_jobs_of_other_queues_and_functions_alone(jobs, settings, database):
    """Another class of settings may keep them longer."""
    elsewhere = jobs.with_options(queue="elsewhere").enqueue("echo")
    drain(settings, "elsewhere")
    mine = jobs.enqueue("echo")
    unknown = jobs.enqueue("fail")
    drain(settings)
    age(database, 100 * DAY)

    with Worker("default", settings_of(database, echo)).running_in_background():
        wait_until(lambda: mine not in left(jobs))
    assert left(jobs) == sorted([elsewhere, unknown])


def test_the_rows_stay_few_while_jobs_flow_and_are_not_kept(database):
    settings = settings_of(database, echo, keep_result=0)
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        for number in range(5):
            # Their results are gone at once, so it is the rows that tell.
            for _ in range(200):
                jobs.enqueue("echo", number)
        wait_until(lambda: count_jobs(database) == 0)
    for table in ("payload", "result"):
        assert execute(database, f"SELECT count(*) FROM sqlitejob_{table}") == [(0,)]


# ---- prune -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ended(jobs, settings, database):
    """A completed, a failed and a cancelled job, of three weeks ago; and a completed one on another queue."""
    made = {
        "completed": jobs.enqueue("echo"),
        "failed": jobs.enqueue("fail"),
        "other": jobs.with_options(queue="other").enqueue("echo"),
    }
    drain(settings, ["default", "other"])
    made["cancelled"] = jobs.enqueue("echo")
    made["cancelled"].cancel()
    age(database, 21 * DAY)
    return made


def test_prune_deletes_what_the_settings_keep_no_longer(jobs, ended):
    assert jobs.prune(dry_run=True) == 3
    assert jobs.prune() == 3
    assert left(jobs) == [ended["failed"]]
    assert jobs.prune() == 0


def test_prune_without_settings_goes_by_their_defaults(ended, database):
    jobs = SQLiteJob("default", database=database)

    assert jobs.prune() == 3
    assert left(jobs) == [ended["failed"]]


def test_prune_heeds_what_is_said_of_a_function(ended, database):
    settings = settings_of(database, task(echo, keep_result=None), task(fail, keep_failed=DAY))
    jobs = SQLiteJob("default", settings)

    assert jobs.prune() == 1
    assert ended["failed"] not in left(jobs)


@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        ({"older_than": 22 * DAY}, []),
        ({"older_than": timedelta(days=20)}, ["completed", "failed", "cancelled", "other"]),
        ({"older_than": 0, "status": "failed"}, ["failed"]),
        ({"older_than": 0, "status": JobStatus.CANCELLED}, ["cancelled"]),
        ({"older_than": 0, "queue": "other"}, ["other"]),
        ({"older_than": 0, "function": "fail"}, ["failed"]),
        ({"older_than": 0, "function": "echo", "queue": "default", "status": "completed"}, ["completed"]),
        ({"queue": "nowhere"}, []),
        ({"status": "failed"}, []),
        ({"status": "completed"}, ["completed", "other"]),
    ],
)
def test_all_that_is_given_must_match(jobs, ended, wanted, gone):
    assert jobs.prune(**wanted, dry_run=True) == len(gone)
    assert len(left(jobs)) == 4
    assert jobs.prune(**wanted) == len(gone)
    assert left(jobs) == sorted(job for name, job in ended.items() if name not in gone)


def test_jobs_that_have_not_ended_are_never_pruned(jobs):
    jobs.enqueue("echo")
    jobs.with_options(delay=60).enqueue("echo")

    assert jobs.prune(older_than=0) == 0
    assert len(left(jobs)) == 2


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (
            {"status": "running"},
            InvalidOptionError,
            "only finished jobs are pruned: completed, failed or cancelled, not r",
        ),
        ({"status": "done"}, InvalidOptionError, "no status 'done'"),
        ({"older_than": -1}, InvalidOptionError, "older_than: a duration is from 0"),
        ({"older_than": "7d"}, InvalidOptionError, "older_than: a duration is a number"),
        ({"queue": ""}, InvalidNameError, "queue name must not be empty"),
        ({"function": ""}, InvalidNameError, "function name must not be empty"),
    ],
)
def test_what_cannot_match_is_refused(jobs, ended, wanted, error, message):
    with pytest.raises(error, match=message):
        jobs.prune(**wanted)
    assert len(left(jobs)) == 4
