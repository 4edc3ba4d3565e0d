"""Read a function's arguments from the command line: JSON where it is JSON, else text; `key=value` for keywords."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NoReturn, Sequence, Tuple

import click


def parse_arguments(words: Sequence[str]) -> Tuple[List[Any], Dict[str, Any]]:
    """Return positional and keyword arguments; raises UsageError where Python would refuse the call."""
    args: List[Any] = []
    kwargs: Dict[str, Any] = {}
    for word in words:
        key, is_keyword, value = word.partition("=")
        if not (is_keyword and key.isidentifier()):
            if kwargs:
                message = (
                    f"{word!r} comes after {next(reversed(kwargs))}=…: put positional arguments first, "
                    f"and quote a value that has spaces"
                )
                raise click.UsageError(message)
            args.append(parse_value(word))
        elif key in kwargs:
            message = f"{key}= is given twice"
            raise click.UsageError(message)
        else:
            kwargs[key] = parse_value(value)
    return args, kwargs


def parse_value(word: str) -> Any:
    """Return the JSON value that `word` is, or else `word` itself, as text."""
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return word


def parse_meta_filter(words: Sequence[str]) -> Dict[str, Any]:
    """Return what `--meta key=value` asks for, given so often; raises UsageError."""
    wanted: Dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise click.UsageError(f"--meta takes KEY=VALUE, as customer=42, not {word!r}")
        if key in wanted:
            raise click.UsageError(f"--meta {key}= is given twice; a job has one value under a key")
        wanted[key] = parse_value(value)
    return wanted


def is_negative_number(word: str) -> bool:
    """Whether `word` looks like an option, but is a number."""
    return word.startswith("-") and isinstance(parse_value(word), (int, float))


def _refuse(constant: str) -> NoReturn:
    # NaN and Infinity are Python's own additions to JSON: a person who writes them means a word.
    raise ValueError(constant)
