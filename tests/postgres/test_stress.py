"""Random verbs from several storages at once, while the database itself watches that no limit is broken at any commit.

The triggers look when a transaction commits, one transaction after the other: so they see what all before it have
committed, and two that broke a limit together do not get by. They let everything else go side by side as ever.
"""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sqlite_job.core.states import TRANSITIONS, WAITING, JobStatus
from tests.postgres.stress import RATES, Actor, History

VERBS = 250
ACTORS = 5
DRAIN_SECONDS = 60.0

TRIGGERS = """
CREATE TABLE violation (what text, key text, job bigint);
CREATE TABLE allowed (source text, target text);
CREATE TABLE seen_start (rate_key text, started_at bigint);

CREATE FUNCTION watch_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1);
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO violation SELECT OLD.status || ' to ' || NEW.status, NULL, NEW.seq
            WHERE NOT EXISTS (SELECT FROM allowed WHERE source = OLD.status AND target = NEW.status);
        INSERT INTO violation SELECT 'claimed while it ran', NULL, NEW.seq
            WHERE OLD.status = 'running' AND NEW.claim_number <> OLD.claim_number;
    END IF;
    IF NEW.group_key IS NOT NULL AND NEW.status IN ('pending', 'running') THEN
        INSERT INTO violation SELECT 'group', NEW.group_key, NEW.seq WHERE NEW.group_limit < (
            SELECT count(*) FROM sqlitejob_job WHERE group_key = NEW.group_key AND status IN ('pending', 'running'));
    END IF;
    IF NEW.unique_key IN ('k', 'l') AND NEW.finished_at IS NULL THEN
        INSERT INTO violation SELECT 'two unfinished jobs', NEW.unique_key, NEW.seq WHERE 1 <
            (SELECT count(*) FROM sqlitejob_job WHERE unique_key = NEW.unique_key AND finished_at IS NULL);
        INSERT INTO violation SELECT 'unfinished without its key', NEW.unique_key, NEW.seq
            FROM sqlitejob_job AS job WHERE job.seq = NEW.seq AND finished_at IS NULL
            AND NOT EXISTS (SELECT FROM sqlitejob_unique WHERE key = NEW.unique_key AND seq = NEW.seq);
    END IF;
    IF NEW.unique_key IN ('v', 'w') AND NEW.status = 'running' THEN
        INSERT INTO violation SELECT 'two running jobs', NEW.unique_key, NEW.seq WHERE 1 <
            (SELECT count(*) FROM sqlitejob_job WHERE unique_key = NEW.unique_key AND status = 'running');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER watch_job AFTER INSERT OR UPDATE ON sqlitejob_job
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watch_job();

CREATE FUNCTION watch_result() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO violation SELECT 'completed by an earlier claim', NULL, NEW.seq
        FROM sqlitejob_job WHERE seq = NEW.seq AND claim_number::text <> convert_from(NEW.value, 'UTF8');
    RETURN NULL;
END $$;
CREATE TRIGGER watch_result AFTER INSERT ON sqlitejob_result FOR EACH ROW EXECUTE FUNCTION watch_result();

CREATE FUNCTION watch_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen_start VALUES (NEW.rate_key, NEW.started_at);
    RETURN NULL;
END $$;
CREATE TRIGGER watch_start AFTER INSERT ON sqlitejob_start FOR EACH ROW EXECUTE FUNCTION watch_start();
"""


@pytest.fixture
def database(postgres_url):
    """A connection to the database, which has the triggers."""
    Actor(postgres_url, History(), "first").close()  # makes the tables
    connection = psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True)
    connection.execute(TRIGGERS)
    connection.cursor().executemany("INSERT INTO allowed VALUES (%s, %s)", allowed_changes())
    yield connection
    connection.execute(
        "DROP FUNCTION watch_job, watch_result, watch_start CASCADE; DROP TABLE violation, allowed, seen_start"
    )
    connection.close()


def allowed_changes():
    """Return the changes of a row's status that are transitions, or steps of one: none, and among those that wait."""
    changes = {(status, status) for status in JobStatus}
    changes |= {(old, new) for old in WAITING for new in WAITING}
    changes |= {(old, new) for verb in TRANSITIONS.values() for old in verb.sources for new in verb.targets}
    return [(old.value, new.value) for old, new in changes]


def test_no_limit_is_broken_and_nothing_is_lost_or_stuck(database, postgres_url):
    history = History()
    actors = [Actor(postgres_url, history, seed) for seed in range(ACTORS)]
    with ThreadPoolExecutor(ACTORS) as threads:
        for ended in [threads.submit(actor.act, VERBS) for actor in actors]:
            ended.result()
    drain(actors, database)

    assert history.wrong == []
    assert database.execute("SELECT DISTINCT what, key FROM violation").fetchall() == []
    assert too_many_starts(database) == []
    assert [claim for claim, count in history.claims.items() if count > 1] == []
    left = {job_id for (job_id,) in database.execute("SELECT id FROM sqlitejob_job WHERE id LIKE 'job-%'")}
    gone = history.enqueued - left - history.deleted
    assert len(gone) <= history.pruned
    assert left <= history.enqueued
    assert len(history.claims) > VERBS
    for actor in actors:
        actor.close()


def drain(actors, database):
    """Run what is left; fails where jobs wait for something that does not come."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        for actor in actors:
            actor.drain()
        left = database.execute(
            "SELECT status, group_key, rate_key, unique_key, run_at FROM sqlitejob_job "
            "WHERE finished_at IS NULL LIMIT 5"
        ).fetchall()
        if not left:
            return
        assert time.monotonic() < deadline, f"jobs wait for nothing: {left}"
        time.sleep(0.05)


def too_many_starts(database):
    """Return the rates under which more jobs have started in some span of time than allowed."""
    starts = defaultdict(list)
    for key, started_at in database.execute("SELECT rate_key, started_at FROM seen_start ORDER BY started_at"):
        starts[key].append(started_at)
    assert set(starts) == set(RATES)
    return [
        (key, later - sooner)
        for key, (most, per) in RATES.items()
        for sooner, later in zip(starts[key], starts[key][most:])
        if later - sooner < per
    ]
