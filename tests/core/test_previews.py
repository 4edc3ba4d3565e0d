"""Previews of arguments and results: short texts that any database takes, whatever the values are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.parameters import Parameters
from sqlite_job.core.previews import MAX_CHARACTERS, Previews, preview_value


class Shown:
    """A value whose repr is what the test wants."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


class Hostile:
    """A value whose repr raises."""

    def __init__(self, error):
        self.error = error

    def __repr__(self):
        raise self.error


class Deep:
    """A value whose repr never ends."""

    def __repr__(self):
        return repr(Deep())


def preview_call(args, kwargs):
    return Previews().of_call("function", Parameters(), args, kwargs)


def is_storable(text):
    return type(text) is str and len(text) <= 200 and text.encode("utf-8").decode() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (3, "3"),
        (-2.5, "-2.5"),
        ("a'b", '"a\'b"'),
        ("\n\x00\ud800", r"'\n\x00\ud800'"),
        (b"\xff", r"b'\xff'"),
        ([1, "a"], "[1, 'a']"),
        ((1,), "(1,)"),
        ({"a": 1}, "{'a': 1}"),
        (Shown("<shown>"), "<shown>"),
    ],
)
def test_a_small_value_is_shown_as_its_repr(value, text):
    assert preview_value(value) == text


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        b"x" * 1_000_000,
        list(range(1_000_000)),
        dict.fromkeys(range(1000), "x" * 1000),
        [["x" * 1000] * 100] * 100,
        Shown("x" * 1_000_000),
        2**600,
        10**100_000,
        type("A" * 1000, (), {})(),
    ],
    ids=["str", "bytes", "list", "dict", "nested", "repr", "int", "huge int", "class"],
)
def test_a_large_value_is_cut(value):
    assert is_storable(preview_value(value))


def test_the_bound_is_200_characters():
    assert MAX_CHARACTERS == 200
    assert len(preview_call(["x" * 40] * 50, {})) == 200
    assert preview_call(["x" * 40] * 50, {}).endswith("…")


@pytest.mark.parametrize("error", [ValueError("no"), RecursionError(), MemoryError(), UnicodeError()])
def test_a_repr_that_raises_shows_the_type_instead(error):
    text = preview_value(Hostile(error))

    assert "Hostile" in text
    assert is_storable(text)
    assert "Hostile" in preview_call([1, Hostile(error)], {"a": Hostile(error)})


@pytest.mark.parametrize("text", [None, 3, b"bytes"])
def test_a_repr_that_is_no_text_shows_the_type_instead(text):
    assert "Shown" in preview_value(Shown(text))


def test_a_repr_without_end_shows_the_type_instead():
    assert "Deep" in preview_value(Deep())


@pytest.mark.parametrize("text", ["\ud800", "a\udfff" * 100])
def test_a_repr_with_lone_surrogates_is_made_storable(text):
    assert is_storable(preview_value(Shown(text)))
    assert is_storable(preview_call([Shown(text)], {"a": [Shown(text)]}))


def test_a_value_that_holds_itself_is_shown():
    loop = []
    loop.append(loop)

    assert is_storable(preview_value(loop))


def test_a_call_is_shown_as_one_would_write_it():
    assert preview_call([], {}) == ""
    assert preview_call([1, "a"], {}) == "1, 'a'"
    assert preview_call([], {"a": 1}) == "a=1"
    assert preview_call([1], {"a": 2, "b": [3]}) == "1, a=2, b=[3]"


@pytest.mark.parametrize("name", ["\ud800", "x" * 1000])
def test_names_of_keyword_arguments_are_bounded_and_storable_too(name):
    assert is_storable(preview_call([], {name: 1}))


class Words(str):
    __slots__ = ()


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.text(alphabet="\ud800\x00\n'\"\\é😀", max_size=80)
    | st.binary()
    | st.datetimes()
    | st.uuids()
    | st.decimals()
    | st.builds(Words, st.text())
    | st.builds(Shown, st.none() | st.integers() | st.text(alphabet=st.characters()))
    | st.builds(Hostile, st.builds(ValueError, st.text()))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.lists(inner, max_size=8).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=8)
    ),
    max_leaves=30,
)


@given(values)
def test_a_preview_of_any_value_is_bounded_storable_text(value):
    assert is_storable(preview_value(value))


@given(st.lists(values, max_size=5), st.dictionaries(st.text(max_size=30), values, max_size=3))
def test_a_preview_of_any_call_is_bounded_storable_text(args, kwargs):
    assert is_storable(preview_call(args, kwargs))
