"""Every command on PostgreSQL, by --database and by the environment; the password of the URL is never shown."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from sqlite_job import JobStatus, SQLiteJob, Worker, WorkerSettings
from tests.doors.making import wait_until

SECRET = "s3cret-w0rd"


def divide(a, b):
    return a / b


@pytest.fixture
def url(postgres_url):
    """The URL with a password; the server of the tests asks for none."""
    found = postgres_url.replace("postgres@", f"postgres:{SECRET}@")
    yield found
    SQLiteJob(database=found).close()


@pytest.fixture(params=["by option", "by environment"])
def command(request, run, url, monkeypatch):
    """Run a command that must end with this code, on that database; returns what it wrote, and said beside."""
    if request.param == "by environment":
        monkeypatch.setenv("SQLITE_JOB_DATABASE", url)

    def run_command(*words, code=0):
        options = [] if request.param == "by environment" else ["--database", url]
        ended = run(*words, *options)
        assert SECRET not in ended.out + ended.err
        assert ended.code == code, ended
        return ended

    return run_command


@pytest.fixture
def jobs(url):
    return SQLiteJob(database=url)


def work(url):
    settings = type("TestSettings", (WorkerSettings,), {"functions": [divide]})
    return Worker("default", settings(url)).run(burst=True)


def test_jobs_are_enqueued_listed_shown_and_waited_for(command, url, jobs):
    job_id = command("enqueue", "divide", "8", "2").out.strip()
    broken = command("enqueue", "divide", "8", "0").out.strip()
    assert "divide" in command("list").out
    assert job_id in command("show", job_id).out
    assert work(url) == 2

    assert command("result", job_id).out.strip() == "4.0"
    command("wait", job_id)
    assert "ZeroDivisionError" in "".join(command("wait", broken, code=1)[1:])
    assert "ZeroDivisionError" in command("show", broken).out
    assert "postgresql" in command("status").out
    facts = json.loads(command("status", "--json").out)
    assert [queue["completed"] for queue in facts["queues"]] == [1]


def test_jobs_are_cancelled_retried_deleted_and_pruned(command, url, jobs):
    job_id = command("enqueue", "divide", "8", "2").out.strip()
    command("cancel", job_id)
    assert jobs.job(job_id).status() is JobStatus.CANCELLED
    command("requeue", job_id)
    assert jobs.job(job_id).status() is JobStatus.PENDING
    command("delete", job_id)
    assert jobs.list_jobs() == []
    command("enqueue", "divide", "8", "2")
    assert work(url) == 1
    command("prune", "--older-than", "0s")
    assert jobs.list_jobs() == []


def test_queues_are_paused_and_resumed(command, url):
    command("enqueue", "divide", "8", "2")
    command("pause", "default")
    assert work(url) == 0
    command("resume", "default")
    assert work(url) == 1


def test_schedules_are_listed(command, url, jobs):
    from sqlite_job import every

    jobs.schedules.create(every(3600, "divide", [8, 2], name="hourly"))
    assert "hourly" in command("schedules").out


def test_the_logs_of_a_job_are_shown(command, url):
    job_id = command("enqueue", "divide", "8", "2").out.strip()
    work(url)
    command("logs", job_id)


def test_the_doctor_names_the_server(command):
    said = command("doctor", code=9).out  # the server of the tests does not wait for its disk

    assert "PostgreSQL" in said
    assert "fsync" in said


def test_a_server_that_is_not_there_is_one_line_without_the_password(run, monkeypatch):
    url = f"postgresql://me:{SECRET}@127.0.0.1:1/jobs"
    for ended in (run("status", "--database", url), run("enqueue", "divide", "1", "1", "--database", url)):
        assert ended.code != 0
        assert SECRET not in ended.out + ended.err
        assert "127.0.0.1:1" in ended.err
        assert "Traceback" not in ended.err


def command_lines():
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one", "two"])
def test_workers_take_the_password_from_the_environment_and_show_it_nowhere(tasks, start, url, jobs, options):
    in_process = tasks.read_text().replace("[add_numbers, divide", "[task(add_numbers, executor='process'), divide")
    tasks.write_text("from sqlite_job import task\n" + in_process)
    process = start("worker", "my_tasks.MyWorkerSettings", *options, database=url)
    assert jobs.enqueue("add_numbers", 1, 2).result(timeout=60) == 3
    assert jobs.enqueue("divide", 1, 2).result(timeout=60) == 0.5
    shown = [line for line in command_lines() if SECRET in line]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    assert shown == []
    assert SECRET not in out + err
    assert "postgresql" in out + err
    assert process.returncode == 0
    wait_until(lambda: jobs.counts()[JobStatus.RUNNING] == 0)


def test_a_server_is_neither_copied_as_a_file_nor_overwritten_by_one(command, jobs):
    jobs.enqueue("divide", 8, 2)

    assert "pg_dump" in command("backup", "copy.db", code=7).err
    assert "pg_dump" in command("restore", "copy.db", "--force", code=7).err
    assert jobs.counts()[JobStatus.PENDING] == 1
