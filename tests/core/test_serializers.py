"""Serializers and the accept-list: what is encoded, and what may be decoded."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.errors import DecodeError, EncodeError
from sqlite_job.core.serializers import BUILT_IN, Codecs, find_serializer

PICKLE, JSON = BUILT_IN["pickle"], BUILT_IN["json"]


class Upper:
    """A serializer of one's own: text in capitals."""

    name = "upper"

    def encode(self, value):
        return value.upper().encode()

    def decode(self, data):
        return data.decode()


class Tripwire:
    """A value that does something when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return (spring, ())


def spring():
    Tripwire.sprung = True


both = pytest.mark.parametrize("serializer", [PICKLE, JSON], ids=["pickle", "json"])


@both
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        # JSON as UTF-8 has no lone surrogates.
        | st.text(alphabet=st.characters(blacklist_categories=("Cs",))),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet="abc"), inner),
        max_leaves=10,
    )
)
def test_values_of_json_come_back_equal(serializer, value):
    assert serializer.decode(serializer.encode(value)) == value


def test_pickle_brings_python_values_back_and_json_makes_lists_of_tuples():
    value = ((1, 2), {"a": {3}})

    assert PICKLE.decode(PICKLE.encode(value)) == value
    assert JSON.decode(JSON.encode(((1, 2), {}))) == [[1, 2], {}]


def test_pickles_can_be_read_by_python_3_8():
    # The second byte of a pickle is its protocol.
    assert PICKLE.encode(1)[1] == 5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1, {"a": math.nan}]])
def test_json_refuses_numbers_that_json_does_not_have(value):
    with pytest.raises(EncodeError, match="arguments of add cannot be encoded with 'json': ValueError"):
        Codecs(JSON, []).encode(value, "add", "id")


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), "\ud800"])
def test_json_refuses_what_it_cannot_say(value):
    with pytest.raises(EncodeError, match="cannot be encoded with 'json'"):
        Codecs(JSON, []).encode(value, "add", "id")


def deep(levels=100_000):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [lambda: None, (number for number in ()), deep()], ids=["lambda", "generator", "too deep"]
)
def test_what_cannot_be_pickled_is_refused_with_the_function_the_matter_and_the_cause(value):
    codecs = Codecs(PICKLE, [])

    with pytest.raises(EncodeError, match=r"the arguments of add cannot be encoded with 'pickle': \w+") as caught:
        codecs.encode(((value,), {}), "add", "id")
    assert caught.value.__cause__ is not None
    with pytest.raises(EncodeError, match="the result of add cannot be encoded"):
        codecs.encode(value, "add", "id", "result")


def test_built_in_serializers_are_found_by_name_and_own_ones_by_themselves():
    own = Upper()

    assert find_serializer("pickle") is PICKLE
    assert find_serializer("json") is JSON
    assert find_serializer(own) is own


def test_an_unknown_serializer_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="no serializer named 'msgpack'; use one of 'pickle', 'json'"):
        find_serializer("msgpack")


@pytest.mark.parametrize("choice", [None, 3, object(), Upper, pickle], ids=["None", "int", "object", "class", "module"])
def test_what_is_no_serializer_is_refused_with_what_it_needs(choice):
    with pytest.raises(
        TypeError, match=r"is not a serializer: it needs `name`, `encode\(value\)` and `decode\(data\)`"
    ):
        find_serializer(choice)


def test_a_serializer_of_ones_own_encodes_and_decodes_under_its_name():
    codecs = Codecs(Upper(), [Upper()])

    assert codecs.encode("abc", "add", "id") == b"ABC"
    assert codecs.decode("upper", b"ABC", "add", "id", "result") == "ABC"


@pytest.mark.parametrize("encoded", ["text", None, 3])
def test_a_serializer_that_does_not_return_bytes_is_an_encode_error(encoded):
    class Wrong(Upper):
        def encode(self, value):
            return encoded

    with pytest.raises(EncodeError, match=f"add cannot be encoded with 'upper': .*{type(encoded).__name__}"):
        Codecs(Wrong(), []).encode("abc", "add", "id")


def test_a_codec_that_is_not_accepted_is_refused_before_a_byte_is_decoded():
    codecs = Codecs(JSON, [JSON])

    with pytest.raises(DecodeError, match=r"the arguments of add .* 'pickle', which is not accepted .*accept = json"):
        codecs.decode("pickle", pickle.dumps(Tripwire()), "add", "id")
    assert not Tripwire.sprung


def test_an_empty_accept_list_refuses_even_what_the_encoder_encodes():
    with pytest.raises(DecodeError, match="not accepted"):
        Codecs(JSON, []).decode("json", b"1", "add", "id")


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        ("pickle", b""),
        ("pickle", b"garbage"),
        ("pickle", b"cno_such_module\nno_such_name\n."),
        ("json", b""),
        ("json", b"{"),
        ("json", b"\xff\xfe\xfd"),
    ],
)
def test_garbage_is_a_decode_error_with_the_matter_and_the_codec(codec, data):
    with pytest.raises(DecodeError, match=f"the arguments of add cannot be decoded with '{codec}'"):
        Codecs(PICKLE, [PICKLE, JSON]).decode(codec, data, "add", "id")


@both
@given(st.binary(max_size=60))
def test_json_bytes_give_a_value_or_a_decode_error(serializer, data):
    if serializer is PICKLE:
        # Random bytes are not run as a pickle: this looks at text that starts as none does.
        data = b"\xff" + data
    try:
        Codecs(PICKLE, [PICKLE, JSON]).decode(serializer.name, data, "add", "id")
    except DecodeError as error:
        assert "arguments of add" in str(error)  # noqa: PT017 - either is right
