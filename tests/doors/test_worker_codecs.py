"""Arguments that cannot be decoded and results that cannot be encoded fail their job, and nothing else."""

from __future__ import annotations

import json
import pickle
import sys
import threading

import pytest

from sqlite_job import JobStatus, SQLiteJob
from tests.doors.making import as_kind, execute, kinds, nothing, run_all, run_beside_another, settings_of

# ---- what comes back -------------------------------------------------------------------------------------------------


class Odd:
    """A value that pickles, and whose repr raises."""

    def __init__(self, error):
        self.error = error

    def __repr__(self):
        raise self.error


class Unpicklable:
    def __reduce__(self):
        sys.exit("not me")


@kinds
@pytest.mark.parametrize("value", [lambda: None, threading.Lock()], ids=["lambda", "lock"])
def test_a_result_that_cannot_be_encoded_fails_the_job(database, kind, value):
    info, job = run_beside_another(database, lambda: value, kind, max_tries=3)

    assert info.status is JobStatus.FAILED
    assert "EncodeError: the result of work cannot be encoded with 'pickle'" in info.error
    assert info.tries == 1, "the function has done its work: it is not to be done again"
    assert job._jobs.get_job_result(job) is None


@kinds
def test_a_result_that_exits_while_it_is_encoded_fails_the_job(database, kind):
    info, _ = run_beside_another(database, Unpicklable, kind)

    assert info.status is JobStatus.FAILED
    assert "not me" in info.error


@kinds
def test_a_result_over_the_limit_fails_the_job_with_size_and_limit(database, kind):
    info, _ = run_beside_another(database, lambda: "x" * 2_000, kind, max_payload=1_000, max_tries=3)

    assert info.status is JobStatus.FAILED
    assert "PayloadTooLargeError: the result of work takes 2,0" in info.error
    assert "over the limit of 1,000" in info.error
    assert info.tries == 1


@kinds
def test_a_result_whose_repr_raises_is_a_result_like_any_other(database, kind):
    info, job = run_beside_another(database, Odd, kind, ValueError("not me"))

    assert info.status is JobStatus.COMPLETED
    assert "Odd" in info.result
    assert isinstance(job.result(timeout=0), Odd)


@kinds
def test_a_result_whose_repr_exits_ends_its_job_and_nothing_else(database, kind):
    info, _ = run_beside_another(database, lambda: Odd(SystemExit(3)), kind)

    assert info.status.is_final


class TextSerializer:
    """A serializer with a mistake that is easily made: text where there should be bytes."""

    name = "text"

    def encode(self, value):
        return json.dumps(value)

    def decode(self, data):
        return json.loads(data)


class HalfSerializer(TextSerializer):
    """It has the mistake in results only."""

    name = "half"

    def encode(self, value):
        return json.dumps(value).encode() if isinstance(value, tuple) else json.dumps(value)


@kinds
def test_a_serializer_that_gives_text_for_a_result_fails_the_job_and_does_not_stop_the_worker(database, kind):
    settings = settings_of(database, as_kind(nothing, kind), serializer=HalfSerializer(), max_jobs=1)
    jobs = SQLiteJob("default", settings)

    infos = run_all(settings, jobs.enqueue("work"), jobs.enqueue("work"))

    assert [info.status for info in infos] == [JobStatus.FAILED] * 2
    assert "EncodeError" in infos[0].error


# ---- what goes in ----------------------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize(
    ("codec", "args", "error"),
    [
        ("pickle", b"garbage", "DecodeError: the arguments of work cannot be decoded with 'pickle'"),
        ("pickle", b"", "DecodeError: the arguments of work cannot be decoded"),
        ("pickle", pickle.dumps(5), "DecodeError: the arguments of work are not arguments"),
        ("pickle", pickle.dumps((1, 2, 3)), "DecodeError: the arguments of work are not arguments"),
        ("pickle", pickle.dumps((5, {})), "Error: "),
        ("pickle", pickle.dumps(((), {5: 5})), "Error: "),
        ("pickle", b"csys\nexit\n)R.", "SystemExit"),
        ("pickle", b"cno.such.module\nname\n.", "DecodeError: the arguments of work cannot be decoded"),
        ("json", b"{", "DecodeError: the arguments of work cannot be decoded with 'json'"),
        ("json", b'{"a": 1, "b": 2}', "Error: "),
        ("msgpack", b"x", "DecodeError: the arguments of work are encoded with 'msgpack', which is not accepted here"),
        ("", b"", "DecodeError: "),
    ],
    ids=[
        *("garbage", "empty", "a number", "three values", "no sequence", "no names", "exits", "no module"),
        *("half json", "json object", "unknown codec", "no codec"),
    ],
)
def test_arguments_that_cannot_be_decoded_fail_their_job(database, kind, codec, args, error):
    settings = settings_of(database, as_kind(lambda *_: "ran", kind), max_jobs=1, max_tries=1)
    jobs = SQLiteJob("default", settings)
    spoilt, other = jobs.enqueue("work"), jobs.enqueue("work")
    execute(database, "UPDATE sqlitejob_payload SET codec=?, args=? WHERE seq=1", codec, args)

    info, after = run_all(settings, spoilt, other)

    assert info.status is JobStatus.FAILED
    assert error in info.error
    assert after.status is JobStatus.COMPLETED


@kinds
def test_arguments_that_cannot_be_decoded_are_not_tried_again(database, kind):
    settings = settings_of(database, as_kind(nothing, kind), max_tries=5)
    job = SQLiteJob("default", settings).enqueue("work")
    execute(database, "UPDATE sqlitejob_payload SET args=?", b"\0")

    (info,) = run_all(settings, job)

    assert (info.status, info.tries) == (JobStatus.FAILED, 1)


@kinds
def test_a_job_without_its_payload_fails_alone(database, kind):
    settings = settings_of(database, as_kind(nothing, kind))
    jobs = SQLiteJob("default", settings)
    spoilt, other = jobs.enqueue("work"), jobs.enqueue("work")
    execute(database, "DELETE FROM sqlitejob_payload WHERE seq=1")

    info, after = run_all(settings, spoilt, other)

    assert (info.status, after.status) == (JobStatus.FAILED, JobStatus.COMPLETED)


@kinds
def test_a_codec_that_is_not_on_the_accept_list_fails_the_job_undecoded(database, kind):
    settings = settings_of(database, as_kind(nothing, kind), accept=("pickle",))
    of_json = SQLiteJob(database=database, serializer="json").enqueue("work")
    of_pickle = SQLiteJob("default", settings).enqueue("work")

    info, after = run_all(settings, of_json, of_pickle)

    assert info.status is JobStatus.FAILED
    assert "encoded with 'json', which is not accepted here (accept = pickle)" in info.error
    assert after.status is JobStatus.COMPLETED


@kinds
def test_a_worker_of_json_alone_never_unpickles(database, kind):
    settings = settings_of(database, as_kind(nothing, kind), serializer="json", accept=("json",))
    job = SQLiteJob("default", settings).enqueue("work")
    execute(database, "UPDATE sqlitejob_payload SET codec='pickle', args=?", b"cos\nabort\n)R.")

    (info,) = run_all(settings, job)

    assert info.status is JobStatus.FAILED
    assert "which is not accepted here (accept = json)" in info.error
