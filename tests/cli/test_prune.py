from __future__ import annotations

import json
import sqlite3

import pytest

from sqlite_job import JobStatus
from tests.cli.conftest import DATABASE

DAY = 24 * 3600


def add(a, b):
    return a + b


def divide(a, b):
    return a / b


@pytest.fixture
def ended(jobs, work, folder):
    """Three completed jobs and a failed one, of ten days ago, and one that waits."""
    for number in range(3):
        jobs.enqueue("add", number, 1)
    jobs.enqueue("divide", 1, 0)
    work(add, divide)
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("UPDATE sqlitejob_job SET finished_at = finished_at - ?", (10 * DAY * 1_000_000,))
    connection.close()
    jobs.enqueue("add", 1, 1)


def test_without_options_it_prunes_what_workers_would_by_default(run, jobs, ended):
    assert run("prune") == (0, "Pruned 3 jobs\n", "")
    assert {job.status for job in jobs.list_jobs()} == {JobStatus.FAILED, JobStatus.PENDING}
    assert run("prune") == (0, "Pruned 0 jobs\n", "")


def test_a_dry_run_only_counts(run, jobs, ended):
    assert run("prune", "--older-than", "1d", "--dry-run") == (0, "Would prune 4 jobs\n", "")
    assert len(jobs.list_jobs()) == 5


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--older-than", "9d"), 4),
        (("--older-than", "11d"), 0),
        (("--older-than", "9d", "--status", "failed"), 1),
        (("--older-than", "9d", "--status", "cancelled"), 0),
        (("--older-than", "240h", "--function", "add"), 3),
        (("--older-than", "0", "--queue", "other"), 0),
        (("--older-than", "0", "--queue", "default", "--status", "COMPLETED"), 3),
    ],
)
def test_all_of_the_filters_must_match(run, jobs, ended, words, count):
    assert run("prune", *words).out == f"Pruned {count} job{'' if count == 1 else 's'}\n"
    assert len(jobs.list_jobs()) == 5 - count


def test_as_json(run, ended):
    assert json.loads(run("prune", "--dry-run", "--json").out) == {"pruned": 3, "dry_run": True}
    assert json.loads(run("prune", "--json").out) == {"pruned": 3, "dry_run": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--older-than", "a week"), "'a week' is no duration"),
        (("--status", "running"), "'running' is not one of 'completed', 'failed', 'cancelled'"),
        (("--queue", ""), "queue name must not be empty"),
    ],
)
def test_what_cannot_be_is_a_usage_error(run, jobs, ended, words, message):
    ended_with = run("prune", *words)
    assert ended_with.code == 2
    assert message in ended_with.err
    assert len(jobs.list_jobs()) == 5
