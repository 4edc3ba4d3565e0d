from __future__ import annotations

import json
import os
import socket

from sqlite_job import JobStatus, Worker, WorkerSettings
from tests.cli.conftest import DATABASE


def add(a, b):
    return a + b


def divide(a, b):
    return a / b


class Settings(WorkerSettings):
    functions = [add, divide]
    database = DATABASE


def test_status_counts_the_jobs_of_each_queue(run, jobs, work, folder):
    jobs.enqueue("divide", 1, 0)
    jobs.enqueue("add", 1, 2)
    work(add, divide)
    jobs.with_options(queue="high").enqueue("add", 1, 2)
    lines = run("status").out.splitlines()
    assert lines[0] == f"Database {folder / DATABASE}"
    assert [line.split() for line in lines[2:5]] == [
        ["Queue", "pending", "running", "completed", "failed"],
        ["default", "0", "0", "1", "1"],
        ["high", "1", "0", "0", "0"],
    ]
    assert lines[-1] == "No workers"


def test_a_status_that_no_job_has_takes_no_room(run, jobs):
    jobs.enqueue("add", 1, 2)
    assert "scheduled" not in run("status").out
    jobs.with_options(delay=60).enqueue("add", 1, 2)
    assert "scheduled" in run("status").out


def test_status_lists_the_workers(run, jobs):
    with Worker(["high", "default"], Settings()).running_in_background():
        out = run("status").out
    *_, header, row = out.splitlines()
    assert header.split() == ["Worker", "Host", "PID", "Queues", "Age", "Seen"]
    assert row.split()[:5] == ["1", socket.gethostname(), str(os.getpid()), "high,", "default"]
    assert "No jobs" in out


def test_as_json_every_queue_has_every_status(run, jobs, folder):
    jobs.enqueue("add", 1, 2)
    with Worker(["high", "low"], Settings()).running_in_background():
        facts = json.loads(run("status", "--json").out)
    assert facts["database"] == str(folder / DATABASE)
    counts = {one.value: int(one == "pending") for one in JobStatus}
    assert facts["queues"] == [{"queue": "default", **counts, "paused_at": None}]
    (worker,) = facts["workers"]
    assert set(worker) == {"id", "host", "pid", "queues", "started_at", "heartbeat_at"}
    assert worker["queues"] == ["high", "low"]
    assert worker["started_at"].endswith("+00:00")
