from __future__ import annotations

import json
import re

import pytest

from sqlite_job import Retry, SQLiteJob, call, current_job

JOB_KEYS = {
    *("id", "queue", "function", "status", "priority", "tries", "max_tries", "deaths", "worker_id"),
    *("created_at", "run_at", "started_at", "finished_at", "error", "arguments", "result", "tags", "meta"),
}


def add(a, b):
    return a + b


def divide(a, b):
    return a / b


def fail_once():
    if current_job().tries == 1:
        raise Retry(0)
    return "done"


def rude():
    raise ValueError("\x1b[31mred\nsecond [bold]line[/bold] \u202e")


def with_ids(jobs: SQLiteJob, *ids: str) -> None:
    for job_id in ids:
        jobs.with_options(job_id=job_id).enqueue("f", job_id)


def test_jobs_are_listed_newest_first_with_their_outcome(run, jobs, work):
    jobs.with_options(job_id="a").enqueue("add", 10, 20)
    jobs.with_options(job_id="b").enqueue("divide", 1, 0)
    work(add, divide)
    jobs.with_options(job_id="c", queue="high").enqueue("f")
    header, *rows = run("list").out.splitlines()
    assert header.split() == ["ID", "Queue", "Status", "Age", "Call", "Outcome"]
    assert [[*row.split()[:3], *row.split()[4:]] for row in rows] == [
        ["c", "high", "pending", "f()"],
        ["b", "default", "failed", "divide(1,", "0)", "ZeroDivisionError:", "division", "by", "zero"],
        ["a", "default", "completed", "add(10,", "20)", "30"],
    ]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("--status", "failed"), "b"),
        (("--status", "FAILED"), "b"),
        (("--queue", "high"), "c"),
        (("--function", "add"), "a"),
        (("--tag", "red"), "c"),
        (("--status", "pending", "--queue", "default"), ""),
    ],
)
def test_filters_must_all_match(run, jobs, work, words, ids):
    jobs.with_options(job_id="a").enqueue("add", 10, 20)
    jobs.with_options(job_id="b").enqueue("divide", 1, 0)
    work(add, divide)
    jobs.with_options(job_id="c", queue="high", tags=["red"]).enqueue("f")
    assert run("list", "--ids", *words).out.split() == list(ids)


def test_the_end_of_a_page_says_how_to_go_on(run, jobs):
    with_ids(jobs, "a", "b", "c", "d")
    first = run("list", "--ids", "--limit", "2")
    assert (first.out, first.err) == ("d\nc\n", "There are more: add --after 3\n")
    second = run("list", "--ids", "--limit", "2", "--after", "3")
    assert (second.out, second.err) == ("b\na\n", "")


def test_as_json_a_page_names_the_next(run, jobs):
    with_ids(jobs, "a", "b", "c")
    first = json.loads(run("list", "--json", "--limit", "2").out)
    second = json.loads(run("list", "--json", "--limit", "2", "--after", first["next"]).out)
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ["c", "b", "a"]
    assert second["next"] is None
    assert all(set(job) == JOB_KEYS for job in first["jobs"])


def test_an_empty_list_prints_nothing_on_the_output(run, jobs):
    with_ids(jobs, "a")
    ended = run("list", "--queue", "none")
    assert (ended.code, ended.out, ended.err) == (0, "", "No jobs found\n")
    assert json.loads(run("list", "--queue", "none", "--json").out) == {"jobs": [], "next": None}


@pytest.mark.parametrize("words", [("--limit", "0"), ("--status", "done"), ("--after", "x"), ("--tag", " ")])
def test_a_filter_that_cannot_match_is_a_usage_error(run, jobs, words):
    with_ids(jobs, "a")
    assert run("list", *words).code == 2


def test_a_long_row_stays_on_one_line_in_a_pipe(run, jobs):
    jobs.with_options(job_id="i" * 128, queue="q" * 128).enqueue("f" * 128, "x" * 45, "y" * 45, "z" * 45)
    (_, row) = run("list").out.splitlines()
    for part in ("i" * 128, "q" * 128, "f" * 128, "z" * 45):
        assert part in row


def test_show_tells_all_that_is_known(run, jobs, work):
    jobs.with_options(job_id="a", priority=5, tags=["x", "y"], meta={"user": "ada"}, max_tries=3).enqueue(
        "divide", 1, 0
    )
    jobs.with_options(job_id="b").enqueue("add", 10, 20)
    work(add, divide)
    out = run("show", "b").out
    facts = dict(line.split(None, 1) for line in out.splitlines())
    assert {name: facts[name] for name in ("ID", "Call", "Status", "Result", "Queue", "Tries")} == {
        "ID": "b",
        "Call": "add(10, 20)",
        "Status": "completed",
        "Result": "30",
        "Queue": "default",
        "Tries": "1",
    }
    facts = dict(line.split(None, 1) for line in run("show", "a").out.split("\n\n")[0].splitlines())
    assert {name: facts[name] for name in ("Priority", "Tags", "Meta", "Tries")} == {
        "Priority": "5",
        "Tags": "x, y",
        "Meta": '{"user": "ada"}',
        "Tries": "1 of 3",
    }


def test_show_has_the_traceback_of_each_try_that_failed(run, jobs, work):
    jobs.with_options(job_id="a", max_tries=2).enqueue("fail_once")
    work(fail_once)
    work(fail_once)
    out = run("show", "a").out
    assert "Status    completed" in out
    assert "Try 1 failed after " in out
    assert "Try 2" not in out
    assert "in fail_once\n" in out


def test_show_as_json_has_the_failures(run, jobs, work):
    jobs.with_options(job_id="a").enqueue("divide", 1, 0)
    work(divide)
    facts = json.loads(run("show", "a", "--json").out)
    assert set(facts) == JOB_KEYS | {"progress", "failures"}
    (failure,) = facts["failures"]
    assert set(failure) == {"try_number", "error_type", "message", "traceback", "started_at", "finished_at"}
    assert (failure["try_number"], failure["error_type"]) == (1, "ZeroDivisionError")
    assert failure["traceback"].startswith("Traceback (most recent call last):\n")


def test_times_in_json_always_have_the_same_form(run, jobs):
    with_ids(jobs, "a")
    text = json.loads(run("show", "a", "--json").out)["created_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)


@pytest.mark.parametrize(
    "words", [("list",), ("show", "a"), ("result", "a"), ("list", "--json"), ("show", "a", "--json")]
)
def test_nothing_a_job_says_steers_the_terminal(run, jobs, work, words):
    jobs.with_options(job_id="a", tags=["[red]"]).enqueue("rude", "[bold]\x1b[2J")
    work(rude)
    jobs.with_options(job_id="b").enqueue("rude", "[bold]\x1b[2J")
    ended = run(*words)
    for character in "\x1b\u202e\r":
        assert character not in ended.out + ended.err


def test_markup_is_shown_as_it_was_written(run, jobs, work):
    jobs.with_options(job_id="a", tags=["[red]tag"]).enqueue("f[bold]", "[link=x]y[/link] :smile:")
    out = run("list").out + run("show", "a").out
    assert out.count("f[bold]('[link=x]y[/link] :smile:')") == 2
    assert "[red]tag" in out


def test_line_breaks_of_a_traceback_are_kept_and_the_rest_is_written_out(run, jobs, work):
    jobs.with_options(job_id="a").enqueue("rude")
    work(rude)
    out = run("show", "a").out
    assert "Error     ValueError: \\x1b[31mred\\nsecond [bold]line[/bold] \\u202e\n" in out
    assert "\nValueError: \\x1b[31mred\nsecond [bold]line[/bold] \\u202e\n" in out


def test_many_jobs_are_listed_up_to_the_limit(run, jobs):
    jobs.enqueue_many([call("f", number) for number in range(150)])
    assert len(run("list", "--ids").out.splitlines()) == 100
    assert len(run("list", "--ids", "--limit", "1000").out.splitlines()) == 150
