"""Job, the handle: an id that is a str everywhere, with methods."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from sqlite_job import InvalidNameError, Job, JobNotFoundError, JobStatus, SQLiteJob
from tests.doors.making import drain, settings_of


def echo(value):
    return value


@pytest.fixture
def settings(database):
    return settings_of(database, echo)


@pytest.fixture
def job(settings):
    return SQLiteJob("default", settings).enqueue("echo", "hello")


def test_a_job_is_its_id(job):
    plain = job.id

    assert isinstance(job, Job)
    assert isinstance(job, str)
    assert type(plain) is str
    assert job == plain
    assert hash(job) == hash(plain)
    assert {plain: 1}[job] == 1
    assert len(job) == 36


def test_a_job_is_shown_and_written_as_its_id(job):
    assert f"{job}" == str(job) == "%s" % job == "{}".format(job) == job.id  # noqa: UP031, UP032 - each way of showing it
    assert f"{job:>40}" == " " * 4 + job.id
    assert repr(job) == repr(job.id)
    assert json.dumps({"job": job}) == json.dumps({"job": job.id})
    assert type(str(job)) is str


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_job_is_the_plain_id(job, protocol):
    found = pickle.loads(pickle.dumps(job, protocol))

    assert type(found) is str
    assert found == job.id


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_copied_job_is_the_plain_id(job, copier):
    assert type(copier(job)) is str
    assert copier([job]) == [job.id]


def test_a_job_can_be_the_argument_and_the_result_of_another(settings, job):
    jobs = SQLiteJob("default", settings)
    other = jobs.enqueue("echo", job)

    drain(settings)

    assert type(other.result(timeout=0)) is str
    assert jobs.job(other.result(timeout=0)).result(timeout=0) == "hello"


def test_a_job_tells_its_status_and_all_that_is_known(settings, job):
    assert job.status() is JobStatus.PENDING
    assert job.info().arguments == "'hello'"

    drain(settings)

    info = job.info()
    assert job.status() is info.status is JobStatus.COMPLETED
    assert (info.id, info.result, info.tries, info.error) == (job.id, "'hello'", 1, None)
    assert info.created_at <= info.started_at <= info.finished_at
    assert info.created_at.tzinfo is not None


def test_a_handle_can_be_made_of_a_stored_id(settings, job):
    drain(settings)

    again = SQLiteJob(database=settings.location).job(job.id)

    assert again == job
    assert again.result(timeout=0) == "hello"


def test_a_handle_of_an_unknown_id_is_found_out_when_it_is_used(jobs):
    handle = jobs.job("no-such-job")

    for use in (handle.status, handle.info, handle.result):
        with pytest.raises(JobNotFoundError, match="No job with the id 'no-such-job'"):
            use()


def test_a_job_outlives_the_name_of_its_door(settings):
    job = SQLiteJob("default", settings).with_options(priority=1).enqueue("echo", 1)

    drain(settings)

    assert job.result(timeout=0) == 1


@pytest.mark.parametrize("not_an_id", [None, 5, b"bytes"])
def test_an_id_is_text(jobs, not_an_id):
    for use in (jobs.job, jobs.get_job, jobs.get_job_result, jobs.failures, jobs.delete, jobs.requeue):
        with pytest.raises(InvalidNameError, match="A job id is text, not "):
            use(not_an_id)


@pytest.mark.parametrize("odd", ["", "\ud800", "a\x00b", "x" * 100_000, "' OR 1=1 --"])
def test_any_text_that_is_no_jobs_id_is_not_found(jobs, odd):
    for use in (jobs.get_job, jobs.get_job_result, jobs.delete, jobs.requeue):
        with pytest.raises(JobNotFoundError):
            use(odd)
