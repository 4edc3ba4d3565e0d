from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import Any, Dict

import pytest

from sqlite_job import JobFailedError, JobStatus, SQLiteJob, Worker, WorkerSettings
from tests.docs import seed
from tests.docs.documents import PATIENCE_SECONDS, ROOT, Reader, blocks, environment, run

README = ROOT / "README.md"


def test_readme_has_the_seeds_quick_start_word_for_word():
    shown = [block.text for block in blocks(README) if block.language == "python"]

    assert shown[: len(seed.QUICK_START)] == list(seed.QUICK_START)


def test_a_reader_who_follows_the_readme_sees_what_it_shows(tmp_path):
    def names() -> Dict[str, Any]:
        # The quick start leaves to its reader to keep the id, and to look when the job is done.
        jobs = SQLiteJob("default", database=tmp_path / "sqlite_job.db")
        first = jobs.job(jobs.list_jobs()[-1].id)
        first.result(PATIENCE_SECONDS)
        return {"job_id": str(first)}

    Reader(tmp_path, names).follow(README)


def test_the_seeds_quick_start_runs_in_an_empty_folder(tmp_path):
    (tmp_path / "my_tasks.py").write_text(seed.MY_TASKS)
    (tmp_path / "enqueue_jobs.py").write_text(seed.ENQUEUE_JOBS)
    (tmp_path / "worker.py").write_text(seed.WORKER)
    (tmp_path / "get_results.py").write_text(seed.GET_RESULTS)

    enqueued = run("python enqueue_jobs.py", tmp_path)
    match = re.fullmatch(r"Enqueued jobs: (\S+), (\S+)\n", enqueued)
    assert match, enqueued
    add_numbers, process_data = match.groups()

    command = [sys.executable, "worker.py"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL) as worker:
        try:
            jobs = SQLiteJob("default", database=tmp_path / "sqlite_job.db")
            assert jobs.job(process_data).result(PATIENCE_SECONDS) == [3, 6, 9, 12]
            assert jobs.job(add_numbers).result(PATIENCE_SECONDS) == 30
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE_SECONDS) == 0
        finally:
            worker.kill()

    with_id = "import runpy, sys; runpy.run_path('get_results.py', {'job_id': sys.argv[1]})"
    assert run([sys.executable, "-c", with_id, add_numbers], tmp_path) == "30\n"


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SQLITE_JOB_DATABASE", raising=False)
    return tmp_path


def test_the_seeds_settings_pattern_works(in_empty_folder):
    names = {
        "WorkerSettings": WorkerSettings,
        "Worker": Worker,
        "my_function": named("my_function"),
        "another_function": named("another_function"),
    }

    exec(seed.SETTINGS_PATTERN, names)

    assert names["worker"].queues == ("queue_name",)
    with pytest.raises(TypeError, match="needs settings"):
        Worker()


def test_the_seeds_queues_work(in_empty_folder):
    class EmailWorkerSettings(WorkerSettings):
        functions = [named("send_email", lambda address: f"sent to {address}")]

    class DataWorkerSettings(WorkerSettings):
        functions = [named("analyze_data", max)]

    names = {
        "SQLiteJob": SQLiteJob,
        "Worker": Worker,
        "EmailWorkerSettings": EmailWorkerSettings,
        "DataWorkerSettings": DataWorkerSettings,
        "dataset": [1, 3, 2],
    }

    exec(seed.MULTIPLE_QUEUES, names)
    names["email_worker"].run(burst=True)
    names["data_worker"].run(burst=True)

    assert SQLiteJob("email").get_job_result(names["email_job"]) == "sent to user@example.com"
    assert SQLiteJob("data_processing").get_job_result(names["data_job"]) == 3


def test_the_seeds_failing_job_is_marked_and_the_worker_goes_on(in_empty_folder):
    job_conn = SQLiteJob("default")
    names = {"WorkerSettings": WorkerSettings, "job_conn": job_conn}

    exec(seed.ERROR_HANDLING, names)
    again = job_conn.enqueue("might_fail")
    assert Worker("default", names["MySettings"]()).run(burst=True) == 2

    assert job_conn.counts()[JobStatus.FAILED] == 2
    assert job_conn.get_job_result(again) is None
    with pytest.raises(JobFailedError, match="ValueError: Something went wrong"):
        again.result()


def test_default_database_lies_in_the_working_directory(in_empty_folder):
    SQLiteJob("default").enqueue("anything")

    assert sorted(os.listdir())[:2] == ["sqlite_job.db", "sqlite_job.db-gate"]


def named(name, function=lambda: None):
    def job(*args):
        return function(*args)

    job.__name__ = name
    return job
