"""Sign what is stored: whoever has no key can neither make nor move a signed payload."""

from __future__ import annotations

import os
from typing import NamedTuple, Sequence, Tuple, Union

from sqlite_job.core.errors import InvalidOptionError, SignatureError

KEYS_VARIABLE = "SQLITE_JOB_SIGNING_KEYS"

Key = Union[str, bytes]

# 128 bits: what nobody can try out.
SHORTEST_KEY = 16

_HASH = "sha256"
_SIGNATURE_BYTES = 32

# Nothing that was signed with the same key for something else can pass for a payload of ours.
_DOMAIN = b"sqlite-job signed payload 1"

_MEND = """python -c "import secrets; print(secrets.token_hex(32))" makes one"""


class Purpose(NamedTuple):
    """What bytes are stored for; `kind` is "arguments" or "result"."""

    kind: str
    function: str
    job_id: str


class Signer:
    """Signs with the first of its keys, and verifies with all of them."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Take keys of at least 16 bytes; text counts as UTF-8. Raises InvalidOptionError, which shows no key."""
        if not keys:
            raise InvalidOptionError(f"signing needs a key: SignedPickleSerializer(key); {_MEND}")
        # Imported here: it loads OpenSSL, and most programs sign nothing.
        import hmac

        self._keys = tuple(_check(key, number) for number, key in enumerate(keys, 1))
        self._digest = hmac.digest
        self._are_equal = hmac.compare_digest

    def sign(self, payload: bytes, purpose: Purpose) -> bytes:
        """Return the payload with its signature in front."""
        return self._signature(self._keys[0], payload, purpose) + payload

    def verify(self, signed: bytes, purpose: Purpose) -> bytes:
        """Return the payload, or raise SignatureError unless one of the keys signed it for this very purpose."""
        signature, payload = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        for key in self._keys:
            # Not by ==, which ends at the first byte that differs, and so tells a forger how far he has come.
            if self._are_equal(signature, self._signature(key, payload, purpose)):
                return payload
        raise SignatureError("it was changed or moved, or signed with a key that is not among those here")

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._keys)

    def _signature(self, key: bytes, payload: bytes, purpose: Purpose) -> bytes:
        # Each part comes with its length, so that no two purposes read the same.
        parts = [part.encode("utf-8", "surrogatepass") for part in purpose]
        framed = b"".join([b"%d:%b" % (len(part), part) for part in (_DOMAIN, *parts)])
        return self._digest(key, framed + payload, _HASH)


def keys_of_environment() -> Tuple[str, ...]:
    """Return the keys of SQLITE_JOB_SIGNING_KEYS, which commas separate; raises InvalidOptionError without any."""
    keys = tuple(filter(None, map(str.strip, os.environ.get(KEYS_VARIABLE, "").split(","))))
    if not keys:
        raise InvalidOptionError(f"'signed-pickle' needs a key in the environment variable {KEYS_VARIABLE}; {_MEND}")
    return keys


def _check(key: Key, number: int) -> bytes:
    if not isinstance(key, (str, bytes)):
        raise InvalidOptionError(f"signing key {number} is text or bytes, not {type(key).__name__}")
    encoded = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    if len(encoded) < SHORTEST_KEY:
        raise InvalidOptionError(
            f"signing key {number} has {len(encoded)} bytes, of at least {SHORTEST_KEY} that it needs; {_MEND}"
        )
    return encoded
