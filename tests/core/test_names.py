"""The names of queues, functions, jobs and tags: bounded, and nothing that forges a log line or a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.errors import InvalidNameError, SQLiteJobError
from sqlite_job.core.names import check_name

UNSAFE = ("Cc", "Cs", "Zl", "Zp")
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    "name", ["default", "a", "a" * 128, "send mail", "größe", "日本", "😀", "a/b:c.d-e_f", "é\u0301"]
)
def test_ordinary_names_are_returned_as_they_are(name):
    assert check_name(name, "queue name") == name


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        (None, "must be text, not NoneType"),
        (b"default", "must be text, not bytes"),
        (7, "must be text, not int: 7"),
        ("", "must not be empty"),
        (" a", "spaces around it: ' a'"),
        ("a ", "spaces around it"),
        ("a\n", "spaces around it"),
        ("\u00a0a", "spaces around it"),
        ("a" * 129, "may have 128 characters, this one has 129: 'aaaa"),
        ("a\nb", r"control characters: 'a\\nb'"),
        ("a\x00b", "control characters"),
        ("a\x1b[31mb", "control characters"),
        ("a\x7fb", "control characters"),
        ("a\x85b", "control characters"),
        ("a\u2028b", "control characters"),
        ("a\u202eb", "control characters"),
        ("a\u2066b", "control characters"),
        ("a\ud800b", "control characters"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_its_kind_and_the_mend(name, mend):
    with pytest.raises(InvalidNameError, match=f"A queue name .*{mend}"):
        check_name(name, "queue name")


def test_the_error_is_ours_and_a_value_error():
    assert issubclass(InvalidNameError, SQLiteJobError)
    assert issubclass(InvalidNameError, ValueError)


def test_a_name_that_is_a_kind_of_str_comes_back_as_plain_text():
    class Label(str):
        __slots__ = ()

    assert type(check_name(Label("a"), "tag")) is str


@given(st.text(max_size=140))
def test_an_accepted_name_is_safe_to_print_and_store(text):
    try:
        name = check_name(text, "tag")
    except InvalidNameError:
        return
    assert name == text
    assert 1 <= len(name) <= 128
    assert name.encode("utf-8").decode() == text
    assert not [c for c in name if unicodedata.category(c) in UNSAFE or c in OVERRIDES]


@given(st.text(alphabet=st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=128))
def test_any_visible_text_is_a_name(text):
    assert check_name(text, "tag") == text


@given(st.text(max_size=500))
def test_a_refusal_can_be_shown_on_any_terminal(text):
    try:
        check_name(text, "tag")
    except InvalidNameError as error:
        message = str(error)
        message.encode("utf-8")
        assert "\n" not in message
        assert len(message) < 800
