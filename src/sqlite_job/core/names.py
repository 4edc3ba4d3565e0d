"""Check the names of queues, functions, jobs and tags: bounded, and free of control characters."""

from __future__ import annotations

import reprlib

from sqlite_job.core.errors import InvalidNameError
from sqlite_job.core.escaping import CONTROLS

MAX_CHARACTERS = 128


def check_name(name: object, kind: str) -> str:
    """Return `name` if it can be the name of a `kind`, else raise InvalidNameError."""
    if not isinstance(name, str):
        message = f"A {kind} must be text, not {type(name).__name__}: {reprlib.repr(name)}"
        raise InvalidNameError(message)
    if len(name) > MAX_CHARACTERS:
        message = f"A {kind} may have {MAX_CHARACTERS} characters, this one has {len(name)}: {name[:40]!r}…"
        raise InvalidNameError(message)
    if not name or name != name.strip():
        message = f"A {kind} must not be empty or have spaces around it: {name!r}"
        raise InvalidNameError(message)
    if CONTROLS.search(name):
        message = f"A {kind} must not contain control characters: {name!r}"
        raise InvalidNameError(message)
    return str(name)
