"""The plans on PostgreSQL, among very many finished jobs: every hot statement finds what it looks for by its index.

psycopg prepares what it runs often, and the server may keep one plan for all values of a prepared statement: so that
one, the generic plan, is looked at as well as the plan for given values.
"""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import sql

from sqlite_job.storage.postgres.address import parse
from sqlite_job.storage.postgres.dialect import dialect_of
from sqlite_job.storage.postgres.storage import PostgresStorage
from sqlite_job.storage.sql import (
    belongings,
    completion,
    expiry,
    failure,
    group,
    job,
    log,
    lookup,
    payload,
    progress,
    queue,
    rate,
    unique,
)
from sqlite_job.storage.sql.glance import GLANCE
from tests.storage.making import new_job

FINISHED = 100_000

# What a queue looks like after some days: all but a few jobs have finished.
ROWS = f"""
INSERT INTO sqlitejob_job (id, queue, function, status, created_at, started_at, finished_at, claim_number, group_key)
    SELECT 'job-' || n, 'default', 'add', 'completed', n, n, n, 1, CASE WHEN n % 10 = 0 THEN 'g' || n % 1000 END
    FROM generate_series(1, {FINISHED}) AS n;
INSERT INTO sqlitejob_job (id, queue, function, status, created_at, run_at, worker_id, expires_at, group_key,
        group_limit, rate_key)
    SELECT 'open-' || n, 'default', 'add', (ARRAY['pending', 'scheduled', 'blocked', 'running'])[n % 4 + 1], n, n,
        n % 5, CASE WHEN n % 7 = 0 THEN n END, 'g' || n % 10, 1, CASE WHEN n % 3 = 0 THEN 'r' || n % 4 END
    FROM generate_series(1, 400) AS n;
INSERT INTO sqlitejob_job (id, queue, function, status, created_at, group_key, group_limit)
    SELECT 'waits-' || n, 'default', 'add', 'blocked', n, 'h' || n % 10, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO sqlitejob_job (id, queue, function, status, created_at)
    SELECT 'backlog-' || n, 'default', 'add', 'pending', n FROM generate_series(1, 20000) AS n;
INSERT INTO sqlitejob_job (id, queue, function, status, created_at, run_at)
    SELECT 'later-' || n, 'default', 'add', 'scheduled', n, n FROM generate_series(1, 20000) AS n;
INSERT INTO sqlitejob_payload (seq, codec, args) SELECT seq, 'json', '[]' FROM sqlitejob_job ON CONFLICT DO NOTHING;
INSERT INTO sqlitejob_result (seq, codec, value) SELECT seq, 'json', '1' FROM sqlitejob_job;
INSERT INTO sqlitejob_failure SELECT seq, 1, 1, 'E', 'm', 't', 1, 1, 1 FROM sqlitejob_job;
INSERT INTO sqlitejob_log SELECT seq, 1, 1, 1, 20, 'l', 'm' FROM sqlitejob_job;
INSERT INTO sqlitejob_progress SELECT seq, 1, 1, 'm', 1 FROM sqlitejob_job;
INSERT INTO sqlitejob_unique SELECT 'k' || seq, seq, 1 FROM sqlitejob_job;
INSERT INTO sqlitejob_tag SELECT 't' || seq % 10, seq FROM sqlitejob_job;
INSERT INTO sqlitejob_rate SELECT 'r' || n, 10, 1000, NULLIF(n % 5, 0) FROM generate_series(1, 2000) AS n;
INSERT INTO sqlitejob_start SELECT 'r' || n % 100, n, n, 1 FROM generate_series(1, 10000) AS n;
"""

QUEUES, FUNCTIONS, SEQS = ["default"], ["add"], [1, 2, 3]

HOT = {
    "CLAIM": (job.CLAIM, (1, 1, "default", FUNCTIONS, 10), "claimable"),
    "CLAIM_SUSPECT": (job.CLAIM_SUSPECT, (1, 1, "default", FUNCTIONS), ("job_pkey", "claimable")),
    "GLANCE": (GLANCE, (1, 1), ("due", "blocked")),
    "IS_CLAIMABLE": (job.IS_CLAIMABLE, ("default", FUNCTIONS, 1), "claimable"),
    "IS_SUSPECT_CLAIMABLE": (job.IS_SUSPECT_CLAIMABLE, ("default", FUNCTIONS, 1), ("job_pkey", "claimable")),
    "PROMOTE": (job.PROMOTE, (1,), "due"),
    "NEXT_RUN_AT": (job.NEXT_RUN_AT, (), "due"),
    "COMPLETE": (completion.COMPLETE, (1, 1, 1, 1), ("job_pkey", "held")),
    "COMPLETE_ALL": (completion.COMPLETE_ALL, (SEQS, SEQS, SEQS, SEQS), ("job_pkey", "held")),
    "FAIL": (job.FAIL, (1, 1, 1, 1), ("job_pkey", "held")),
    "IS_RUNNING": (job.IS_RUNNING, (1, 1), ("job_pkey", "held")),
    "CANCEL_REQUESTS": (job.CANCEL_REQUESTS, (1,), "held"),
    "HELD": (job.HELD, (1,), ("held", "job_pkey")),
    "HOLDERS": (job.HOLDERS, (), "held"),
    "STATUS": (job.STATUS, ("a",), "job_id_key"),
    "LOCATE": (job.LOCATE, ("a",), "job_id_key"),
    "KEYS": (job.KEYS, ("a",), "job_id_key"),
    "EXISTING_IDS": (job.EXISTING_IDS, (["a", "b"],), "job_id_key"),
    "FINISHED": (job.FINISHED, (1, 1, 10**15, 500), "finished"),
    "ENDS": (job.ENDS, (SEQS,), "job_pkey"),
    "UNKNOWN_FUNCTIONS": (job.UNKNOWN_FUNCTIONS, (QUEUES, FUNCTIONS), "claimable"),
    "expiry.FIND": (expiry.FIND, (1, 10), "expiring"),
    "group.RELEASE": (group.RELEASE, ("g1",), "grouped"),
    "group.AHEAD": (group.AHEAD, (SEQS, 1), "due"),
    "group.OF_JOBS": (group.OF_JOBS, (SEQS,), "job_pkey"),
    "group.IS_ANY_BLOCKED": (group.IS_ANY_BLOCKED, (), "blocked"),
    "group.RATE_OF_NEXT": (group.RATE_OF_NEXT, ("g1",), "grouped"),
    "group.WITHOUT_LIMITS": (group.WITHOUT_LIMITS, (SEQS,), "job_pkey"),
    "rate.DUE": (rate.DUE, (1, QUEUES, FUNCTIONS, 100), ("rate_next", "rated")),
    "rate.NEXT_AT": (rate.NEXT_AT, (1,), "rate_next"),
    "rate.CANDIDATES": (rate.CANDIDATES, ("r1", QUEUES, FUNCTIONS, 1, 5), ("rated", "blocked")),
    "rate.IS_ANY_NEXT": (rate.IS_ANY_NEXT, ("r1", 1), ("rated", "blocked")),
    "rate.RELEASE": (rate.RELEASE, (1,), ("job_pkey", "blocked")),
    "rate.BLOCK": (rate.BLOCK, (SEQS,), ("job_pkey", "claimable")),
    "rate.STARTED_OF": (rate.STARTED_OF, (SEQS,), "job_pkey"),
    "rate.OF_JOBS": (rate.OF_JOBS, (SEQS,), ("job_pkey", "blocked")),
    "rate.COUNT_STARTS": (rate.COUNT_STARTS, ("r1", 1), "start_pkey"),
    "rate.NTH_LATEST_START": (rate.NTH_LATEST_START, ("r1", 3), "start_pkey"),
    "rate.FORGET_STARTS": (rate.FORGET_STARTS, ("r1", 1), "start_pkey"),
    "queue.COUNT_RUNNING": (queue.COUNT_RUNNING, ("default",), "held"),
    "unique.HOLDER": (unique.HOLDER, ("k",), "unique_pkey"),
    "unique.FREE": (unique.FREE, ("k",), "unique_pkey"),
    "payload.OF_CLAIMED": (payload.OF_CLAIMED, (SEQS,), "payload_pkey"),
    "payload.OF_JOB": (payload.OF_JOB, ("a",), "payload_pkey"),
    "lookup.RESULT": (lookup.RESULT, ("a",), "result_pkey"),
    "lookup.GET": (lookup.GET, ("a",), "job_id_key"),
    "failure.OF_JOB": (failure.OF_JOB, ("a",), "failure_pkey"),
    "progress.OF_JOB": (progress.OF_JOB, ("a",), "progress_pkey"),
    "log.LAST_NUMBER": (log.LAST_NUMBER, (1,), "log_pkey"),
    "RELEASE_KEY": (belongings.RELEASE_KEY, ("k", 1), "unique_pkey"),
    **{f"DELETE_ALL {n}": (one, (1,), "") for n, one in enumerate(belongings.DELETE_ALL)},
}

LARGE = "job|payload|result|failure|log|progress|unique|tag|start"


# As autovacuum does, which never looks at a table that nobody has written to; and not even that, in the first minute.
ANALYZE = """
DO $$
DECLARE written regclass;
BEGIN
    FOR written IN
        SELECT oid FROM pg_class WHERE relkind = 'r' AND relname LIKE 'sqlitejob%' AND pg_relation_size(oid) > 0
    LOOP
        EXECUTE format('ANALYZE %s', written);
    END LOOP;
END $$
"""


@pytest.fixture(scope="module", params=["analyzed", "never analyzed"])
def connection(request, postgres_server, worker_name):
    """A connection to a database with many finished jobs, and statistics of them."""
    name = f"plans_{worker_name}"
    url = postgres_server.create_database(name)
    storage = PostgresStorage(parse(url), "full")
    storage.enqueue([new_job("a")])
    storage.close()
    with psycopg.connect(postgres_server.conninfo_of(name), autocommit=True, prepare_threshold=None) as made:
        made.execute(ROWS)
        if request.param == "analyzed":
            made.execute(ANALYZE)
        yield made
    postgres_server.drop_database(name)


def plan_of(connection, statement, values, mode):
    """Return the plan of a prepared statement."""
    text, arrange = statement.compiled[dialect_of(None)]
    numbers = iter(range(1, 100))
    prepared = re.sub("%s", lambda _: f"${next(numbers)}", text).replace("%%", "%")
    connection.execute(f"SET plan_cache_mode = {mode}")
    connection.execute(f"PREPARE hot AS {prepared}")
    given = sql.SQL(", ").join(map(sql.Literal, arrange(values) if arrange else values))
    call = sql.SQL("EXECUTE hot({})").format(given) if values else sql.SQL("EXECUTE hot")
    plan = "\n".join(row[0] for row in connection.execute(sql.SQL("EXPLAIN ") + call))
    connection.execute("DEALLOCATE hot")
    return plan


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", HOT)
def test_each_hot_statement_uses_its_index(connection, name, mode):
    statement, values, indexes = HOT[name]
    plan = plan_of(connection, statement, values, mode)
    found = re.findall(r"using sqlitejob_(\w+)|Bitmap Index Scan on sqlitejob_(\w+)", plan)
    used = {one or other for one, other in found}
    wanted = {indexes} if isinstance(indexes, str) else set(indexes)
    assert used & wanted or wanted == {""}, plan
    assert not re.search(rf"Seq Scan on sqlitejob_({LARGE})\b", plan), plan


@pytest.mark.usefixtures("connection")
def test_no_statement_of_ours_is_compiled(postgres_server, worker_name):
    """That takes longer than any of them runs."""
    storage = PostgresStorage(parse(postgres_server.url_of(f"plans_{worker_name}")), "full")

    def read_setting(transaction):
        return transaction._cursor.execute("SHOW jit").fetchone()

    assert [storage._read(read_setting), storage._write(read_setting)] == [("off",), ("off",)]
    storage.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_claim_reads_its_queue_in_order_and_sorts_nothing(connection, mode):
    plan = plan_of(connection, *HOT["CLAIM"][:2], mode)
    assert "Sort" not in plan, plan
