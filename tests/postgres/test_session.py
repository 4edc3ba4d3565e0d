"""with_options(session=...) on PostgreSQL: a job that exists if and only if the user's transaction commits."""

from __future__ import annotations

import threading

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, func, insert, select, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from sqlite_job import (
    DatabaseBusyError,
    InvalidOptionError,
    JobNotFoundError,
    JobStatus,
    Limit,
    OtherDatabaseError,
    SQLiteJob,
    TransactionStateError,
    Worker,
    call,
    task,
)
from tests.doors.making import DEADLINE, connect_to_server, count_jobs, drain, execute, settings_of, wait_until

orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True))

OPEN_OF_OURS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'sqlite-job' AND xact_start IS NOT NULL
"""


def add(a, b=0):
    return a + b


@pytest.fixture
def database(postgres_url):
    yield postgres_url
    assert execute(postgres_url, OPEN_OF_OURS) == [(0,)]
    SQLiteJob(database=postgres_url).close()


@pytest.fixture
def jobs(database):
    made = SQLiteJob(database=database)
    made.counts()
    return made


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request, jobs, database):
    pytest.importorskip(request.param, reason="needs psycopg2, which the extra dev installs on the default Python")
    made = engine_of(database, request.param)
    yield made
    made.dispose()


@pytest.fixture(params=["session", "scoped", "connection"])
def session(request, engine):
    """Whatever of SQLAlchemy's has a transaction."""
    if request.param == "scoped":
        registry = scoped_session(sessionmaker(engine))
        yield registry
        registry.remove()
        return
    with Session(engine) if request.param == "session" else engine.connect() as made:
        yield made


@pytest.fixture(params=["plain", "client cursors", "dictionaries"])
def driver(request, jobs, database):
    """A connection of psycopg's own, as users and Django make it."""
    options = {
        "plain": {},
        "client cursors": {"cursor_factory": psycopg.ClientCursor},
        "dictionaries": {"row_factory": dict_row},
    }[request.param]
    with connect_to_server(database, **options) as made:
        made.execute("CREATE TABLE orders (id SERIAL PRIMARY KEY)")
        made.commit()
        yield made
        made.rollback()


def engine_of(database, driver="psycopg", **options):
    """Return an engine on the database, which has a table of the user's."""
    made = create_engine(database.replace("+psycopg", f"+{driver}"), **options)
    with made.begin() as connection:
        orders.create(connection, checkfirst=True)
    return made


def count_orders(database):
    return execute(database, "SELECT count(*) FROM orders")[0][0]


# ---- if and only if it commits


def test_the_job_is_there_when_the_transaction_has_committed(jobs, session, database):
    job = jobs.with_options(session=session, tags=["t"], meta={"a": 1}).enqueue("add", 1, 2)
    session.execute(insert(orders).values(id=1))
    before = count_jobs(database)
    session.commit()

    assert before == 0
    assert (job.info().arguments, job.info().tags, job.info().meta) == ("1, 2", ("t",), {"a": 1})
    assert count_orders(database) == 1


def test_the_job_never_existed_when_the_transaction_was_rolled_back(jobs, session, database):
    session.execute(insert(orders).values(id=1))
    job = jobs.with_options(session=session).enqueue("add", 1, 2)
    session.rollback()

    with pytest.raises(JobNotFoundError):
        job.info()
    assert count_jobs(database) == count_orders(database) == 0


def test_one_transaction_takes_jobs_again_and_again_and_the_next_one_too(jobs, session, database):
    inside = jobs.with_options(session=session)
    inside.enqueue_many([call("add", n) for n in range(50)])
    for _ in range(3):
        session.execute(insert(orders))
        inside.with_options(delay=60).enqueue("add", 2)
    session.commit()
    inside.enqueue("add", 3)
    session.rollback()

    assert (count_jobs(database), count_orders(database)) == (53, 3)
    assert sorted(int(job.arguments) for job in jobs.list_jobs(status="pending", limit=100)) == list(range(50))


def test_a_job_vanishes_with_its_savepoint_alone(jobs, engine):
    with Session(engine) as session:
        session.execute(insert(orders))
        kept = jobs.with_options(session=session).enqueue("add", 1)
        savepoint = session.begin_nested()
        gone = jobs.with_options(session=session).enqueue("add", 2)
        savepoint.rollback()
        session.commit()

    assert kept.status() is JobStatus.PENDING
    with pytest.raises(JobNotFoundError):
        gone.status()


def test_a_connection_of_the_driver_takes_jobs_too(jobs, driver, database):
    jobs.with_options(session=driver).enqueue("add", 1)
    driver.rollback()
    kept = jobs.with_options(session=driver, unique_for=60, tags=["t"]).enqueue("add", 2)
    driver.execute("INSERT INTO orders DEFAULT VALUES")
    driver.commit()

    assert (kept.info().arguments, count_jobs(database), count_orders(database)) == ("2", 1, 1)


def test_a_job_in_a_block_of_the_drivers_vanishes_with_it(jobs, driver, database):
    with driver.transaction():
        kept = jobs.with_options(session=driver).enqueue("add", 1)
        with driver.transaction(force_rollback=True):
            jobs.with_options(session=driver).enqueue("add", 2)
    driver.commit()

    assert [job.id for job in jobs.list_jobs()] == [kept]


def test_an_idle_worker_hears_of_the_commit_and_of_nothing_before(database):
    settings = settings_of(database, add, poll_delay=60)
    jobs = SQLiteJob("default", settings)
    engine = engine_of(database)
    with Worker("default", settings).running_in_background(), Session(engine) as session:
        job = jobs.with_options(session=session).enqueue(add, 1, 2)
        # A job of a commit of its own is run while the other one waits for its commit.
        assert jobs.enqueue(add, 3).result(DEADLINE) == 3
        with pytest.raises(JobNotFoundError):
            job.status()
        session.commit()
        assert job.result(DEADLINE) == 3
    engine.dispose()


def test_the_users_transaction_stays_as_it_was_after_an_error(jobs, engine, database):
    with Session(engine) as session:
        session.execute(insert(orders).values(id=1))
        session.execute(text("CREATE TEMP TABLE sqlitejob_payload (n int)"))  # found before ours
        with pytest.raises(Exception, match="sqlitejob_payload"):
            jobs.with_options(session=session).enqueue("add", 1)
        session.execute(text("DROP TABLE sqlitejob_payload"))
        jobs.with_options(session=session).enqueue("add", 2)
        session.commit()

    assert [job.arguments for job in jobs.list_jobs()] == ["2"]
    assert count_orders(database) == 1


def test_what_postgresql_cannot_store_of_a_text_costs_nobody_the_transaction(jobs, session, database):
    job = jobs.with_options(session=session, meta={"a": "\0"}).enqueue("add", "a\0b", "größe 日本")
    session.execute(insert(orders))
    session.commit()

    assert count_orders(database) == 1
    assert job.info().meta == {"a": "\0"}
    drain(settings_of(database, add))
    assert job.result(timeout=0) == "a\0bgröße 日本"


# ---- ids, keys and limits


def test_an_id_of_ones_own_names_one_job_inside_of_a_transaction_too(jobs, session, database):
    mine = jobs.with_options(session=session, job_id="mine")
    assert mine.enqueue("add", 1) == mine.enqueue("add", 2) == "mine"
    session.commit()

    assert jobs.get_job("mine").arguments == "1"
    assert count_jobs(database) == 1


def test_an_id_that_another_transaction_stores_meanwhile_is_waited_for_and_names_that_job(jobs, session, database):
    with connect_to_server(database) as other:
        jobs.with_options(session=other, job_id="mine").enqueue("add", 1)
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar()
        met = []
        # In another thread a registry would hand out another session.
        given = session() if isinstance(session, scoped_session) else session
        mine = jobs.with_options(session=given, job_id="mine")
        thread = threading.Thread(target=lambda: met.append(mine.enqueue("add", 2)))
        thread.start()
        wait_until(lambda: is_blocked(database, pid))
        other.commit()
        thread.join(DEADLINE)
    session.execute(insert(orders))
    session.commit()

    assert met == ["mine"]
    assert [job.arguments for job in jobs.list_jobs()] == ["1"]
    assert count_orders(database) == 1


def is_blocked(database, pid):
    return execute(database, "SELECT pg_blocking_pids(?)", pid) != [([],)]


def test_a_unique_job_is_one_inside_of_transactions_too(jobs, session, database):
    unique = jobs.with_options(session=session, unique=True)
    first = unique.enqueue("add", 1)
    assert unique.enqueue("add", 1) == first
    session.commit()
    assert unique.enqueue("add", 1) == first
    session.rollback()

    assert count_jobs(database) == 1


def test_a_limit_counts_what_the_transaction_has_enqueued(database, engine):
    limited = task(add, concurrency=Limit(1, key=lambda a, b=0: a))
    jobs = SQLiteJob("default", settings_of(database, limited))
    with Session(engine) as session:
        inside = jobs.with_options(session=session)
        made = [inside.enqueue(add, "one", suffix) for suffix in "abc"]
        session.commit()

    assert [job.status() for job in made] == [JobStatus.PENDING, JobStatus.BLOCKED, JobStatus.BLOCKED]
    assert drain(settings_of(database, limited)) == 3


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_strict_transactions_take_jobs_along(jobs, engine, level):
    strict = engine.execution_options(isolation_level=level)
    with Session(strict) as session:
        session.execute(select(func.count()).select_from(orders)).all()
        job = jobs.with_options(session=session, job_id="mine").enqueue("add", 1)
        session.commit()

    assert job.info().arguments == "1"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_strict_transaction_that_cannot_see_anothers_job_is_to_be_run_again(jobs, engine, level):
    strict = engine.execution_options(isolation_level=level)
    with Session(strict) as session:
        session.execute(select(func.count()).select_from(orders)).all()  # what it sees is as of now
        jobs.with_options(job_id="mine", unique=True).enqueue("add", 1)
        with pytest.raises(DatabaseBusyError, match="run it again"):
            jobs.with_options(session=session, job_id="mine").enqueue("add", 2)
        session.rollback()
        assert jobs.with_options(session=session, job_id="mine").enqueue("add", 2) == "mine"
        session.commit()

    assert [job.arguments for job in jobs.list_jobs()] == ["1"]


# ---- transactions that cannot be joined


@pytest.mark.parametrize("name", ["psycopg", "psycopg2"])
def test_an_engine_that_commits_each_statement_is_refused(jobs, database, name):
    pytest.importorskip(name, reason="needs psycopg2, which the extra dev installs on the default Python")
    engine = engine_of(database, name, isolation_level="AUTOCOMMIT")
    with Session(engine) as session, pytest.raises(TransactionStateError, match="AUTOCOMMIT"):
        jobs.with_options(session=session).enqueue("add", 1)
    engine.dispose()

    assert count_jobs(database) == 0


def test_a_driver_that_commits_each_statement_needs_a_transaction_of_ones_own(jobs, database):
    with connect_to_server(database, autocommit=True) as connection:
        with pytest.raises(TransactionStateError, match="begin one first"):
            jobs.with_options(session=connection).enqueue("add", 1)
        with connection.transaction():
            jobs.with_options(session=connection).enqueue("add", 1)

    assert count_jobs(database) == 1


def test_a_transaction_that_has_failed_is_told_as_such(jobs, session, database):
    with pytest.raises(Exception, match="division"):
        session.execute(text("SELECT 1/0"))
    with pytest.raises(TransactionStateError, match="has failed already"):
        jobs.with_options(session=session).enqueue("add", 1)
    session.rollback()
    jobs.with_options(session=session).enqueue("add", 2)
    session.commit()

    assert count_jobs(database) == 1


def test_a_failed_transaction_of_the_driver_is_told_as_such(jobs, driver):
    with pytest.raises(psycopg.errors.DivisionByZero):
        driver.execute("SELECT 1/0")
    with pytest.raises(TransactionStateError, match="has failed already"):
        jobs.with_options(session=driver).enqueue("add", 1)


def test_a_session_of_a_file_is_refused(jobs, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")
    with Session(engine) as session, pytest.raises(OtherDatabaseError, match=r"other\.db"):
        jobs.with_options(session=session).enqueue("add", 1)
    engine.dispose()


def test_a_file_refuses_a_session_of_a_server(engine, tmp_path):
    jobs = SQLiteJob(database=tmp_path / "jobs.db")
    with Session(engine) as session, pytest.raises(OtherDatabaseError, match="postgresql"):
        jobs.with_options(session=session).enqueue("add", 1)
    jobs.close()


def test_a_file_refuses_a_connection_of_the_driver(driver, tmp_path):
    jobs = SQLiteJob(database=tmp_path / "jobs.db")
    with pytest.raises(OtherDatabaseError):
        jobs.with_options(session=driver).enqueue("add", 1)
    jobs.close()


def test_a_copy_of_the_database_with_the_same_tables_is_another_one(postgres_server, empty_postgres_url):
    jobs = SQLiteJob(database=empty_postgres_url)
    jobs.counts()
    jobs.close()
    with psycopg.connect(postgres_server.conninfo_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE copy_of_it TEMPLATE {empty_postgres_url.rpartition('/')[2]}")
    try:
        copy = postgres_server.url_of("copy_of_it")
        tables = [execute(url, "SELECT 'sqlitejob_job'::regclass::oid") for url in (empty_postgres_url, copy)]
        engine = create_engine(copy)
        with Session(engine) as session, pytest.raises(OtherDatabaseError, match="no transaction spans two"):
            jobs.with_options(session=session).enqueue("add", 1)
        engine.dispose()
        assert tables[0] == tables[1]
        assert count_jobs(empty_postgres_url) == 0
    finally:
        jobs.close()
        postgres_server.drop_database("copy_of_it")


def test_the_same_numbers_on_another_server_are_another_database(jobs, database, own_postgres_server):
    engine = create_engine(own_postgres_server.url)
    # Whatever numbers the tables have there: only what the server calls itself is different here.
    SQLiteJob(database=own_postgres_server.url).counts()
    with engine.connect() as connection:
        theirs = connection.execute(
            text(
                "SELECT (SELECT oid FROM pg_database WHERE datname = current_database())::bigint, "
                "'sqlitejob_job'::regclass::oid::bigint"
            )
        ).one()
    storage = jobs._storage
    storage._identity = (storage._known_identity()[0], *theirs)
    try:
        with Session(engine) as session, pytest.raises(OtherDatabaseError):
            jobs.with_options(session=session).enqueue("add", 1)
    finally:
        storage._identity = None
        engine.dispose()
        SQLiteJob(database=own_postgres_server.url).close()


def test_a_schema_of_its_own_is_found_from_any_session(database, engine):
    jobs = SQLiteJob(database=f"{database}?schema=other")
    with Session(engine) as session:
        job = jobs.with_options(session=session, tags=["t"]).enqueue("add", 1)
        session.commit()

    assert job.info().arguments == "1"
    assert count_jobs(database) == 0
    jobs.close()


def test_connections_that_must_be_awaited_or_are_not_known_are_refused(jobs, engine):
    for wrong in (engine, psycopg.AsyncConnection, object()):
        with pytest.raises(InvalidOptionError, match=r"psycopg\.Connection"):
            jobs.with_options(session=wrong)


def test_nothing_waits_for_a_transaction_that_is_left_open(jobs, session, database):
    inside = jobs.with_options(session=session)
    open_one = inside.enqueue("add", 1)
    other = jobs.enqueue("add", 2)
    assert drain(settings_of(database, add)) == 1
    session.commit()

    assert (open_one.status(), other.result(timeout=0)) == (JobStatus.PENDING, 2)
