from __future__ import annotations

import json
import re

import pytest

from sqlite_job import SignedPickleSerializer, SQLiteJob, Worker, WorkerSettings, cron, every
from tests.cli.conftest import DATABASE

SIGNED = """
from sqlite_job import SignedPickleSerializer, WorkerSettings, every


def add(a, b):
    return a + b


class Settings(WorkerSettings):
    functions = [add]
    serializer = SignedPickleSerializer("0123456789abcdef")
    cron_jobs = [every(60, add, [20, 22])]
"""


def add(a, b=0):
    return a + b


class Listed(WorkerSettings):
    functions = [add]
    cron_jobs = [cron("0 3 * * *", add, [1], name="nightly", timezone="Asia/Tokyo")]


@pytest.fixture
def schedules(jobs):
    return jobs.schedules


def started(folder):
    """Let a worker start once with the listed schedule."""
    Worker("default", Listed(folder / DATABASE)).run(burst=True)


def test_they_are_listed_with_their_next_times(run, folder, schedules):
    started(folder)
    schedules.create(every(90, "ping", ["a"], name="pinging"))
    schedules.create(cron("@hourly", "other"))
    schedules.pause("other")
    ended = run("schedules")

    assert (ended.code, ended.err) == (0, "")
    header, *rows = [re.split(r"\s{2,}", line) for line in ended.out.splitlines()]
    assert header == ["Name", "When", "Next", "Call", "From"]
    assert [row[0] for row in rows] == ["nightly", "other", "pinging"]
    assert rows[0][1] == "At 03:00 every day (Asia/Tokyo)"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:00:00[+-]\d\d:\d\d", rows[0][2])
    assert rows[0][3:] == ["add(1)", f"{__name__}.Listed"]
    assert rows[1][1:] == ["At the start of every hour", "paused", "other()", "run time"]
    assert rows[2][1] == "Every 90 seconds"


def test_as_json_they_have_all_their_facts(run, schedules):
    made = schedules.create(cron("@daily", "other", tags=["t"]))
    (found,) = json.loads(run("schedules", "--json").out)["schedules"]

    assert found == {
        "name": "other",
        "origin": None,
        "cron": "@daily",
        "every": None,
        "description": "At 00:00 every day",
        "timezone": "UTC",
        "misfire": "skip",
        "max_late": None,
        "jitter": None,
        "function": "other",
        "arguments": "",
        "options": {"queue": "default", "priority": 0, "tags": ["t"]},
        "created_at": made.created_at.isoformat(timespec="microseconds"),
        "paused_at": None,
        "next_at": made.next_at.isoformat(timespec="microseconds"),
        "last_at": None,
        "last_job_id": None,
    }


def test_where_there_are_none_a_note_says_so(run, jobs):
    jobs.counts()
    assert run("schedules") == (0, "", "No schedules\n")


def test_without_a_database_nothing_is_made(run, folder):
    for words in (["schedules"], ["schedules", "pause", "x"], ["schedules", "run", "x"], ["schedules", "show", "x"]):
        ended = run(*words)
        assert ended.code == 5
        assert "There is no database" in ended.err
    assert list(folder.iterdir()) == []


def test_create_makes_one_and_says_when_it_runs(run, schedules):
    options = ["--misfire", "all", "--max-late", "2h", "--jitter", "5s", "--queue", "q", "--priority", 3, "--tag", "t"]
    words = ["nightly", "add", "1", "-2", "b=[1]", "--cron", "0 3 * * *", "--timezone", "Asia/Tokyo", *options]
    ended = run("schedules", "create", *words)

    assert ended.code == 0
    assert re.fullmatch(r"Created nightly: At 03:00 every day \(Asia/Tokyo\); next .{25}\n", ended.out)
    made = schedules.get("nightly")
    assert (made.function, made.arguments) == ("add", "1, -2, b=[1]")
    assert (made.misfire, made.max_late, made.jitter, made.timezone) == ("all", 7200, 5, "Asia/Tokyo")
    assert made.options == {"queue": "q", "priority": 3, "tags": ["t"]}


def test_a_created_one_is_run_by_any_worker(run, jobs, work, folder):
    run("schedules", "create", "sum", "add", 20, 22, "--every", "10ms", "--misfire", "all")
    settings = type("Mine", (WorkerSettings,), {"functions": [add]})(folder / DATABASE)
    with Worker("default", settings).running_in_background():
        while not jobs.list_jobs(status="completed"):
            pass

    assert {job.result for job in jobs.list_jobs(status="completed")} == {"42"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "add"], "Give --cron or --every, and not both."),
        (["x", "add", "--cron", "@daily", "--every", "5"], "Give --cron or --every, and not both."),
        (["x", "add", "--every", "5", "--timezone", "UTC"], "--timezone goes with --cron"),
        (["x", "add", "--every", "soon"], "'soon' is no duration"),
        (["x", "add", "--cron", "* * * *"], "the cron expression '* * * *' has 4 fields"),
        (["x", "add", "--cron", "@daily", "--timezone", "Mars"], "no time zone 'Mars'"),
        (["x", "add", "--cron", "@daily", "--misfire", "never"], "'never'"),
        (["x", "add", "--cron", "@daily", "--jiter", "3"], "No such option: --jiter (did you mean '--jitter'?)"),
        (["", "add", "--cron", "@daily"], "A schedule name must not be empty"),
    ],
)
def test_what_cannot_work_is_a_usage_error(run, jobs, words, message):
    ended = run("schedules", "create", *words)

    assert ended.code == 2
    assert message in ended.err


def test_create_replaces_only_when_told_to(run, schedules):
    run("schedules", "create", "mine", "add", "--every", "5")
    ended = run("schedules", "create", "mine", "add", "--every", "9")
    assert (ended.code, ended.out) == (6, "")
    assert "Cannot create schedule 'mine': it exists already" in ended.err
    assert run("schedules", "create", "mine", "add", "--every", "9", "--replace").code == 0
    assert schedules.get("mine").every == 9


def test_with_settings_the_function_is_checked(run, tasks):
    words = ["--every", "5", "--settings", "my_tasks.MyWorkerSettings"]
    ended = run("schedules", "create", "mine", "add_number", 1, 2, *words)
    assert ended.code == 2
    assert "did you mean 'add_numbers'?" in ended.err
    assert run("schedules", "create", "mine", "add_numbers", 1, 2, *words, "--json").code == 0


def test_show_tells_all_and_the_next_times(run, schedules):
    made = schedules.create(cron("30 */6 * * *", "add", [1], jitter=5, max_late=60))
    out = run("schedules", "show", "add", "--runs", 3).out
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines()[:-4])

    assert list(facts) == [
        *("Name", "Call", "When", "Cron", "Misfire", "Max late", "Jitter", "Options", "From", "Created", "Next"),
    ]
    assert (facts["Call"], facts["Cron"], facts["Jitter"], facts["From"]) == (
        *("add(1)", "30 */6 * * *", "5 s", "made at run time"),
    )
    local = [time.astimezone().isoformat(" ", timespec="seconds") for time in made.next_times(3)]
    assert out.splitlines()[-3:] == local
    assert facts["Next"] == local[0]


def test_show_as_json_has_the_next_times(run, schedules):
    schedules.create(every(60, "add"))
    found = json.loads(run("schedules", "show", "add", "--json", "--runs", 2).out)

    assert len(found["next_times"]) == 2
    assert found["next_times"][0] == found["next_at"]


def test_pause_and_resume(run, schedules):
    schedules.create(every(60, "add"))
    assert run("schedules", "pause", "add") == (0, "Paused add: Every minute; next paused\n", "")
    assert schedules.get("add").is_paused
    assert run("schedules", "resume", "add").out.startswith("Resumed add: Every minute; next 2")
    assert json.loads(run("schedules", "pause", "add", "--json").out)["paused_at"]


def test_run_enqueues_a_job_and_prints_its_id(run, jobs, schedules, work):
    schedules.create(every(60, "add", [20, 22]))
    schedules.pause("add")
    job_id = run("schedules", "run", "add").out.strip()
    assert job_id.startswith("add@")
    assert json.loads(run("schedules", "run", "add", "--json").out)["function"] == "add"
    assert work(add) == 2
    assert jobs.get_job_result(job_id) == 42


def test_run_needs_the_settings_that_have_the_key(run, folder):
    (folder / "signed.py").write_text(SIGNED, encoding="utf-8")
    assert run("worker", "signed.Settings", "--burst").code == 0
    ended = run("schedules", "run", "add")
    assert ended.code == 2
    assert "'signed-pickle', which is not accepted here" in ended.err
    job_id = run("schedules", "run", "add", "--settings", "signed.Settings").out.strip()
    assert run("worker", "signed.Settings", "--burst").code == 0
    jobs = SQLiteJob(database=folder / DATABASE, serializer=SignedPickleSerializer("0123456789abcdef"))
    assert jobs.get_job_result(job_id) == 42


def test_delete_deletes_what_was_made_at_run_time(run, schedules, folder):
    schedules.create(every(60, "add"))
    assert run("schedules", "delete", "add") == (0, "Deleted add\n", "")
    started(folder)
    ended = run("schedules", "delete", "nightly")
    assert (ended.code, ended.out) == (6, "")
    assert "Listed lists it; take it out there, or pause it" in ended.err
    assert json.loads(run("schedules", "delete", "nightly", "--force", "--json").out) == {"deleted": "nightly"}
    assert schedules.list() == []


@pytest.mark.parametrize("verb", ["show", "pause", "resume", "run", "delete"])
def test_an_unknown_one_is_not_found(run, schedules, verb):
    schedules.create(every(60, "add", name="nightly"))
    ended = run("schedules", verb, "nightyl")

    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "Error: No schedule named 'nightyl' (did you mean 'nightly'?)\n"


def test_the_database_may_be_given_in_front_or_behind(run, folder):
    jobs = SQLiteJob(database=folder / "other.db")
    jobs.schedules.create(every(60, "add"))
    for words in (
        ["--database", "other.db", "schedules", "show", "add"],
        ["schedules", "--database", "other.db", "show", "add"],
        ["schedules", "show", "add", "--database", "other.db"],
    ):
        assert run(*words).code == 0


def test_a_name_cannot_steer_the_terminal(run, schedules, folder):
    schedules.create(every(60, "add", ["\x1b[31m"]))
    assert "\x1b" not in run("schedules").out + run("schedules", "show", "add").out
