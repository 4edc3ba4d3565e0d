"""What is not on the accept-list is refused before a byte of it is decoded, in workers and where results are read."""

from __future__ import annotations

import json
import pickle

import pytest

from sqlite_job import DecodeError, JobFailedError, SQLiteJob, Worker
from tests.doors.making import drain, execute, settings_of


class Tripwire:
    """A value that does something when it is unpickled."""

    sprung = 0

    def __reduce__(self):
        return (spring, ())


def spring():
    Tripwire.sprung += 1


@pytest.fixture(autouse=True)
def _untouched():
    Tripwire.sprung = 0
    yield
    assert Tripwire.sprung == 0, "something was unpickled"


def add(a, b):
    return a + b


def test_a_json_job_is_refused_where_only_pickles_are_accepted_and_the_worker_goes_on(database):
    settings = settings_of(database, add, accept=("pickle",), max_tries=5)
    refused = SQLiteJob(database=database, serializer="json").enqueue("add", 1, 2)
    accepted = SQLiteJob("default", settings).enqueue(add, 3, 4)

    with Worker("default", settings).running_in_background():
        with pytest.raises(JobFailedError) as caught:
            refused.result(timeout=20)
        assert accepted.result(timeout=20) == 7
        assert SQLiteJob("default", settings).enqueue(add, 5, 6).result(timeout=20) == 11

    assert caught.value.error_type.endswith("DecodeError")
    assert "encoded with 'json', which is not accepted here (accept = pickle)" in caught.value.message
    info = refused.info()
    assert (info.status.value, info.tries) == ("failed", 1)
    assert len(SQLiteJob("default", settings).failures(refused)) == 1


def test_a_pickle_is_never_loaded_where_only_json_is_accepted(database):
    settings = settings_of(database, add, serializer="json", accept=("json",), max_tries=5)
    job = SQLiteJob(database=database).enqueue("add", Tripwire(), 2)

    drain(settings)

    with pytest.raises(JobFailedError, match="not accepted here"):
        SQLiteJob("default", settings).job(job).result(timeout=0)


def test_a_pickle_that_calls_itself_json_is_not_loaded_either(database):
    settings = settings_of(database, add, serializer="json", accept=("json",))
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    execute(database, "UPDATE sqlitejob_payload SET args = ?", pickle.dumps(((Tripwire(), 2), {})))

    drain(settings)

    with pytest.raises(JobFailedError, match="cannot be decoded with 'json'"):
        job.result(timeout=0)


@pytest.mark.parametrize("codec", ["", "msgpack", "Pickle", "pickle ", "signed-pickle"])
def test_a_codec_that_nobody_knows_is_refused(database, codec):
    settings = settings_of(database, add)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    execute(database, "UPDATE sqlitejob_payload SET codec = ?", codec)

    drain(settings)

    with pytest.raises(JobFailedError, match="is not accepted here"):
        job.result(timeout=0)


def test_a_forged_result_is_not_unpickled_by_a_reader_whose_settings_accept_json_alone(database):
    settings = settings_of(database, add, serializer="json", accept=("json",))
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue(add, 1, 2)
    drain(settings)
    execute(database, "UPDATE sqlitejob_result SET codec = 'pickle', value = ?", pickle.dumps(Tripwire()))

    with pytest.raises(DecodeError, match=f"the result of job {job} is encoded with 'pickle', which is not accepted"):
        job.result(timeout=0)
    with pytest.raises(DecodeError):
        jobs.get_job_result(job)


def test_looking_at_jobs_decodes_nothing(database):
    job = SQLiteJob(database=database).enqueue("add", Tripwire(), 2)
    execute(database, "UPDATE sqlitejob_job SET status = 'completed', finished_at = created_at")
    execute(
        database, "INSERT INTO sqlitejob_result (seq, codec, value) VALUES (1, 'pickle', ?)", pickle.dumps(Tripwire())
    )

    assert job.info().status.value == "completed"
    assert [info.id for info in SQLiteJob(database=database).list_jobs()] == [job]


@pytest.mark.parametrize("arguments", [[], [1], [1, 2, 3], 5, None, [[1, 2], 5], {"a": 1, "b": 2}, "ab"])
def test_json_that_is_no_arguments_fails_the_job_alone(database, arguments):
    settings = settings_of(database, add, serializer="json")
    jobs = SQLiteJob("default", settings)
    job, other = jobs.enqueue(add, 1, 2), jobs.enqueue(add, 3, 4)
    encoded = json.dumps(arguments).encode()
    execute(database, "UPDATE sqlitejob_payload SET args = ? WHERE seq = 1", encoded)

    drain(settings)

    with pytest.raises(JobFailedError):
        job.result(timeout=0)
    assert other.result(timeout=0) == 7
