"""Real processes: started by the console script, whose own folder is not the one it is started in."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from sqlite_job import JobStatus, SQLiteJob
from tests.cli.conftest import DATABASE, clean_environment

NO_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


def wait_for_line(stream, part: str) -> str:
    """Read a process's lines up to one that has `part`; the end of the stream comes first when there is none."""
    for line in stream:
        if part in line:
            return line
    raise AssertionError(part)


def test_a_worker_runs_the_jobs_of_its_folder_and_says_how_many(start, tasks, jobs):
    job = jobs.enqueue("add_numbers", 10, 20)
    jobs.enqueue("add_numbers", 1, 2)
    out, err = start("worker", "my_tasks.MyWorkerSettings", "--queue", "default", "--burst").communicate(timeout=60)
    assert (out, jobs.get_job_result(job)) == ("Ran 2 jobs\n", 30)
    assert "Completed add_numbers" in err


def test_the_same_runs_as_a_module(tasks, jobs):
    job = jobs.enqueue("add_numbers", 10, 20)
    command = [sys.executable, "-m", "sqlite_job", "worker", "my_tasks:MyWorkerSettings", "--burst"]
    subprocess.run(command, env=clean_environment(), stderr=subprocess.DEVNULL, timeout=60, check=True)
    assert jobs.get_job_result(job) == 30


@NO_SIGNALS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_worker_cleanly(start, tasks, jobs, number):
    worker = start("worker", "my_tasks.MyWorkerSettings")
    wait_for_line(worker.stderr, "Worker 1 serves default")
    assert jobs.enqueue("add_numbers", 10, 20).result(timeout=60) == 30
    worker.send_signal(number)
    assert worker.communicate(timeout=60)[0] == "Ran 1 job\n"
    assert worker.returncode == 0


def test_several_queues_are_served_in_strict_order(start, tasks, jobs):
    for queue in ("low", "high", "low", "high"):
        jobs.with_options(queue=queue).enqueue("echo", queue)
    words = ("--queue", "high", "--queue", "low", "--burst")
    start("worker", "my_tasks.MyWorkerSettings", *words).communicate(timeout=60)
    # Ten threads start them at once; what was claimed first, and by which fence, is for the contract tests to say.
    assert sorted(job.queue for job in jobs.list_jobs(status=JobStatus.COMPLETED)) == ["high", "high", "low", "low"]


def test_the_database_of_the_settings_is_used_unless_another_is_given(start, tasks, folder):
    for name in ("other.db", "third.db"):
        SQLiteJob(database=folder / name).enqueue("add_numbers", 1, 2)
    start("worker", "my_tasks.OtherSettings", "--burst", "--database", "third.db").communicate(timeout=60)
    assert SQLiteJob(database=folder / "other.db").counts()[JobStatus.PENDING] == 1
    assert SQLiteJob(database=folder / "third.db").counts()[JobStatus.COMPLETED] == 1


def test_verbose_logs_each_claim(start, tasks, jobs):
    jobs.enqueue("add_numbers", 1, 2)
    words = ("worker", "my_tasks.MyWorkerSettings", "--burst")
    assert "DEBUG Claimed 1 job" in start(*words, "--verbose").communicate(timeout=60)[1]
    jobs.enqueue("add_numbers", 1, 2)
    assert "DEBUG" not in start(*words).communicate(timeout=60)[1]


def test_settings_that_cannot_work_are_told_without_a_traceback(run, folder):
    (folder / "wrong.py").write_text(
        "from sqlite_job import WorkerSettings\nclass Settings(WorkerSettings):\n    max_job = 3\n    functions = []\n"
    )
    ended = run("worker", "wrong.Settings")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[0] == "Error: Settings cannot be used:"
    assert "did you mean 'max_jobs'?" in ended.err
    assert "functions is missing or empty" in ended.err


def test_a_queue_that_cannot_be_one_is_a_usage_error(run, tasks):
    assert run("worker", "my_tasks.MyWorkerSettings", "--queue", "a\nb").code == 2
    assert run("worker", "my_tasks.MyWorkerSettings", "--queue", "a", "--queue", "a").code == 2


def test_a_database_that_cannot_be_made_ends_the_worker(run, tasks, folder):
    ended = run("worker", "my_tasks.MyWorkerSettings", "--database", folder / "missing" / "jobs.db")
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("Error: ")
    assert "missing' does not exist" in ended.err


def test_an_error_in_a_hook_shows_where_and_has_a_code_of_its_own(run, folder):
    (folder / "hooked.py").write_text(
        "from sqlite_job import WorkerSettings\n"
        "def prepare(state):\n    raise RuntimeError('no model')\n"
        "class Settings(WorkerSettings):\n    functions = [print]\n    on_startup = prepare\n"
    )
    ended = run("worker", "hooked.Settings", "--burst")
    assert ended.code == 70
    assert ended.err.endswith("Error: unexpected RuntimeError: no model\n")
    assert "line 3, in prepare" in ended.err
    assert "click" not in ended.err


def test_a_worker_makes_the_database_that_does_not_exist_yet(run, tasks, folder):
    assert run("worker", "my_tasks.MyWorkerSettings", "--burst").out == "Ran 0 jobs\n"
    assert (folder / DATABASE).exists()
