from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import JobStatus, SQLiteJob
from tests.cli.conftest import DATABASE


def echo(*args, **kwargs):
    return args, kwargs


def test_enqueue_prints_the_id_and_tells_what_it_understood(run, jobs, folder):
    ended = run("enqueue", "echo", "1", "two", "three=[3]")
    job = jobs.get_job(ended.out.strip())
    assert (ended.code, job.function, job.queue, job.status) == (0, "echo", "default", JobStatus.PENDING)
    assert ended.err == (
        f"Enqueued echo(1, 'two', three=[3]) in the queue 'default' of the new database {folder / DATABASE}\n"
    )


def test_the_function_gets_the_arguments_as_they_were_meant(run, jobs, work):
    job_id = run("enqueue", "echo", "1", "-2", "two", '"3"', "four=null", "five=x y").out.strip()
    work(echo)
    assert jobs.get_job_result(job_id) == ((1, -2, "two", "3"), {"four": None, "five": "x y"})


def test_a_worker_that_refuses_pickles_takes_what_the_command_line_enqueued(run, jobs, work):
    job_id = run("enqueue", "echo", "1").out.strip()
    work(echo, serializer="json", accept=("json",))
    assert jobs.get_job(job_id).status is JobStatus.COMPLETED


def test_the_options_reach_the_job(run, jobs):
    run(
        "enqueue",
        "f",
        "--queue",
        "low",
        "--priority",
        "-3",
        "--tag",
        "a",
        "--tag",
        "b",
        "--job-id",
        "mine",
        "--delay",
        "2h",
    )
    job = jobs.get_job("mine")
    assert (job.queue, job.priority, job.tags, job.status) == ("low", -3, ("a", "b"), JobStatus.SCHEDULED)
    assert timedelta(minutes=119) < job.run_at - datetime.now(timezone.utc) <= timedelta(hours=2)


def test_options_may_stand_after_the_arguments(run, jobs):
    run("enqueue", "f", "1", "--job-id", "mine", "x=2")
    assert jobs.get_job("mine").arguments == "1, x=2"


def test_a_misspelt_option_is_no_argument(run, folder):
    ended = run("enqueue", "f", "1", "--dleay", "5")
    assert ended.code == 2
    assert "No such option: --dleay (did you mean '--delay'?); to give it to the function, write --" in ended.err
    assert not (folder / DATABASE).exists()


def test_what_follows_two_dashes_goes_to_the_function(run, jobs):
    job_id = run("enqueue", "f", "-1", "--", "--delay", "-x").out.strip()
    assert jobs.get_job(job_id).arguments == "-1, '--delay', '-x'"


def test_an_id_that_exists_is_left_as_it_is_and_said_so(run, jobs):
    run("enqueue", "f", "1", "--job-id", "mine")
    ended = run("enqueue", "f", "2", "--job-id", "mine")
    assert (ended.code, ended.out) == (0, "mine\n")
    assert "There is a job 'mine' already, left as it is: f(1)" in ended.err
    assert jobs.get_job("mine").arguments == "1"


def test_with_json_the_facts_of_the_job_are_printed(run):
    facts = json.loads(run("enqueue", "f", "1", "--json").out)
    assert (facts["function"], facts["arguments"], facts["status"]) == ("f", "1", "pending")


def test_settings_check_the_name(run, tasks):
    ended = run("enqueue", "add_nmbers", "--settings", "my_tasks.MyWorkerSettings")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "Error: No function named 'add_nmbers'; add it to MyWorkerSettings.functions (did you mean 'add_numbers'?)\n"
    )


def test_settings_choose_the_database_unless_another_is_given(run, tasks, folder):
    run("enqueue", "add_numbers", "--job-id", "a", "--settings", "my_tasks.OtherSettings")
    run("enqueue", "add_numbers", "--job-id", "b", "--settings", "my_tasks.OtherSettings", "--database", "third.db")
    assert [job.id for job in SQLiteJob(database=folder / "other.db").list_jobs()] == ["a"]
    assert [job.id for job in SQLiteJob(database=folder / "third.db").list_jobs()] == ["b"]


def test_wait_shows_the_result(start, tasks):
    worker = start("worker", "my_tasks.MyWorkerSettings")
    assert "Worker 1 serves default" in worker.stderr.readline()
    ended = start("enqueue", "add_numbers", "10", "20", "--wait")
    assert ended.communicate(timeout=60)[0] == "30\n"
    assert ended.returncode == 0


def test_wait_ends_as_the_job_did(start, tasks):
    worker = start("worker", "my_tasks.MyWorkerSettings")
    assert "Worker 1 serves default" in worker.stderr.readline()
    ended = start("enqueue", "divide", "1", "0", "--wait")
    assert "failed: ZeroDivisionError: division by zero" in ended.communicate(timeout=60)[1]
    assert ended.returncode == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "Missing argument 'FUNCTION'"),
        (("f\ng",), "must not contain control characters: 'f\\ng'"),
        (("f", "a=1", "2"), "'2' comes after a="),
        (("f", "--delay", "soon"), "'soon' is no duration"),
        (("f", "--delay", "9999999d"), "delay: a duration is"),
        (("f", "--priority", "high"), "'high' is not a valid integer"),
        (("f", "--tag", ""), "A tag must not be empty"),
        (("f", "x" * 1_100_000), "over the limit of 1,000,000"),
        (("f", "\udce9"), "cannot be encoded"),
    ],
)
def test_what_cannot_be_enqueued_is_a_usage_error_and_makes_no_database(run, folder, words, problem):
    ended = run("enqueue", *words)
    assert (ended.code, ended.out) == (2, "")
    assert problem in ended.err
    assert not (folder / DATABASE).exists()


def test_a_unique_job_is_there_once_and_the_second_time_says_so(run, jobs):
    first = run("enqueue", "f", "--unique", "nightly")
    again = run("enqueue", "f", "--unique", "nightly")

    assert again.out == first.out
    assert "There is a job with the key 'nightly' already, left as it is: f()" in again.err
    assert len(jobs.list_jobs()) == 1


def test_jobs_of_a_group_wait_for_each_other_and_expire(run, jobs):
    run("enqueue", "f", "--group", "ledger", "--expires", "1h")
    second = run("enqueue", "f", "--group", "ledger").out.strip()

    assert jobs.get_job(second).status == "blocked"
