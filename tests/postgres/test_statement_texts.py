"""The compiled text of the hot statements on PostgreSQL: what reaches the driver changes on purpose only."""

from __future__ import annotations

import pytest

from sqlite_job.storage.postgres.dialect import dialect_of
from sqlite_job.storage.sql import completion, group, job, payload

HOT = {
    "CLAIM": (
        job.CLAIM,
        None,
        "UPDATE sqlitejob_job SET status='running', started_at=%s::BIGINT, tries=(sqlitejob_job.tries + 1), "
        "claim_number=(sqlitejob_job.claim_number + 1), worker_id=%s::BIGINT "
        "WHERE sqlitejob_job.seq = ANY (ARRAY(SELECT sqlitejob_job.seq FROM sqlitejob_job "
        "WHERE sqlitejob_job.queue = %s::VARCHAR AND sqlitejob_job.status = 'pending' "
        "AND sqlitejob_job.function = ANY (CAST(%s AS TEXT[])) "
        "AND (sqlitejob_job.expires_at IS NULL OR sqlitejob_job.expires_at > %s::BIGINT) "
        "AND (sqlitejob_job.seq NOT IN (SELECT sqlitejob_suspect.seq FROM sqlitejob_suspect)) "
        "ORDER BY sqlitejob_job.priority DESC, sqlitejob_job.seq LIMIT %s OFFSET 0 FOR UPDATE SKIP LOCKED)) "
        "RETURNING -sqlitejob_job.priority AS rank, sqlitejob_job.seq, sqlitejob_job.claim_number, "
        "sqlitejob_job.tries, sqlitejob_job.id, sqlitejob_job.queue, sqlitejob_job.function, "
        "sqlitejob_job.max_tries, sqlitejob_job.timeout, sqlitejob_job.deaths, sqlitejob_job.expires_at",
    ),
    "COMPLETE_ALL": (
        completion.COMPLETE_ALL,
        None,
        "UPDATE sqlitejob_job SET status='completed', started_at=ended.started_at, finished_at=ended.finished_at, "
        "worker_id=NULL FROM unnest(CAST(%s AS BIGINT[]), CAST(%s AS BIGINT[]), CAST(%s AS BIGINT[]), "
        "CAST(%s AS BIGINT[])) AS ended(started_at, finished_at, seq, claim_number) "
        "WHERE sqlitejob_job.seq = ended.seq AND coalesce(sqlitejob_job.status, '') = 'running' "
        "AND sqlitejob_job.claim_number = ended.claim_number",
    ),
    "PAYLOAD": (
        payload.INSERT.arrays,
        None,
        "INSERT INTO sqlitejob_payload (seq, codec, args, preview, tags, meta) "
        "SELECT anon_1.seq, anon_1.codec, anon_1.args, anon_1.preview, anon_1.tags, anon_1.meta "
        "FROM unnest(CAST(%s AS BIGINT[]), CAST(%s AS TEXT[]), CAST(%s AS BYTEA[]), CAST(%s AS TEXT[]), "
        "CAST(%s AS TEXT[]), CAST(%s AS TEXT[])) AS anon_1(seq, codec, args, preview, tags, meta)",
    ),
    "PROMOTE": (
        job.PROMOTE,
        "My Jobs",
        'UPDATE "My Jobs".sqlitejob_job SET status=CASE WHEN ("My Jobs".sqlitejob_job.group_key IS NULL '
        "AND \"My Jobs\".sqlitejob_job.rate_key IS NULL) THEN 'pending' ELSE 'blocked' END "
        'WHERE "My Jobs".sqlitejob_job.seq = ANY (ARRAY(SELECT "My Jobs".sqlitejob_job.seq '
        'FROM "My Jobs".sqlitejob_job WHERE "My Jobs".sqlitejob_job.status = \'scheduled\' '
        'AND "My Jobs".sqlitejob_job.run_at <= %s::BIGINT ORDER BY "My Jobs".sqlitejob_job.run_at '
        "LIMIT 1000 OFFSET 0 FOR UPDATE SKIP LOCKED)) "
        'RETURNING "My Jobs".sqlitejob_job.seq, "My Jobs".sqlitejob_job.group_key, "My Jobs".sqlitejob_job.rate_key',
    ),
    "AHEAD": (
        group.AHEAD,
        None,
        "SELECT sqlitejob_job.group_key, false FROM sqlitejob_job "
        "WHERE sqlitejob_job.seq = ANY (CAST(%s AS BIGINT[])) AND sqlitejob_job.group_key IS NOT NULL UNION ALL "
        "SELECT due.group_key, true FROM (SELECT sqlitejob_job.group_key AS group_key FROM sqlitejob_job "
        "WHERE sqlitejob_job.status = 'scheduled' AND sqlitejob_job.run_at <= %s::BIGINT "
        "ORDER BY sqlitejob_job.run_at LIMIT 1000) AS due",
    ),
}


@pytest.mark.parametrize("name", HOT)
def test_the_text_of_a_hot_statement(name):
    statement, schema, text = HOT[name]
    assert " ".join(statement.compiled[dialect_of(schema)].text.split()) == text


@pytest.mark.parametrize("name", ["COMPLETE_ALL", "PAYLOAD", "PROMOTE", "AHEAD"])
def test_a_statement_of_the_hot_path_needs_no_rearranging(name):
    statement, schema, _ = HOT[name]
    assert statement.compiled[dialect_of(schema)].arrange is None
