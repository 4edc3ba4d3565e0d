from __future__ import annotations

import json

import pytest

from sqlite_job import JobStatus
from tests.cli.conftest import DATABASE


def add(a, b):
    return a + b


@pytest.fixture
def waiting(jobs):
    jobs.enqueue("add", 1, 2)


def test_pause_and_resume_say_what_they_changed(run, jobs, waiting):
    assert run("pause", "default", "mail") == (0, "Paused the queue 'default'\nPaused the queue 'mail'\n", "")
    assert run("pause", "mail") == (0, "", "The queue 'mail' was paused already\n")
    assert list(jobs.paused_queues()) == ["default", "mail"]
    assert run("resume", "mail") == (0, "Resumed the queue 'mail'\n", "")
    assert run("resume", "mail") == (0, "", "The queue 'mail' was not paused\n")


def test_a_paused_queue_is_not_worked_on(run, jobs, work, waiting):
    run("pause", "default")
    assert work(add) == 0
    run("resume", "default")
    assert work(add) == 1


def test_status_shows_what_is_paused_also_without_jobs(run, jobs, waiting):
    assert "Paused" not in run("status").out
    run("pause", "mail")
    lines = [line.split() for line in run("status").out.splitlines()]
    assert lines[2] == ["Queue", "pending", "running", "completed", "failed", "Paused"]
    assert lines[3] == ["default", "1", "0", "0", "0"]
    assert lines[4][:-1] == ["mail", "0", "0", "0", "0"]
    assert lines[4][-1].endswith("s")


def test_as_json_they_are_lists_and_a_time(run, jobs, waiting):
    run("pause", "mail")
    assert json.loads(run("pause", "mail", "default", "mail", "--json").out) == {
        "paused": ["default"],
        "unchanged": ["mail"],
    }
    assert json.loads(run("resume", "mail", "other", "--json").out) == {"resumed": ["mail"], "unchanged": ["other"]}
    (queue,) = json.loads(run("status", "--json").out)["queues"]
    assert queue["paused_at"] == jobs.paused_queues()["default"].isoformat(timespec="microseconds")


def test_waiting_for_a_job_of_a_paused_queue_says_so(run, jobs):
    job = jobs.enqueue("add", 1, 2)
    run("pause", "default")
    ended = run("wait", job, "--timeout", "10ms")
    assert ended.code == 4
    assert "The queue 'default' is paused; go on: sqlite-job resume default\n" in ended.err


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_what_cannot_be_done_is_refused(run, waiting, command):
    assert run(command).code == 2
    ended = run(command, "")
    assert ended.code == 2
    assert "queue name must not be empty" in ended.err


@pytest.mark.parametrize("command", ["pause", "resume", "prune"])
def test_without_a_database_nothing_is_made(run, folder, command):
    ended = run(command, *([] if command == "prune" else ["default"]))
    assert ended.code == 5
    assert not (folder / DATABASE).exists()


# ---- worker --queue NAME=WEIGHT


def test_a_worker_serves_queues_by_weight(run, tasks, jobs):
    for queue in ("high", "default"):
        jobs.with_options(queue=queue).enqueue("add_numbers", 1, 2)
    ended = run("worker", "my_tasks.MyWorkerSettings", "--queue", "high=3", "--queue", "default", "--burst")
    assert (ended.code, ended.out) == (0, "Ran 2 jobs\n")
    assert {job.queue for job in jobs.list_jobs(status=JobStatus.COMPLETED)} == {"high", "default"}


def test_a_name_may_have_an_equals_sign(run, tasks, jobs):
    """Only what is a number behind the last one is a weight."""
    for queue in ("a=b", "a=1"):
        jobs.with_options(queue=queue).enqueue("add_numbers", 1, 2)
    for queue in ("a=b", "a=1=1"):
        ended = run("worker", "my_tasks.MyWorkerSettings", "--queue", queue, "--burst")
        assert ended.out == "Ran 1 job\n"


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
@pytest.mark.parametrize(
    ("queues", "message"),
    [
        (("high=0",), "the weight of queue 'high' is a whole number from 1, not 0"),
        (("high=2", "high"), "--queue names a queue twice: high=2, high."),
        (("high=2", "high=3"), "--queue names a queue twice: high=2, high=3."),
        (("high", "high"), "a worker serves one queue or several different ones"),
        (("",), "queue name must not be empty"),
    ],
)
def test_queues_that_cannot_be_served_are_refused_once(run, tasks, queues, message, processes):
    words = [word for queue in queues for word in ("--queue", queue)]
    ended = run("worker", "my_tasks.MyWorkerSettings", *words, *processes)
    assert ended.code == 2
    assert ended.err.count(message) == 1
