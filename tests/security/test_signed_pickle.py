"""Signed pickles: nothing is unpickled that no holder of a key has signed, for this very job."""

from __future__ import annotations

import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job import (
    DecodeError,
    InvalidOptionError,
    JobFailedError,
    Purpose,
    SettingsError,
    SignatureError,
    SignedPickleSerializer,
    SQLiteJob,
)
from sqlite_job.core.serializers import make_codecs
from sqlite_job.core.signing import Signer
from tests.doors.making import drain, execute, settings_of

KEY, OLD_KEY, OTHER_KEY = "k" * 32, "o" * 32, "x" * 32
PURPOSE = Purpose("arguments", "add", "job-1")
VARIABLE = "SQLITE_JOB_SIGNING_KEYS"

texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
purposes = st.builds(Purpose, st.sampled_from(["arguments", "result"]), texts, texts)


class Tripwire:
    """A value that does something when it is unpickled."""

    sprung = 0

    def __reduce__(self):
        return (spring, ())


def spring():
    Tripwire.sprung += 1


@pytest.fixture
def _untouched():
    Tripwire.sprung = 0
    yield
    assert Tripwire.sprung == 0, "something was unpickled"


def add(a, b):
    return a + b


def multiply(a, b):
    return a * b


def signed_settings(database, *keys, **knobs):
    return settings_of(database, add, multiply, serializer=SignedPickleSerializer(*(keys or (KEY,))), **knobs)


# ---- keys


@pytest.mark.parametrize("keys", [(), ("short",), (KEY, "short"), (b"k" * 15,), ("é" * 7,)])
def test_no_key_and_a_short_key_are_refused_without_being_shown(keys):
    with pytest.raises(InvalidOptionError, match="needs") as caught:
        SignedPickleSerializer(*keys)
    assert "short" not in str(caught.value)
    assert "secrets.token_hex" in str(caught.value)


def test_sixteen_bytes_are_enough_and_text_counts_as_utf_8():
    for key in ("k" * 16, b"k" * 16, "é" * 8):
        assert SignedPickleSerializer(key).encode_for(1, PURPOSE)


def test_a_key_that_is_no_text_is_refused():
    with pytest.raises(InvalidOptionError, match="signing key 2 is text or bytes, not int"):
        SignedPickleSerializer(KEY, 12345678901234567)


def test_keys_are_not_shown():
    assert KEY not in repr(SignedPickleSerializer(KEY, OLD_KEY))
    assert "2 keys" in repr(SignedPickleSerializer(KEY, OLD_KEY))


@pytest.mark.parametrize("value", [None, "", " ", ",", " , "])
def test_by_name_without_keys_in_the_environment_settings_and_doors_are_refused(monkeypatch, database, value):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)

    with pytest.raises(SettingsError, match=f"serializer: 'signed-pickle' needs a key.*{VARIABLE}"):
        settings_of(database, add, serializer="signed-pickle")
    with pytest.raises(InvalidOptionError, match=VARIABLE):
        SQLiteJob(database=database, serializer="signed-pickle")


def test_a_short_key_in_the_environment_is_refused_without_being_shown(monkeypatch, database):
    monkeypatch.setenv(VARIABLE, f"{KEY},hunter2")

    with pytest.raises(SettingsError, match="signing key 2 has 7 bytes") as caught:
        settings_of(database, add, serializer="signed-pickle")
    assert "hunter2" not in str(caught.value)


def test_the_first_key_of_the_environment_signs_and_all_verify(monkeypatch, database):
    monkeypatch.setenv(VARIABLE, f" {KEY} , {OLD_KEY},")
    codecs = settings_of(database, add, serializer="signed-pickle").codecs

    assert SignedPickleSerializer(KEY).decode_for(codecs.encode(1, "add", "job-1"), PURPOSE) == 1
    old = SignedPickleSerializer(OLD_KEY).encode_for(2, PURPOSE)
    assert codecs.decode("signed-pickle", old, "add", "job-1") == 2


# ---- what a signature covers


@given(st.binary(max_size=50), purposes)
def test_what_was_signed_comes_back_for_its_purpose(payload, purpose):
    signer = Signer([KEY])

    assert signer.verify(signer.sign(payload, purpose), purpose) == payload


@given(st.binary(max_size=50), st.data())
def test_any_changed_byte_is_refused(payload, data):
    signer = Signer([KEY, OLD_KEY])
    signed = bytearray(signer.sign(payload, PURPOSE))
    position = data.draw(st.integers(0, len(signed) - 1))
    signed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(SignatureError):
        signer.verify(bytes(signed), PURPOSE)


@given(st.binary(max_size=50), st.data())
def test_bytes_that_are_cut_or_longer_are_refused(payload, data):
    signer = Signer([KEY])
    signed = signer.sign(payload, PURPOSE)
    cut = signed[: data.draw(st.integers(0, len(signed) - 1))]
    longer = signed + data.draw(st.binary(min_size=1, max_size=5))

    for forged in (cut, longer):
        with pytest.raises(SignatureError):
            signer.verify(forged, PURPOSE)


@given(st.binary(max_size=100))
def test_bytes_that_nobody_signed_are_refused(data):
    with pytest.raises(SignatureError):
        Signer([KEY]).verify(data, PURPOSE)


@given(st.binary(max_size=50), purposes, purposes)
def test_a_payload_of_one_purpose_is_refused_for_any_other(payload, purpose, other):
    signer = Signer([KEY])
    signed = signer.sign(payload, purpose)

    if other == purpose:
        assert signer.verify(signed, other) == payload
    else:
        with pytest.raises(SignatureError):
            signer.verify(signed, other)


@pytest.mark.parametrize(
    ("purpose", "other"),
    [
        (Purpose("arguments", "add", "1"), Purpose("result", "add", "1")),
        (Purpose("arguments", "add", "1"), Purpose("arguments", "multiply", "1")),
        (Purpose("arguments", "add", "1"), Purpose("arguments", "add", "2")),
        (Purpose("arguments", "add", "1"), Purpose("arguments", "ad", "d1")),
        (Purpose("arguments", "a", "3:bcd"), Purpose("arguments", "a3:b", "cd")),
        (Purpose("arguments", "add", ""), Purpose("arguments", "", "add")),
    ],
)
def test_parts_of_a_purpose_do_not_run_into_each_other(purpose, other):
    signer = Signer([KEY])

    with pytest.raises(SignatureError):
        signer.verify(signer.sign(b"payload", purpose), other)


def test_the_end_of_a_purpose_does_not_run_into_the_payload():
    signer = Signer([KEY])
    signed = signer.sign(b"1payload", PURPOSE)

    with pytest.raises(SignatureError):
        signer.verify(signed[:32] + b"payload", PURPOSE._replace(job_id="job-11"))


def test_a_signature_is_hmac_sha256_and_made_for_us_alone():
    signed = Signer([KEY]).sign(b"payload", PURPOSE)

    assert signed[32:] == b"payload"
    parts = b"27:sqlite-job signed payload 19:arguments3:add5:job-1"
    assert signed[:32] == hmac.new(KEY.encode(), parts + b"payload", "sha256").digest()
    assert signed[:32] != hmac.new(KEY.encode(), b"payload", "sha256").digest()


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    signer = Signer([KEY, OLD_KEY])

    with pytest.raises(SignatureError):
        signer.verify(b"f" * 40, PURPOSE)

    assert [a for a, _ in compared] == [b"f" * 32] * 2


@pytest.mark.usefixtures("_untouched")
def test_a_forged_pickle_is_refused_before_it_is_unpickled():
    forged = SignedPickleSerializer(OTHER_KEY).encode_for(Tripwire(), PURPOSE)

    for data in (forged, b"\0" * 32 + pickle.dumps(Tripwire()), pickle.dumps(Tripwire())):
        with pytest.raises(SignatureError):
            SignedPickleSerializer(KEY).decode_for(data, PURPOSE)


# ---- changing keys


def test_keys_are_changed_one_after_the_other(database):
    before, both, after = (signed_settings(database, *keys) for keys in [(OLD_KEY,), (KEY, OLD_KEY), (KEY,)])
    first = SQLiteJob("default", before).enqueue(add, 1, 2)
    second = SQLiteJob("default", both).enqueue(add, 3, 4)

    assert drain(both) == 2
    assert SQLiteJob("default", both).job(first).result(timeout=0) == 3
    assert SQLiteJob("default", after).job(second).result(timeout=0) == 7
    with pytest.raises(SignatureError):
        SQLiteJob("default", before).job(second).result(timeout=0)


# ---- at work: what a forger can write into the tables


def fails_untried(settings, job, error_type="SignatureError"):
    """Run a worker: the job must fail before its function is called, at its first try, and another must complete."""
    other = SQLiteJob("default", settings).enqueue(add, 20, 3)
    drain(settings)
    with pytest.raises(JobFailedError) as caught:
        SQLiteJob("default", settings).job(job).result(timeout=0)
    assert caught.value.error_type.endswith(error_type)
    assert SQLiteJob("default", settings).get_job(job).tries == 1
    assert other.result(timeout=0) == 23
    return caught.value.message


def test_a_job_runs_and_its_result_is_signed_too(database):
    settings = signed_settings(database)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    drain(settings)

    assert job.result(timeout=0) == 3
    assert SQLiteJob("default", settings).get_job_result(job) == 3
    codecs = execute(database, "SELECT codec FROM sqlitejob_payload UNION ALL SELECT codec FROM sqlitejob_result")
    assert codecs == [("signed-pickle",)] * 2


def test_changed_arguments_fail_and_are_not_tried_again(database):
    settings = signed_settings(database, max_tries=5)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    ((args,),) = execute(database, "SELECT args FROM sqlitejob_payload")
    execute(database, "UPDATE sqlitejob_payload SET args = ?", args + b"\0")

    assert "the arguments of add cannot be trusted" in fails_untried(settings, job)


@pytest.mark.usefixtures("_untouched")
@pytest.mark.parametrize("codec", ["signed-pickle", "pickle", "json"])
def test_a_plain_pickle_is_refused_under_any_name(database, codec):
    settings = signed_settings(database)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    pickled = pickle.dumps(((Tripwire(),), {}))
    execute(database, "UPDATE sqlitejob_payload SET codec = ?, args = ?", codec, pickled)

    fails_untried(settings, job, "SignatureError" if codec == "signed-pickle" else "DecodeError")


def test_json_is_refused_unless_it_is_listed(database):
    settings = signed_settings(database)
    jobs = SQLiteJob(database=database, serializer="json")
    job = jobs.enqueue("add", 1, 2)
    assert "not accepted here (accept = signed-pickle)" in fails_untried(settings, job, "DecodeError")

    job = jobs.enqueue("add", 1, 2)
    drain(signed_settings(database, accept=("json",)))
    assert SQLiteJob("default", settings).job(job).result(timeout=0) == 3


def test_arguments_of_another_job_are_refused(database):
    settings = signed_settings(database)
    jobs = SQLiteJob("default", settings)
    job, dear = jobs.enqueue(add, 1, 2), jobs.enqueue(add, 1000, 2000)
    move = "UPDATE sqlitejob_payload SET args = (SELECT args FROM sqlitejob_payload WHERE seq = 2) WHERE seq = 1"
    execute(database, move)

    fails_untried(settings, job)
    assert dear.result(timeout=0) == 3000


def test_a_job_that_was_given_another_function_is_refused(database):
    settings = signed_settings(database)
    job = SQLiteJob("default", settings).enqueue(add, 3, 4)
    execute(database, "UPDATE sqlitejob_job SET function = 'multiply'")

    assert "the arguments of multiply cannot be trusted" in fails_untried(settings, job)


def test_a_job_that_was_given_another_id_is_refused(database):
    settings = signed_settings(database)
    SQLiteJob("default", settings).enqueue(add, 3, 4)
    execute(database, "UPDATE sqlitejob_job SET id = 'other'")

    fails_untried(settings, "other")


def test_a_result_put_in_as_arguments_is_refused(database):
    settings = signed_settings(database)
    jobs = SQLiteJob("default", settings)
    job = jobs.with_options(job_id="echoed").enqueue(add, ((1, 2),), ({"b": 3},))  # its result reads as arguments
    drain(settings)
    execute(database, "UPDATE sqlitejob_payload SET args = (SELECT value FROM sqlitejob_result)")
    jobs.requeue(job)

    fails_untried(settings, job)


@pytest.mark.usefixtures("_untouched")
@pytest.mark.parametrize("codec", ["signed-pickle", "pickle", "json"])
def test_a_forged_result_is_refused_by_whoever_reads_it(database, codec):
    settings = signed_settings(database)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    drain(settings)
    execute(database, "UPDATE sqlitejob_result SET codec = ?, value = ?", codec, pickle.dumps(Tripwire()))

    for jobs in (
        SQLiteJob("default", settings),
        SQLiteJob(database=database, serializer=SignedPickleSerializer(KEY)),
    ):
        for read in (jobs.get_job_result, jobs.job(job).result):
            with pytest.raises(DecodeError):
                read(job) if read == jobs.get_job_result else read(timeout=0)


def test_the_result_of_another_job_is_refused(database):
    settings = signed_settings(database)
    jobs = SQLiteJob("default", settings)
    job, other = jobs.enqueue(add, 1, 2), jobs.enqueue(add, 1000, 2000)
    drain(settings)
    execute(database, "UPDATE sqlitejob_result SET value = (SELECT value FROM sqlitejob_result WHERE seq = 2)")

    assert other.result(timeout=0) == 3000
    with pytest.raises(SignatureError, match=f"the result of job {job} cannot be trusted"):
        job.result(timeout=0)


def test_arguments_put_in_as_a_result_are_refused(database):
    settings = signed_settings(database)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    drain(settings)
    execute(database, "UPDATE sqlitejob_result SET value = (SELECT args FROM sqlitejob_payload)")

    with pytest.raises(SignatureError):
        job.result(timeout=0)


def test_a_copy_into_a_database_with_another_key_is_refused(database, other_database):
    SQLiteJob("default", signed_settings(database, KEY)).enqueue(add, 1, 2)
    settings = signed_settings(other_database, OTHER_KEY)
    job = SQLiteJob("default", settings).enqueue(add, 3, 4)
    ((job_id, args),) = execute(database, "SELECT id, args FROM sqlitejob_job JOIN sqlitejob_payload USING (seq)")
    execute(other_database, "UPDATE sqlitejob_job SET id = ?", job_id)
    execute(other_database, "UPDATE sqlitejob_payload SET args = ?", args)

    assert job != job_id
    fails_untried(settings, job_id)


# ---- serializers that are bound, and those that are not


def test_a_plain_serializer_is_asked_for_no_purpose():
    codecs = make_codecs("pickle")

    assert codecs.encode(1, "add", "1") == codecs.encode(1, "multiply", "2", "result")


def test_a_bound_serializer_of_ones_own_is_given_the_purpose_and_guards_itself(database):
    purposes = []

    class Recording:
        name = "recording"

        def encode_for(self, value, purpose):
            purposes.append(purpose)
            return repr(value).encode()

        def decode_for(self, data, purpose):
            purposes.append(purpose)
            return eval(data)

    settings = settings_of(database, add, serializer=Recording())
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    drain(settings)
    assert job.result(timeout=0) == 3

    assert purposes == [
        Purpose("arguments", "add", job),
        Purpose("arguments", "add", job),
        Purpose("result", "add", job),
        Purpose("result", "add", job),
    ]
    plain = SQLiteJob(database=database).enqueue("add", 1, 2)
    fails_untried(settings, plain, "DecodeError")


def test_of_two_serializers_of_one_name_the_one_that_encodes_counts():
    codecs = make_codecs(SignedPickleSerializer(KEY), [SignedPickleSerializer(OTHER_KEY)])

    assert codecs.decode("signed-pickle", codecs.encode(1, "add", "1"), "add", "1") == 1
    with pytest.raises(SignatureError):
        codecs.decode("signed-pickle", SignedPickleSerializer(OTHER_KEY).encode_for(1, PURPOSE), "add", "job-1")
