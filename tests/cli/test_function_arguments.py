from __future__ import annotations

import click
import pytest

from sqlite_job.cli.duration import parse_duration
from sqlite_job.cli.function_arguments import is_negative_number, parse_arguments, parse_value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("10", 10),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ('"10"', "10"),
        ("hello", "hello"),
        ("", ""),
        ("2024-01-31", "2024-01-31"),
        ("007", "007"),
        ("True", "True"),
        ("[1, 2", "[1, 2"),
    ],
)
def test_a_word_is_json_or_else_text(word, value):
    assert parse_value(word) == value
    assert type(parse_value(word)) is type(value)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_only_python_takes_for_json_are_text(word):
    assert parse_value(word) == word


@pytest.mark.parametrize("word", ["[" * 100_000, "9" * 5_000])
def test_json_that_cannot_be_read_is_text(word):
    assert str(parse_value(word)) == word


def test_key_and_value_are_a_keyword_argument():
    assert parse_arguments(["1", "two", "three=3", "four=four", 'five="5"', "six="]) == (
        [1, "two"],
        {"three": 3, "four": "four", "five": "5", "six": ""},
    )


@pytest.mark.parametrize("word", ["https://example.org/?a=b", "=b", "1=1", "a b=c", "a-b=c", '{"a=b": 1}'])
def test_a_word_is_positional_when_what_stands_before_the_equals_sign_is_no_name(word):
    assert parse_arguments([word]) == ([parse_value(word)], {})


def test_a_text_with_an_equals_sign_is_written_as_json():
    assert parse_arguments(['"a=b"', 'c="d=e"', "f=g=h"]) == (["a=b"], {"c": "d=e", "f": "g=h"})


def test_a_positional_argument_after_a_keyword_is_refused():
    with pytest.raises(click.UsageError, match="'there' comes after subject="):
        parse_arguments(["me@example.org", "subject=Hello", "there"])


def test_a_keyword_given_twice_is_refused():
    with pytest.raises(click.UsageError, match="a= is given twice"):
        parse_arguments(["a=1", "a=2"])


def test_only_negative_numbers_look_like_options_but_are_none():
    assert [word for word in ("-1", "-1.5e3", "-0", "-x", "--x", "-", "1", "-1x") if is_negative_number(word)] == [
        "-1",
        "-1.5e3",
        "-0",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), (".5s", 0.5), ("250ms", 0.25), ("10m", 600), ("2h", 7200), ("1d", 86400)],
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "5 m", "1w", "nan", "inf", "m", "1e3", "٣"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(click.BadParameter, match="is no duration"):
        parse_duration(text)
