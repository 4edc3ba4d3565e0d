from __future__ import annotations

import json
import threading

import pytest

from sqlite_job import JobNotFoundError, JobStatus, Worker, WorkerSettings
from tests.cli.conftest import DATABASE


def add(a, b):
    return a + b


@pytest.fixture
def finished(jobs, work):
    jobs.with_options(job_id="a").enqueue("add", 1, 2)
    jobs.with_options(job_id="b").enqueue("add", 3, 4)
    work(add)
    jobs.with_options(job_id="c").enqueue("add", 5, 6)


def test_delete_deletes_and_says_so(run, jobs, finished):
    assert run("delete", "a", "c") == (0, "Deleted a\nDeleted c\n", "")
    assert [job.id for job in jobs.list_jobs()] == ["b"]


def test_cancel_cancels_what_waits_and_keeps_the_reason(run, jobs, finished):
    assert run("cancel", "c", "--reason", "typed twice") == (0, "Cancelled c\n", "")
    assert (jobs.get_job("c").status, jobs.get_job("c").error) == (JobStatus.CANCELLED, "typed twice")


def test_what_has_ended_cannot_be_cancelled(run, finished):
    ended = run("cancel", "a", "c")
    assert (ended.code, ended.out) == (6, "Cancelled c\n")
    assert ended.err == "Error: Cannot cancel job 'a': it is completed; it has ended already\n"


def test_requeue_makes_finished_jobs_pending_again(run, jobs, finished):
    assert run("requeue", "a", "b", "a") == (0, "Requeued a\nRequeued b\n", "")
    assert jobs.counts()[JobStatus.PENDING] == 3


def test_what_cannot_be_done_is_told_and_the_rest_is_done(run, jobs, finished):
    ended = run("requeue", "c", "nope", "a")
    assert (ended.code, ended.out) == (6, "Requeued a\n")
    assert ended.err.splitlines() == [
        "Error: Cannot requeue job 'c': it is pending; only a finished job can be run again",
        "Error: No job with the id 'nope'; it never existed here, or was deleted since",
    ]


def test_the_exit_code_is_that_of_the_first_problem(run, finished):
    assert run("requeue", "nope", "c").code == 3
    assert run("delete", "a", "nope").code == 3


def test_as_json_what_was_done_and_what_was_not(run, finished):
    ended = run("requeue", "a", "c", "--json")
    assert ended.code == 6
    assert json.loads(ended.out) == {
        "requeued": ["a"],
        "problems": [
            {"id": "c", "error": "Cannot requeue job 'c': it is pending; only a finished job can be run again"}
        ],
    }
    assert json.loads(run("delete", "a", "--json").out) == {"deleted": ["a"], "problems": []}


@pytest.mark.parametrize("command", ["delete", "requeue"])
def test_without_an_id_it_is_a_usage_error(run, finished, command):
    assert run(command).code == 2


def test_a_job_that_runs_is_not_deleted(run, jobs, folder):
    running, may_end = threading.Event(), threading.Event()

    def hold():
        running.set()
        may_end.wait(60)

    settings = type("Holding", (WorkerSettings,), {"functions": [hold]})
    with Worker("default", settings(folder / DATABASE)).running_in_background():
        job = jobs.enqueue("hold")
        assert running.wait(60)
        ended = run("delete", job)
        may_end.set()
        job.result(60)
    assert (ended.code, ended.out) == (6, "")
    assert "it is running; " in ended.err
    assert run("delete", job).code == 0
    with pytest.raises(JobNotFoundError):
        jobs.get_job(job)
