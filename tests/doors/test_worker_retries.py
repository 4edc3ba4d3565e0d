"""Tries: how often a job is tried, when the next one is, and what a job decides for itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sqlite_job import Backoff, Cancel, JobCancelledError, JobStatus, Retry, Snooze, SQLiteJob, current_job, task
from tests.doors.making import as_kind, drain, execute, kinds, run_all, settings_of

AT_ONCE = Backoff(first=0)


class Script:
    """A function that does one thing after another, one each time it is called."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.tries = []

    def __call__(self):
        self.tries.append(current_job().tries)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, BaseException):
            raise step
        return step


@kinds
def test_a_job_is_tried_once_unless_asked(database, kind):
    script = Script(ValueError("no"))
    settings = settings_of(database, as_kind(script, kind))
    job = SQLiteJob("default", settings).enqueue("work")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries, script.tries) == (JobStatus.FAILED, 1, [1])


@kinds
def test_a_job_is_tried_until_it_succeeds_and_keeps_the_history(database, kind):
    script = Script(ValueError("first"), KeyError("second"), "done")
    settings = settings_of(database, as_kind(script, kind), max_tries=5, backoff=AT_ONCE)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("work")

    (info,) = run_all(settings, job)

    assert job.result(timeout=0) == "done"
    assert (info.tries, script.tries, info.error) == (3, [1, 2, 3], None)
    assert [(f.try_number, f.summary) for f in jobs.failures(job)] == [
        (1, "ValueError: first"),
        (2, "KeyError: 'second'"),
    ]


@kinds
def test_a_job_whose_tries_are_all_used_fails_with_the_last_one(database, kind):
    script = Script(ValueError("first"), ValueError("second"), ValueError("third"))
    settings = settings_of(database, as_kind(script, kind), max_tries=3, backoff=AT_ONCE)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("work")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries, info.error) == (JobStatus.FAILED, 3, "ValueError: third")
    assert len(jobs.failures(job)) == 3


@pytest.mark.parametrize(
    ("of_settings", "of_task", "of_call", "tries"),
    [
        (1, None, None, 1),
        (2, None, None, 2),
        (2, 3, None, 3),
        (3, 1, None, 1),
        (2, 3, 4, 4),
        (4, 3, 1, 1),
        (3, None, 1, 1),
    ],
)
def test_max_tries_of_the_call_go_before_the_tasks_and_those_before_the_settings(
    database, of_settings, of_task, of_call, tries
):
    script = Script(ValueError("no"))
    settings = settings_of(
        database, as_kind(script, "plain", max_tries=of_task), max_tries=of_settings, backoff=AT_ONCE
    )
    job = SQLiteJob("default", settings).with_options(max_tries=of_call).enqueue("work")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries, len(script.tries)) == (JobStatus.FAILED, tries, tries)


def test_max_tries_seen_from_inside_are_those_that_count(database):
    settings = settings_of(database, task(lambda: current_job().max_tries, name="work", max_tries=3), max_tries=2)
    jobs = SQLiteJob("default", settings)
    of_task, of_call = jobs.enqueue("work"), jobs.with_options(max_tries=7).enqueue("work")

    run_all(settings, of_task, of_call)

    assert (of_task.result(timeout=0), of_call.result(timeout=0)) == (3, 7)


@kinds
def test_a_burst_does_the_tries_that_are_due_at_once_and_counts_each(database, kind):
    script = Script(ValueError("first"), "done")
    settings = settings_of(database, as_kind(script, kind), max_tries=2, backoff=Backoff(first=0, jitter=0))
    job = SQLiteJob("default", settings).enqueue("work")

    assert drain(settings) == 2
    assert job.result(timeout=0) == "done"


@kinds
def test_a_job_waits_out_its_back_off(database, kind):
    settings = settings_of(
        database, as_kind(Script(ValueError("no")), kind), max_tries=2, backoff=Backoff(first=600, jitter=0)
    )
    job = SQLiteJob("default", settings).enqueue("work")

    assert drain(settings) == 1
    info = job.info()
    assert (info.status, info.tries, info.finished_at, info.worker_id) == (JobStatus.SCHEDULED, 1, None, None)
    assert info.error == "ValueError: no"
    assert timedelta(seconds=599) < info.run_at - info.started_at < timedelta(seconds=660)
    assert drain(settings) == 0


@kinds
def test_the_back_off_of_the_task_goes_before_that_of_the_settings(database, kind):
    function = as_kind(Script(ValueError("no"), "done"), kind, backoff=AT_ONCE)
    settings = settings_of(database, function, max_tries=2, backoff=Backoff(first=3600))
    job = SQLiteJob("default", settings).enqueue("work")

    run_all(settings, job)

    assert job.result(timeout=0) == "done"


@kinds
@pytest.mark.parametrize(
    ("options", "error", "tries"),
    [
        ({"retry_on": OSError}, ConnectionError("no"), 3),
        ({"retry_on": OSError}, ValueError("no"), 1),
        ({"give_up_on": ValueError}, ValueError("no"), 1),
        ({"give_up_on": (KeyError, ValueError)}, OSError("no"), 3),
        ({}, SystemExit(3), 1),
        ({}, asyncio.CancelledError(), 1),
        ({"retry_on": SystemExit}, SystemExit(3), 3),
    ],
)
def test_only_chosen_exceptions_are_tried_again(database, kind, options, error, tries):
    settings = settings_of(database, as_kind(Script(error), kind, **options), max_tries=3, backoff=AT_ONCE)
    job = SQLiteJob("default", settings).enqueue("work")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries) == (JobStatus.FAILED, tries)


# ---- what a job decides ----------------------------------------------------------------------------------------------


@kinds
def test_a_retry_counts_as_a_try_and_the_last_one_fails(database, kind):
    settings = settings_of(database, as_kind(Script(Retry(0)), kind, retry_on=(), give_up_on=Exception), max_tries=3)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("work")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries) == (JobStatus.FAILED, 3)
    assert info.error.endswith("Retry: retry in 0 s")
    assert len(jobs.failures(job)) == 3


@kinds
def test_a_retry_says_when(database, kind):
    settings = settings_of(database, as_kind(Script(Retry(timedelta(hours=1))), kind), max_tries=2, backoff=AT_ONCE)
    job = SQLiteJob("default", settings).enqueue("work")

    drain(settings)

    info = job.info()
    assert (info.status, info.tries) == (JobStatus.SCHEDULED, 1)
    assert timedelta(seconds=3599) < info.run_at - info.started_at < timedelta(seconds=3660)


@kinds
def test_a_retry_without_a_delay_follows_the_back_off(database, kind):
    settings = settings_of(database, as_kind(Script(Retry(), "done"), kind), max_tries=2, backoff=AT_ONCE)
    job = SQLiteJob("default", settings).enqueue("work")

    run_all(settings, job)

    assert job.result(timeout=0) == "done"


@kinds
def test_a_snooze_does_not_count_as_a_try(database, kind):
    script = Script(Snooze(0), Snooze(0), Snooze(0), "done")
    settings = settings_of(database, as_kind(script, kind), max_tries=1)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue("work")

    (info,) = run_all(settings, job)

    assert job.result(timeout=0) == "done"
    assert (info.tries, script.tries) == (1, [1, 1, 1, 1])
    assert jobs.failures(job) == []


@kinds
def test_a_snoozed_job_waits_and_keeps_its_tries(database, kind):
    settings = settings_of(database, as_kind(Script(Snooze(3600)), kind))
    job = SQLiteJob("default", settings).enqueue("work")

    assert drain(settings) == 1
    info = job.info()
    assert (info.status, info.tries, info.error) == (JobStatus.SCHEDULED, 0, None)
    assert timedelta(seconds=3599) < info.run_at - info.started_at < timedelta(seconds=3660)


@kinds
@pytest.mark.parametrize(
    ("reason", "kept"),
    [("no longer needed", "no longer needed"), ("", None), ("a\x00b", None), ("\ud800", None), ("x" * 100_000, None)],
    ids=["text", "none", "NUL", "surrogate", "long"],
)
def test_a_cancel_ends_the_job_without_a_failure_whatever_the_reason(database, kind, reason, kept):
    settings = settings_of(database, as_kind(Script(Cancel(reason), "done"), kind), max_tries=3, max_jobs=1)
    jobs = SQLiteJob("default", settings)
    job, after = jobs.enqueue("work"), jobs.enqueue("work")

    info, _ = run_all(settings, job, after)

    assert (info.status, info.tries) == (JobStatus.CANCELLED, 1)
    assert jobs.failures(job) == []
    assert after.result(timeout=0) == "done"
    if kept is not None:
        assert info.error == kept
        with pytest.raises(JobCancelledError, match=kept):
            job.result(timeout=0)


class OwnCancel(Cancel):
    def __init__(self):
        """Say nothing to the base."""


class OwnRetry(Retry):
    def __init__(self):
        """Say nothing to the base."""


class OwnSnooze(Snooze):
    def __init__(self):
        """Say nothing to the base."""


@kinds
@pytest.mark.parametrize("error", [OwnCancel(), OwnRetry(), OwnSnooze()], ids=lambda error: type(error).__name__)
def test_a_decision_of_ones_own_class_that_lacks_its_facts_ends_its_job_and_nothing_else(database, kind, error):
    settings = settings_of(database, as_kind(Script(error, "done"), kind), max_jobs=1, max_tries=2, backoff=AT_ONCE)
    jobs = SQLiteJob("default", settings)
    first, second = jobs.enqueue("work"), jobs.enqueue("work")

    infos = run_all(settings, first, second)

    assert all(info.status.is_final for info in infos)


@kinds
def test_a_job_of_very_many_tries_goes_on_being_tried(database, kind):
    # The power of the back-off overflows a float at some time; the try must not be lost for that.
    script = Script(ValueError("no"))
    backoff = Backoff(factor=10, max=0)
    settings = settings_of(database, as_kind(script, kind), max_tries=10_000, backoff=backoff)
    job = SQLiteJob("default", settings).enqueue("work")
    execute(database, "UPDATE sqlitejob_job SET tries=9997")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries, len(script.tries)) == (JobStatus.FAILED, 10_000, 3)
