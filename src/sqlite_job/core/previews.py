"""Write short, bounded texts of arguments and results: what people see, so that no tool ever has to unpickle."""

from __future__ import annotations

import reprlib
from itertools import islice
from typing import Any, Dict, Mapping, Sequence

from sqlite_job.core.parameters import Parameters
from sqlite_job.core.redaction import RESULT, Redact, hide_secrets

MAX_CHARACTERS = 200

# What a preview is when `redact` raised: it says nothing of the values, nor does the error, which may quote them.
REDACTION_FAILED = "<redaction failed>"

# Texts shorter than this are shown whole, without the cost of a bounded repr.
_SHORT = 50

# Types whose repr is short, fast and cannot run user code.
_PLAIN = frozenset({int, float, bool, type(None)})

# 600 digits: Python writes 4,300, and whoever lowers that limit must leave it 640.
_MOST_BITS = 2_000

# Six levels (reprlib's default) of five values each are 15,000 values: 20 ms of work to be cut to 200 characters.
_MAX_LEVEL = 3


class Previews:
    """Writes previews in which `redact` has replaced what nobody may see."""

    def __init__(self, redact: Redact = hide_secrets) -> None:
        """Call `redact` for each argument, each result, and each entry with a text key of a dict in them."""
        self._redact = redact

    def of_call(self, function: str, parameters: Parameters, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the arguments as one would write them in a call, in at most 200 characters; never raises."""
        try:
            if self._redact is hide_secrets and not parameters.has_secrets:
                texts = [repr(value) if type(value) in _PLAIN else preview_value(value) for value in args]
            else:
                texts = [self._show(function, name, value) for name, value in zip(parameters.positions(), args)]
            if kwargs:
                texts += [f"{name}={self._show(function, name, value)}" for name, value in kwargs.items()]
        except _RedactionFailedError:
            return REDACTION_FAILED
        except ValueError:  # an int of more than 4,300 digits has no repr
            return self.of_call(function, parameters, [_without_digits(value) for value in args], kwargs)
        text = ", ".join(texts)
        return text if len(text) <= MAX_CHARACTERS and text.isascii() else _fitted(text)

    def of_result(self, function: str, value: Any) -> str:
        """Return a result, whose name is "return", in at most 200 characters; never raises."""
        if self._redact is hide_secrets:
            return preview_value(value)  # "return" is no secret's name
        try:
            return self._show(function, RESULT, value)
        except _RedactionFailedError:
            return REDACTION_FAILED

    def _show(self, function: str, name: str, value: Any) -> str:
        redact = self._redact
        if redact is hide_secrets:
            return preview_value(hide_secrets(function, name, value))
        return preview_value(_redacted(redact, function, name, value), _RedactingRepr(function, redact))


class _RedactionFailedError(Exception):
    """A `redact` raised."""


class _RedactingRepr(reprlib.Repr):
    """A bounded repr of values that hold dicts, whose entries are redacted."""

    def __init__(self, function: str, redact: Redact) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 5
        self.maxlevel = _MAX_LEVEL
        self._function = function
        self._redact = redact

    def repr1(self, x: Any, level: int) -> str:
        """Take every kind of dict for one: the repr of a subclass would show all."""
        return self.repr_dict(x, level) if isinstance(x, dict) else super().repr1(x, level)

    def repr_dict(self, x: Dict[Any, Any], level: int) -> str:
        """Return the first entries, in their order."""
        if level <= 0 or not x:
            return "{...}" if x else "{}"
        texts = []
        for key, value in islice(x.items(), self.maxdict):
            shown = _redacted(self._redact, self._function, key, value) if isinstance(key, str) else value
            texts.append(f"{self.repr1(key, level - 1)}: {self.repr1(shown, level - 1)}")
        if len(x) > self.maxdict:
            texts.append("...")
        return f"{{{', '.join(texts)}}}"


# The rule by names alone is the same for all functions.
_hiding = _RedactingRepr("", hide_secrets)


def preview_value(value: object, bounded: reprlib.Repr = _hiding) -> str:
    """Return a repr of at most 200 characters, entries of dicts hidden whose names look secret; never raises."""
    kind = type(value)
    try:
        is_short = kind in _PLAIN or (kind is str and len(value) < _SHORT)  # type: ignore[arg-type]
        text = repr(value) if is_short else _storable(bounded.repr(value))
    except _RedactionFailedError:
        raise
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything, and a preview is never worth a job
        return f"<{kind.__name__}>"
    return text if len(text) <= MAX_CHARACTERS else _cut(text)


def _redacted(redact: Redact, function: str, name: str, value: Any) -> Any:
    try:
        return redact(function, name, value)
    except Exception:  # noqa: BLE001 - it is not ours, and a preview is never worth a job
        raise _RedactionFailedError from None


class _Huge:
    """Stands for an int that Python refuses to write."""

    def __repr__(self) -> str:
        return "<int>"


def _without_digits(value: Any) -> Any:
    return _Huge() if type(value) is int and value.bit_length() > _MOST_BITS else value


def _fitted(text: str) -> str:
    text = _storable(text)
    return text if len(text) <= MAX_CHARACTERS else _cut(text)


def _storable(text: str) -> str:
    """Return text without lone surrogates, which names and a user's __repr__ may have, and no database takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str) -> str:
    return text[: MAX_CHARACTERS - 1] + "…"
