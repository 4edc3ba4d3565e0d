"""Keep secrets out of previews: by their names, or as the settings say."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Callable

# Called with the name of the function, the name of the parameter and the value; returns what is shown instead.
Redact = Callable[[str, str, Any], Any]

HIDDEN = "***"

# The name under which a result is redacted; no parameter can have it.
RESULT = "return"

_SECRET = re.compile(
    r"""
    (?:^|_)(?: # wherever it stands: new_password, client_secret_id, password_hash
        (?: pass(?:word|wd|phrase|code) | pwd | secret | credential | cookie | private_?key ) s?
    )(?:_|$)
    |
    (?:^|_)(?: # at the end only: max_tokens and token_count are numbers
        token | jwt | bearer | authorization | auth | otp | cvv | cvc | card_?number
        | (?: api | access | signing | encryption | session | master | auth ) _?key
    )$
    |
    ^pass$
    """,
    re.VERBOSE,
)

# Where a word of a name ends: apiKey, X-Api-Key, password2.
_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[^a-zA-Z]+")

# Names come from the keys of dictionaries too, which may be of any length.
_LONGEST_NAME = 100


def hide_secrets(function: str, name: str, value: Any) -> Any:  # noqa: ARG001 - a Redact takes it
    """Return `***` for a value whose name looks like that of a secret, and any other value as it is.

    None, True and False are always shown. This is the rule where the settings have no `redact` of their own.
    """
    if value is None or value is True or value is False or not looks_secret(name):
        return value
    return HIDDEN


def looks_secret(name: str) -> bool:
    """Whether this is how one names a password, a token, a key or a card number."""
    return _looks_secret(name[-_LONGEST_NAME:])


@lru_cache(maxsize=4096)
def _looks_secret(name: str) -> bool:
    return _SECRET.search(_BETWEEN_WORDS.sub("_", name).strip("_").lower()) is not None
