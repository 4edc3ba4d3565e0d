"""The compiled text of the hot statements: what reaches the driver is here to be read, and changes on purpose only."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sqlite_job.storage.sql import completion, job, payload, result, take
from sqlite_job.storage.sql.glance import GLANCE
from sqlite_job.storage.sqlite import _DIALECT
from sqlite_job.storage.statement import Statement, given
from sqlite_job.storage.tables import job as job_table

HOT = {
    "CLAIMABLE": (
        take.CLAIMABLE,
        "SELECT sqlitejob_job.seq, sqlitejob_job.claim_number + 1 AS anon_1, sqlitejob_job.tries + 1 AS anon_2, "
        "sqlitejob_job.id, sqlitejob_job.queue, sqlitejob_job.function, sqlitejob_job.max_tries, "
        "sqlitejob_job.timeout, sqlitejob_job.deaths, sqlitejob_job.expires_at, "
        "coalesce(sqlitejob_payload.codec, '') AS coalesce_1, coalesce(sqlitejob_payload.args, x'') AS coalesce_2, "
        "sqlitejob_payload.tags, sqlitejob_payload.meta FROM sqlitejob_job "
        "LEFT OUTER JOIN sqlitejob_payload ON sqlitejob_job.seq = sqlitejob_payload.seq "
        "WHERE sqlitejob_job.queue = ? AND sqlitejob_job.status = 'pending' "
        "AND sqlitejob_job.function IN (SELECT value FROM json_each(?)) "
        "AND (sqlitejob_job.expires_at IS NULL OR sqlitejob_job.expires_at > ?) "
        "AND (sqlitejob_job.seq NOT IN (SELECT sqlitejob_suspect.seq FROM sqlitejob_suspect)) "
        "ORDER BY sqlitejob_job.priority DESC, sqlitejob_job.seq LIMIT ? OFFSET 0",
    ),
    "TAKE": (
        take.TAKE,
        "UPDATE sqlitejob_job SET status='running', started_at=?, tries=(sqlitejob_job.tries + 1), "
        "claim_number=(sqlitejob_job.claim_number + 1), worker_id=? "
        "WHERE sqlitejob_job.seq IN (SELECT value FROM json_each(?))",
    ),
    "GLANCE": (
        GLANCE,
        "SELECT EXISTS (SELECT 1 FROM sqlitejob_worker WHERE sqlitejob_worker.id = ?) AS anon_1, "
        "(SELECT sqlitejob_job.seq FROM sqlitejob_job WHERE sqlitejob_job.status = 'scheduled' "
        "AND sqlitejob_job.run_at <= ? ORDER BY sqlitejob_job.run_at LIMIT 1 OFFSET 0) IS NOT NULL AS anon_2, "
        "(SELECT sqlitejob_job.seq FROM sqlitejob_job WHERE sqlitejob_job.status = 'blocked' "
        "ORDER BY sqlitejob_job.created_at LIMIT 1 OFFSET 0) IS NOT NULL AS anon_3, "
        "EXISTS (SELECT 1 FROM sqlitejob_suspect) AS anon_4, "
        "EXISTS (SELECT 1 FROM sqlitejob_queue WHERE sqlitejob_queue.paused_at IS NOT NULL) AS anon_5",
    ),
    "COMPLETE": (
        completion.COMPLETE,
        "UPDATE sqlitejob_job SET status='completed', started_at=?, finished_at=?, worker_id=NULL "
        "WHERE sqlitejob_job.seq = ? AND sqlitejob_job.status = 'running' AND sqlitejob_job.claim_number = ?",
    ),
    "ENQUEUE_NEXT": (
        job.ENQUEUE_NEXT.rows(1),
        "INSERT INTO sqlitejob_job "
        "(id, queue, function, status, priority, created_at, run_at, max_tries, timeout) "
        "VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?)",
    ),
    "ITS_PAYLOAD": (
        payload.INSERT_LAST.rows(1),
        "INSERT INTO sqlitejob_payload (seq, codec, args, preview, tags, meta) "
        "VALUES (last_insert_rowid(), ?, ?, ?, ?, ?)",
    ),
    "ENQUEUE": (
        job.ENQUEUE.rows(1),
        "INSERT INTO sqlitejob_job "
        "(seq, id, queue, function, status, priority, created_at, run_at, max_tries, timeout) "
        "VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?)",
    ),
    "PAYLOAD": (
        payload.INSERT.rows(2),
        "INSERT INTO sqlitejob_payload (seq, codec, args, preview, tags, meta) "
        "VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?)",
    ),
    "RESULT": (result.INSERT.rows(1), "INSERT INTO sqlitejob_result (seq, codec, value, preview) VALUES (?, ?, ?, ?)"),
}


@pytest.mark.parametrize("name", HOT)
def test_the_text_of_a_hot_statement(name):
    statement, text = HOT[name]
    assert " ".join(statement.compiled[_DIALECT].text.split()) == text


@pytest.mark.parametrize(
    "name", ["GLANCE", "CLAIMABLE", "TAKE", "COMPLETE", "ENQUEUE", "ENQUEUE_NEXT", "ITS_PAYLOAD", "PAYLOAD", "RESULT"]
)
def test_a_statement_of_the_hot_path_needs_no_rearranging(name):
    assert HOT[name][0].compiled[_DIALECT].arrange is None


def test_parameters_are_put_into_the_texts_order():
    statement = Statement(
        select(job_table.c.id).where(job_table.c.seq == given("a"), job_table.c.queue == given("b")),
        "given_b",
        "given_a",
    )
    text, arrange = statement.compiled[_DIALECT]
    assert text.index("seq = ?") < text.index("queue = ?")
    assert arrange(("b", "a")) == ("a", "b")


def test_a_declared_order_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="do not fit"):
        Statement(select(job_table.c.id).where(job_table.c.seq == given("a")), "given_b").compiled[_DIALECT]
