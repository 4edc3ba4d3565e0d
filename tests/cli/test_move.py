from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time

import pytest

from sqlite_job import SQLiteJob, Worker, WorkerSettings, call
from sqlite_job.cli.exit_code import ExitCode, exit_code_of
from sqlite_job.core.errors import MoveDiffersError
from tests.cli.conftest import DATABASE, clean_environment
from tests.storage.moving import contents, execute

TARGET = "target.db"
DEADLINE = 60


def add(a, b):
    return a + b


class Settings(WorkerSettings):
    functions = [add]


@pytest.fixture
def server(postgres_url):
    return f"{postgres_url}?schema=moved_{os.urandom(4).hex()}"


@pytest.fixture
def filled(jobs):
    jobs.enqueue_many([call("add", number, 1) for number in range(3)])
    Worker("default", Settings(DATABASE)).run(burst=True)
    jobs.close()
    return jobs


def test_a_move_says_what_was_moved_and_that_it_was_compared(run, filled, folder):
    ended = run("move", DATABASE, TARGET)
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first == f"Moved 3 jobs and 6 other rows from {folder / DATABASE} to {folder / TARGET}"
    assert second.startswith("Both have the same rows (checksum ")
    assert SQLiteJob(database=TARGET).counts()["completed"] == 3


def test_a_move_to_a_server_and_back_as_json(run, filled, folder, server):
    there = json.loads(run("move", DATABASE, server, "--json").out)
    back = json.loads(run("move", server, TARGET, "--json").out)
    assert (there["source"], there["target"], there["jobs"]) == (str(folder / DATABASE), server, 3)
    assert (back["source"], back["target"]) == (server, str(folder / TARGET))
    assert (there["rows"], there["checksum"]) == (back["rows"], back["checksum"])
    assert (there["rows"]["sqlitejob_result"], there["rows"]["sqlitejob_log"]) == (3, 0)
    assert contents(TARGET) == contents(DATABASE)


def test_a_password_is_never_shown(run, filled, server):
    secret = server.replace("postgres@", "postgres:s3cret@")
    shown = [run("move", DATABASE, secret), run("move", DATABASE, secret, "--json"), run("status"), run("doctor")]
    assert [ended.code for ended in shown] == [0, 0, 5, 9]
    assert all("s3cret" not in ended.out + ended.err for ended in shown)
    assert all("postgres:***@" in ended.out + ended.err for ended in shown)


def test_every_command_on_the_old_database_names_the_new_one(run, filled, folder):
    run("move", DATABASE, TARGET)
    for words in (["status"], ["list"], ["enqueue", "add", 1, 2], ["pause", "default"], ["backup", "copy.db"]):
        ended = run(*words)
        assert (ended.code, ended.out) == (5, "")
        assert f"was moved to {str(folder / TARGET)!r}" in ended.err
        assert "use that address" in ended.err


def test_a_move_is_undone(run, filled, folder):
    run("move", DATABASE, TARGET)
    ended = run("move", DATABASE, TARGET, "--undo")
    said = f"Took the queue back to {folder / DATABASE}; {folder / TARGET} cannot be used any more\n"
    assert ended == (0, said, "")
    assert run("status").code == 0
    assert run("status", "--database", TARGET).code == 5
    assert json.loads(run("move", DATABASE, "again.db", "--json").out)["jobs"] == 3
    undone = json.loads(run("move", DATABASE, "again.db", "--undo", "--json").out)
    assert run("move", DATABASE, TARGET).code == 7  # what is left there is not written over
    run("move", DATABASE, "lost.db")
    os.unlink("lost.db")
    ended = run("move", DATABASE, "lost.db", "--undo", "--force")
    assert ended.out == f"Took the queue back to {folder / DATABASE}; nobody has looked at {folder / 'lost.db'}\n"
    assert undone == {"source": str(folder / DATABASE), "target": str(folder / "again.db")}


def test_force_alone_is_refused(run, filled, folder):
    ended = run("move", DATABASE, TARGET, "--force")
    assert (ended.code, "--force goes with --undo" in ended.err) == (2, True)
    assert not (folder / TARGET).exists()


def test_what_is_in_the_way_has_an_exit_code_of_its_own(run, filled, folder):
    other = SQLiteJob(database=TARGET)
    other.enqueue("add", 1, 2)
    other.close()
    assert run("move", DATABASE, TARGET).code == 7
    with Worker("default", Settings(DATABASE)).running_in_background():
        ended = run("move", DATABASE, "other.db")
    assert (ended.code, ended.out) == (7, "")
    assert f"workers that live: 2 (process {os.getpid()} on " in ended.err
    ended = run("move", "missing.db", "other.db")
    assert (ended.code, "There is no queue to move" in ended.err) == (5, True)
    assert not (folder / "other.db").exists()
    assert not (folder / "missing.db").exists()


def test_a_difference_has_an_exit_code_of_its_own():
    assert exit_code_of(MoveDiffersError("sqlitejob_job", "1", "jobs.db")) is ExitCode.DIFFERENT


def test_a_move_that_was_killed_goes_on_by_the_same_command(run, jobs, start, server):
    for first in range(0, 60_000, 10_000):
        jobs.enqueue_many([call("add", number, 1) for number in range(first, first + 10_000)])
    before = contents(DATABASE)
    moving = start("move", DATABASE, server)
    copied = wait_for_rows(server, moving)
    moving.send_signal(signal.SIGKILL)
    assert moving.wait() == -signal.SIGKILL
    assert 0 < copied < 60_000
    assert run("status", "--database", server).code == 5
    jobs.with_options(job_id="meanwhile").enqueue("add", 1, 2)

    again = start("move", DATABASE, server, "--json")
    out, err = again.communicate(timeout=DEADLINE)

    assert (again.returncode, err) == (0, "")
    assert json.loads(out)["jobs"] == 60_001
    after = contents(server)
    assert set(after["sqlitejob_job"]) - set(before["sqlitejob_job"]) == {
        row for row in after["sqlitejob_job"] if "meanwhile" in row
    }


def wait_for_rows(server, moving):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and moving.poll() is None:
        if execute(server, "SELECT to_regclass('{schema}sqlitejob_job') IS NOT NULL")[0][0]:
            (count,) = execute(server, "SELECT count(*) FROM {schema}sqlitejob_job")[0]
            if count:
                return count
    raise AssertionError("nothing was copied")


def test_a_terminal_shows_a_bar_and_a_pipe_does_not(jobs, folder, start):
    jobs.enqueue_many([call("add", number, 1) for number in range(5_000)])
    jobs.close()
    terminal, inside = pty.openpty()
    moving = start("move", DATABASE, TARGET, stdin=inside, stderr=inside)
    os.close(inside)
    drawn = read_all(terminal)
    assert moving.wait(DEADLINE) == 0
    assert "10,000 of 10,000" in drawn
    assert "comparing" in drawn

    piped = subprocess.run(
        [moving.args[0], "move", TARGET, "next.db"], env=clean_environment(), stderr=subprocess.PIPE, check=True
    )
    assert piped.stderr == b""


def read_all(terminal):
    drawn = b""
    try:
        while True:
            drawn += os.read(terminal, 65536)
    except OSError:  # the other end was closed
        os.close(terminal)
        return drawn.decode()
