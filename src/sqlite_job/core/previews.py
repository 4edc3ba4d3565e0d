"""Write short, bounded texts of arguments and results: what people see, so that no tool ever has to unpickle."""

from __future__ import annotations

import reprlib
from typing import Any, Mapping, Sequence

MAX_CHARACTERS = 200

# Texts shorter than this are shown whole, without the cost of a bounded repr.
_SHORT = 50

# Types whose repr is short, fast and cannot run user code.
_PLAIN = frozenset({int, float, bool, type(None)})

_bounded = reprlib.Repr()
_bounded.maxstring = _bounded.maxother = 60
_bounded.maxlist = _bounded.maxtuple = _bounded.maxdict = _bounded.maxset = 5


def preview_value(value: object) -> str:
    """Return a repr of at most 200 characters; never raises."""
    kind = type(value)
    try:
        if kind in _PLAIN or (kind is str and len(value) < _SHORT):  # type: ignore[arg-type]
            text = repr(value)
        else:
            # A user's __repr__ may return lone surrogates, which no database takes as text.
            text = _bounded.repr(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything, and a preview is never worth a job
        return f"<{kind.__name__}>"
    return text if len(text) <= MAX_CHARACTERS else _cut(text)


def preview_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments as one would write them in a call, in at most 200 characters; never raises."""
    text = ", ".join([preview_value(value) for value in args])
    if kwargs:
        named = ", ".join([f"{name}={preview_value(value)}" for name, value in kwargs.items()])
        named = named.encode("utf-8", "backslashreplace").decode()
        text = f"{text}, {named}" if args else named
    return text if len(text) <= MAX_CHARACTERS else _cut(text)


def _cut(text: str) -> str:
    return text[: MAX_CHARACTERS - 1] + "…"
