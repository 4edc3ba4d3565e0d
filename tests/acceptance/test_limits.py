"""Limits and unique keys under workers that are killed: triggers in the database watch at every instant."""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing

import pytest

from sqlite_job import Limit, RateLimit, SQLiteJob, WorkerSettings, call, task
from tests.acceptance.processes import DEADLINE, wait_until
from tests.doors.making import connect, execute, is_on_server

PROGRAM = """
import sys, time, random
from sqlite_job import Limit, RateLimit, Worker, WorkerSettings, task
from sqlite_job.storage import schema
schema._FOREIGN = "SELECT type, name, tbl_name FROM sqlite_master WHERE 0"  # the test's own triggers

def hold(key, number):
    time.sleep(random.uniform(0, 0.01))
    return number

def tick(number):
    return number

def once(number):
    time.sleep(random.uniform(0, 0.01))
    return number

class Settings(WorkerSettings):
    functions = [
        task(hold, concurrency=Limit(2, key=lambda key, number: key)),
        task(tick, rate_limit=RateLimit(20, per=0.5)),
        task(once, unique="only"),
    ]
    max_deaths = 1000
    max_jobs = 4

print("ready", flush=True)
Worker("default", Settings("jobs.db")).run()
"""

TRIGGERS = """
CREATE TABLE violation (what TEXT, key TEXT);
CREATE TABLE start_seen (at INTEGER);
CREATE TRIGGER watch_group AFTER UPDATE OF status ON sqlitejob_job
WHEN NEW.status = 'running' AND NEW.group_key IS NOT NULL
BEGIN
  INSERT INTO violation SELECT 'group', NEW.group_key
  WHERE (SELECT count(*) FROM sqlitejob_job WHERE group_key = NEW.group_key AND status = 'running') > NEW.group_limit;
END;
CREATE TRIGGER watch_unique AFTER INSERT ON sqlitejob_job WHEN NEW.unique_key IS NOT NULL
BEGIN
  INSERT INTO violation SELECT 'unique', NEW.unique_key
  WHERE (SELECT count(*) FROM sqlitejob_job WHERE unique_key = NEW.unique_key AND finished_at IS NULL) > 1;
END;
CREATE TRIGGER watch_rate AFTER UPDATE OF status ON sqlitejob_job
WHEN NEW.status = 'running' AND NEW.rate_key IS NOT NULL
BEGIN
  INSERT INTO start_seen VALUES (NEW.started_at);
END;
"""

# One function for all: when it is dropped, the triggers are too. It looks at the commit, when whoever has the place of
# another has either waited for that one's commit, or cannot be seen yet and looks later.
TRIGGERS_ON_SERVER = """
CREATE TABLE violation (what TEXT, key TEXT);
CREATE TABLE start_seen (at BIGINT);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO violation SELECT 'unique', NEW.unique_key
    WHERE (SELECT count(*) FROM sqlitejob_job WHERE unique_key = NEW.unique_key AND finished_at IS NULL) > 1;
  ELSIF NEW.status = 'running' THEN
    INSERT INTO violation SELECT 'group', NEW.group_key
    WHERE (SELECT count(*) FROM sqlitejob_job WHERE group_key = NEW.group_key AND status = 'running') > NEW.group_limit;
    INSERT INTO start_seen SELECT NEW.started_at WHERE NEW.rate_key IS NOT NULL;
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER watch_commit AFTER INSERT OR UPDATE OF status ON sqlitejob_job
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watch();
"""


def hold(key, number):
    """Stand for the function of the workers."""


def tick(number):
    """Stand for the function of the workers."""


def once(number):
    """Stand for the function of the workers."""


class Producer(WorkerSettings):
    functions = (
        task(hold, concurrency=Limit(2, key=lambda key, number: key)),
        task(tick, rate_limit=RateLimit(20, per=0.5)),
        task(once, unique="only"),
    )


@pytest.fixture
def watched(place):
    """Ask the database, which has triggers that note every violation."""
    SQLiteJob(database=place.database).counts()
    with closing(connect(place.database)) as connection:
        if is_on_server(place.database):
            connection.execute(TRIGGERS_ON_SERVER)
        else:
            connection.executescript(TRIGGERS)
        connection.commit()
    yield lambda question: execute(place.database, question)
    if is_on_server(place.database):
        execute(place.database, "DROP FUNCTION watch CASCADE")


def test_no_limit_is_broken_by_many_workers_and_kills(place, watched, monkeypatch):
    monkeypatch.setattr("sqlite_job.storage.schema._FOREIGN", "SELECT type, name, tbl_name FROM sqlite_master WHERE 0")
    chance = random.Random(20)
    jobs = SQLiteJob("default", Producer(place.database))
    workers = [place.python(PROGRAM) for _ in range(3)]
    found = []
    for number in range(12):
        found += jobs.enqueue_many([call(hold, key, number) for key in "abcde" for _ in range(6)])
        found += jobs.enqueue_many([call(tick, number) for _ in range(10)])
        found += [jobs.enqueue(once, number) for _ in range(5)]
        victim = workers.pop(0)
        victim.wait_for_line("ready")
        time.sleep(chance.uniform(0.05, 0.2))  # not to wait for anything: the kill comes at any moment
        victim.send(signal.SIGKILL)
        workers.append(place.python(PROGRAM))
    open_jobs = "SELECT count(*) FROM sqlitejob_job WHERE finished_at IS NULL"
    wait_until(lambda: watched(open_jobs) == [(0,)], "jobs are left that nobody runs", DEADLINE)

    assert watched("SELECT what, key FROM violation") == []
    assert {job.status().value for job in set(found)} == {"completed"}
    starts = sorted(at for (at,) in watched("SELECT at FROM start_seen"))
    assert len(starts) >= 120
    assert [later - sooner for sooner, later in zip(starts, starts[20:]) if later - sooner < 500_000] == []
    for worker in workers:
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
