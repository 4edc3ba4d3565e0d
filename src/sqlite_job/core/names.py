"""Check the names of queues, functions, jobs and tags: bounded, and free of control characters."""

from __future__ import annotations

import re

from sqlite_job.core.errors import InvalidNameError

MAX_CHARACTERS = 128

# C0 and C1 controls, line separators, bidirectional overrides and lone surrogates: they forge log lines and terminals.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_name(name: object, kind: str) -> str:
    """Return `name` if it can be the name of a `kind`, else raise InvalidNameError."""
    if not isinstance(name, str):
        message = f"A {kind} must be text, not {type(name).__name__}: {name!r}"
        raise InvalidNameError(message)
    if not name or name != name.strip():
        message = f"A {kind} must not be empty or have spaces around it: {name!r}"
        raise InvalidNameError(message)
    if len(name) > MAX_CHARACTERS:
        message = f"A {kind} may have {MAX_CHARACTERS} characters, this one has {len(name)}: {name[:40]!r}…"
        raise InvalidNameError(message)
    if _FORBIDDEN.search(name):
        message = f"A {kind} must not contain control characters: {name!r}"
        raise InvalidNameError(message)
    return str(name)
