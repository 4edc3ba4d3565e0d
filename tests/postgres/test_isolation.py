"""Jobs in the user's transaction at each isolation level: none is admitted by what is not true any more."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import create_engine, text

from sqlite_job.core.errors import TransactionStateError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.states import JobStatus
from tests.storage.making import claim, completed, new_job, settle

GROUPED = Conditions(group_key="g", group_limit=1)
RATED = Conditions(rate_key="r", rate_starts=1, rate_per=1)
UNIQUE = Conditions(unique_key="u")


@pytest.mark.parametrize("conditions", [GROUPED, RATED, UNIQUE], ids=["group", "rate", "unique"])
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_sees_the_past_cannot_admit_what_depends_on_others(stage, first, level, conditions):
    with psycopg.connect(stage.conninfo) as theirs:
        theirs.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(TransactionStateError, match="READ COMMITTED"):
            first.enqueue_within(theirs, [new_job("a", conditions=conditions)])
        first.enqueue_within(theirs, [new_job("b", conditions=Conditions(expires_at=5)), new_job("c")])
    assert [first.get(name) is None for name in "abc"] == [True, False, False]


def test_a_session_that_sees_the_past_is_told_so_too(postgres_url, first):
    engine = create_engine(postgres_url, isolation_level="REPEATABLE READ")
    with engine.begin() as connection, pytest.raises(TransactionStateError, match="READ COMMITTED"):
        first.enqueue_within(connection, [new_job(conditions=GROUPED)])
    engine.dispose()


def test_a_job_is_released_although_the_session_had_read_before_its_group_was_free(stage, first, postgres_url):
    first.enqueue([new_job("a", conditions=GROUPED)])
    (a,) = claim(first)
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM sqlitejob_job WHERE status = 'running'")).scalar() == 1
        settle(first, completed(a))
        first.enqueue_within(connection, [new_job("b", conditions=GROUPED)])
    assert first.get("b").status is JobStatus.PENDING
    engine.dispose()
