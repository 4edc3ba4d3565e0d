"""The benchmarks run, at a size at which their figures mean nothing, and refuse to measure work that was not done."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from benchmarks import __main__ as runner
from benchmarks import child, drain, raw
from benchmarks.check import WrongWorkError, check_drained, check_enqueued
from benchmarks.figures import Figure, Goal, at_most
from benchmarks.jobs import FUNCTIONS, settings
from benchmarks.report import cells
from sqlite_job import SQLiteJob

EXPECTED = {
    "enqueue": {
        "single, FULL": 40,
        "single, NORMAL": 40,
        "bulk of 1,000, FULL": 2_000,
        "16 threads, FULL, to raw single": 320,
    },
    "drain": {
        **{
            f"{clock}{what}": 300
            for what in (
                "no-op, FULL",
                "no-op, NORMAL",
                "coroutine, FULL",
                "no-op, worker of both kinds",
                "two job processes, FULL",
            )
            for clock in ("", "CPU, ")
        },
        "Limit(1) for each of 1,000 keys": 300,
        "1 ms of sleep, 10 at once": 20,
    },
    "workers": {
        "two processes, no-op, FULL": 300,
        "two processes, 1 ms of CPU, FULL": 20,
        "enqueue beside a worker with 1 ms of CPU, p50": 5,
        "enqueue beside a worker with 1 ms of CPU, p99": 5,
    },
    "latency": {f"{name}, {durability}": 5 for durability in ("FULL", "NORMAL") for name in ("p50", "p99", "max")},
    "footprint": {
        "CPU of an idle worker": 100,
        "memory of an idle worker": 100,
        "import sqlite_job": 1,
        "import and first enqueue": 1,
    },
    "retention": {
        **{
            f"{what}, {name}, while 2,000 are pruned": 2_000
            for what in ("from enqueue to start", "enqueue")
            for name in ("p50", "p99", "max")
        },
        "pruned": 2_000,
        "file after 2,000 were pruned": 2_000,
        "file while 2,000 flow": 2_000,
    },
    "growth": {"claim of 100 among 1,000 others": 200, "enqueue among 1,000 others": 5},
    "postgres": {
        "enqueue, single": 40,
        "enqueue, 16 threads": 320,
        "enqueue, bulk of 1,000": 2_000,
        "drain, one worker process": 300,
        "drain, two worker processes": 300,
        "enqueue to start, p50": 5,
        "enqueue to start, p99": 5,
        "CPU of an idle worker": 5,
        "drain of 1,000": 1_000,
        "dead rows after 1,000 jobs": 1_000,
        "job table after 1,000 jobs": 1_000,
        "claim of 100 among 1,000 finished": 200,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_benchmark_runs_and_writes_every_sample(name, tmp_path, request):
    if name == "postgres":
        request.getfixturevalue("postgres_server")  # or a loud skip
    written = tmp_path / "results.json"

    ran = run("benchmarks", name, "--tiny", "--json", str(written), "--folder", str(tmp_path))

    assert ran.returncode == 0, ran.stderr
    results = json.loads(written.read_text())
    figures = {figure["what"]: figure for figure in results["figures"]}
    expected = EXPECTED[name]
    if sys.platform != "linux":
        expected.pop("memory of an idle worker", None)
    assert {what: figure["count"] for what, figure in figures.items()} == expected
    for what, figure in figures.items():
        assert f"{name}: {what}" in ran.stdout
        assert figure["benchmark"] == name
        check_shape(figure)
    assert {"date", "cpus", "kernel", "python", "sqlite"} <= set(results["machine"])
    assert results["machine"]["cpus"] >= 1
    assert list(tmp_path.iterdir()) == [written], "temporary files were left behind"


def check_shape(figure):
    assert len(figure["ours"]) == 1  # --tiny measures once
    assert all(value > 0 for value in figure["ours"] + figure["raw"])
    assert figure["ratios"] == [ours / raw for ours, raw in zip(figure["ours"], figure["raw"])]
    assert figure["unit"] in ("jobs/s", "us/job", "ms", "us", "%", "MB", "rows")
    assert (figure["goal"] is None) == (figure["met"] is None)
    if figure["what"].startswith("max"):
        assert [[len(side) for side in sample.values()] for sample in figure["details"]["every"]] == [[5, 5]]


def test_unknown_benchmark_is_refused_with_the_names_there_are():
    ran = run("benchmarks", "drian")

    assert ran.returncode == 2
    assert "no benchmark named 'drian'; there is enqueue, drain, workers, latency" in ran.stderr


@pytest.mark.parametrize("what", ["drain", "enqueue", "bulk"])
def test_profile_shows_each_thread(what, tmp_path):
    ran = run("benchmarks.profile", what, "--jobs", "50", "--durability", "normal", "--folder", str(tmp_path))

    assert "50 jobs in" in ran.stdout
    if sys.version_info < (3, 12):
        assert ran.returncode == 0, ran.stderr
        assert "main: CPU under the profiler" in ran.stdout
        assert ("others: CPU under the profiler" in ran.stdout) == (what == "drain")
    else:
        assert "needs Python 3.11 or older" in ran.stderr


def test_raw_loop_does_the_same_work_as_a_worker(tmp_path):
    by_hand, by_worker = str(tmp_path / "hand.db"), str(tmp_path / "worker.db")
    for path in (by_hand, by_worker):
        drain.fill(path, "echo", 250)

    drain.drain_by_hand(by_hand, "full", 250)
    drain.run_burst(settings(by_worker, "full", "echo"), 250)

    columns = "seq, queue, function, status, priority, tries, deaths, claim_number, worker_id"
    for table, query in (
        ("job", f"SELECT {columns}, started_at > 0, finished_at > 0 FROM sqlitejob_job ORDER BY seq"),
        ("result", "SELECT seq, codec, value FROM sqlitejob_result ORDER BY seq"),
    ):
        assert rows(by_hand, query) == rows(by_worker, query), table


def test_raw_enqueue_writes_what_enqueue_writes(tmp_path):
    by_hand, ours = str(tmp_path / "hand.db"), str(tmp_path / "ours.db")
    raw.make_database(by_hand)
    with closing(raw.connect(by_hand, "full")) as connection:
        raw.enqueue_each(connection, [0, 1])
        raw.enqueue_batch(connection, [3, 4])
    queue = SQLiteJob(database=ours)
    for number in (0, 1, 3, 4):
        queue.enqueue(FUNCTIONS["echo"], number)
    queue.close()

    for query in (
        "SELECT queue, function, status, priority, run_at, tries, max_tries, created_at > 0 FROM sqlitejob_job",
        "SELECT codec, args, tags, meta FROM sqlitejob_payload",
    ):
        assert rows(by_hand, query) == rows(ours, query)


@pytest.fixture
def drained(tmp_path):
    path = str(tmp_path / "drained.db")
    drain.fill(path, "echo", 5)
    drain.drain_by_worker(path, "full", ["echo"], 5)
    return path


def test_check_accepts_what_a_worker_did(drained):
    check_drained(drained, range(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "UPDATE sqlitejob_result SET value = (SELECT value FROM sqlitejob_result WHERE seq = 2) WHERE seq = 1",
            "has the",
        ),
        ("DELETE FROM sqlitejob_result WHERE seq = 3", "has the result None"),
        ("UPDATE sqlitejob_job SET tries = 2 WHERE seq = 3", "try 2"),
        ("UPDATE sqlitejob_job SET claim_number = 2 WHERE seq = 3", "is completed"),
        ("UPDATE sqlitejob_job SET status = 'pending', finished_at = NULL WHERE seq = 3", "is pending"),
        ("DELETE FROM sqlitejob_job WHERE seq = 3", "4 jobs are stored, and 5 were asked for"),
        ("UPDATE sqlitejob_job SET seq = 99 WHERE seq = 3", "lost its arguments"),
    ],
)
def test_check_refuses_wrong_work(drained, change, message):
    with closing(sqlite3.connect(drained)) as connection, connection:
        connection.execute(change)

    with pytest.raises(WrongWorkError, match=message):
        check_drained(drained, range(5))


def test_check_refuses_jobs_that_were_not_enqueued(tmp_path):
    path = str(tmp_path / "jobs.db")
    drain.fill(path, "echo", 3)

    check_enqueued(path, range(3))
    for wrong in (range(4), range(1, 4), range(2)):
        with pytest.raises(WrongWorkError, match="3 jobs are stored"):
            check_enqueued(path, wrong)


def test_worker_that_runs_too_few_jobs_is_an_error_of_the_benchmark(tmp_path):
    path = str(tmp_path / "jobs.db")
    drain.fill(path, "echo", 3)

    with pytest.raises(child.ChildError, match="the worker ran 3 of 4 jobs"):
        child.call(drain.drain_by_worker, path=path, durability="full", functions=["echo"], jobs=4)


def test_ratio_is_taken_in_each_repeat_and_judged_at_the_median():
    figure = Figure("drain", "no-op", "jobs/s", 10, [50.0, 10.0, 90.0], [100.0, 100.0, 100.0], Goal(0.5, stretch=0.6))

    assert figure.ratios == [0.5, 0.1, 0.9]
    assert cells(figure)[3:] == ("0.50 (0.10-0.90)", "≥ 0.5 (0.6)", "yes")


@pytest.mark.parametrize(("ours", "verdict"), [([1.0, 1.4, 9.0], "yes"), ([1.0, 1.6, 1.7], "NO")])
def test_goal_of_our_own_figure_needs_no_yardstick(ours, verdict):
    figure = Figure("latency", "p50", "ms", 10, ours, [0.5, 0.5, 0.5], at_most(1.5))

    assert cells(figure)[4:] == ("≤ 1.5 ms", verdict)


def test_table_is_put_between_the_marks_of_a_document(tmp_path):
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{runner.BEGIN}\nold\n{runner.END}\nafter\n")

    runner.replace_table(document, "| new |\n")

    assert document.read_text() == f"before\n{runner.BEGIN}\n| new |\n{runner.END}\nafter\n"


def test_document_without_marks_is_refused_and_left_alone(tmp_path):
    document = tmp_path / "performance.md"
    document.write_text("no marks\n")

    with pytest.raises(SystemExit, match="has no place for the table"):
        runner.replace_table(document, "| new |\n")

    assert document.read_text() == "no marks\n"


def test_performance_document_has_a_place_for_the_table():
    text = (child.ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")

    assert text.index(runner.BEGIN) < text.index(runner.END)


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=str(child.ROOT),
        env={**child.environment(), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
