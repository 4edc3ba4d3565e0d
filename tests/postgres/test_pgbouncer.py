"""Behind PgBouncer in transaction mode: no notifications, no locks of a session; all works by polls and leases."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from sqlite_job import SQLiteJob, Worker, WorkerSettings
from sqlite_job.core.jobs import Conditions
from sqlite_job.storage.postgres.address import parse
from sqlite_job.storage.postgres.examination import examine
from sqlite_job.storage.postgres.storage import PostgresStorage
from sqlite_job.storage.sql import worker
from tests.postgres.fixtures import do_without
from tests.postgres.interleaving import DEADLINE, wait_until
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def pooler(postgres_server):
    """The port of a PgBouncer before the server of the run."""
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if program is None:
        do_without("no pgbouncer found. Install it: apt install pgbouncer, or brew install pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        file = Path(folder, "pgbouncer.ini")
        file.write_text(CONFIGURATION.format(server=postgres_server.port, port=port))
        # It refuses to be root.
        user = ["-u", "nobody"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        with running([program, *user, str(file)], port):
            yield port


@contextmanager
def running(command, port):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def listens():
        assert process.poll() is None, process.stdout.read()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "pgbouncer listens")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


@pytest.fixture
def url(pooler, postgres_url):
    """The URL of the empty database, through the pooler."""
    return make_url(postgres_url).set(port=pooler).render_as_string(hide_password=False)


@pytest.fixture
def storage(url):
    made = PostgresStorage(parse(url), "full")
    yield made
    made.close()


def add(a, b):
    return a + b


class Settings(WorkerSettings):
    functions = [add]


def test_an_idle_worker_finds_a_job_by_its_own_looks(url):
    jobs = SQLiteJob("default", Settings(url))
    worker = Worker("default", Settings(url))
    running = threading.Thread(target=worker.run)
    running.start()
    assert jobs.enqueue("add", 1, 2).result(timeout=DEADLINE) == 3  # the worker has begun
    began = time.monotonic()
    assert jobs.enqueue("add", 2, 2).result(timeout=DEADLINE) == 4
    assert time.monotonic() - began < Settings(url).poll_delay
    worker.stop()
    running.join(DEADLINE)
    jobs.close()


def test_statements_run_often_enough_to_be_prepared_go_through_any_session(url, postgres_url):
    """Each thread's statements reach the few sessions of the pooler in turn."""
    storages = [PostgresStorage(parse(url), "full") for _ in range(4)]

    def work(storage):
        worker_id = storage.register_worker(("default",), NOW, LEASE)
        conditions = Conditions(group_key="g", group_limit=100, rate_key="r", rate_starts=1000, rate_per=1)
        done = 0
        for _ in range(12):
            storage.enqueue([new_job(conditions=conditions), new_job(), new_job(run_at=NOW - 1)])
            claimed = claim(storage, room=3, worker_id=worker_id)
            assert settle(storage, *map(completed, claimed), worker_id=worker_id) == []
            done += len(claimed)
        storage.unregister_worker(worker_id)
        return done

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(work, storages)) > 0
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlitejob_job").fetchone() == (4 * 12 * 3,)
    for storage in storages:
        storage.close()


def test_a_worker_lives_as_long_as_its_lease_whatever_locks_others_see(storage, stage, first):
    worker_id = storage.register_worker(("default",), NOW, 9 * LEASE)
    leases = first._read(lambda transaction: transaction.rows(worker.LEASES))
    assert {row[0]: row[2] for row in leases} == {1: "lock", worker_id: "lease"}
    storage.enqueue([new_job("a")])
    assert [job.id for job in claim(storage, worker_id=worker_id)] == ["a"]
    first.heartbeat(1, NOW, 99 * LEASE)
    assert first.rescue(NOW, 3) == []
    assert [job.id for job in first.rescue(NOW + 10 * LEASE, 3)] == ["a"]


def test_a_worker_behind_the_pooler_sees_a_death_that_a_lock_shows(storage, stage):
    direct = stage.storage("direct")
    worker_id = direct.register_worker(("default",), NOW, LEASE)
    direct.enqueue([new_job("a")])
    claim(direct, worker_id=worker_id)
    assert storage.rescue(NOW, 3) == []
    direct.abandon_worker(worker_id)
    wait_until(lambda: [job.id for job in storage.rescue(NOW, 3)] == ["a"], "the job is rescued")


def test_no_setting_of_ours_is_left_in_a_session_that_others_get_next(storage, url):
    storage.enqueue([new_job()])
    storage.counts()
    settings = ("lock_timeout", "jit", "synchronous_commit")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=None) as other:
        found = {name: other.execute(f"SHOW {name}").fetchone()[0] for name in settings}
        defaults = dict(other.execute("SELECT name, reset_val FROM pg_settings WHERE name = ANY (%s)", [[*settings]]))
    assert found == defaults


def test_the_doctor_tells_of_the_pooler(storage, url):
    storage.enqueue([new_job()])
    (found,) = [finding for finding in examine(url, now=NOW) if finding.check == "Connection"]
    assert "through a pooler" in found.message
