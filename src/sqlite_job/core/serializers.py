"""Encode arguments and results to bytes and back; the name of the codec is stored on each row.

This is the one module that unpickles. Whoever can write the database can run code as the worker, so the
worker decodes only codecs on its accept-list (`WorkerSettings.accept`).
"""

from __future__ import annotations

import json
import pickle
from typing import Any, Dict, Iterable, Mapping, Protocol, Union

from sqlite_job.core.errors import DecodeError, EncodeError

# Protocol 5 is the newest that Python 3.8 reads: producers and workers may run different versions.
_PICKLE_PROTOCOL = 5


class Serializer(Protocol):
    """Anything that turns values into bytes and back under a name of its own."""

    @property
    def name(self) -> str:
        """The name stored beside the bytes; changing what a name means makes old rows unreadable."""
        ...

    def encode(self, value: Any) -> bytes:
        """Return `value` as bytes; any exception means that it cannot be encoded."""
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value that `encode` was given; any exception means that it cannot be decoded."""
        ...


class PickleSerializer:
    """The default: any Python value that pickles; functions and classes by import path."""

    name = "pickle"

    def encode(self, value: Any) -> bytes:
        """Return the pickle of `value`."""
        return pickle.dumps(value, _PICKLE_PROTOCOL)

    def decode(self, data: bytes) -> Any:
        """Return the unpickled value."""
        return pickle.loads(data)  # noqa: S301 - the documented default, behind the worker's accept-list


class JsonSerializer:
    """Values of JSON: what other languages read; tuples come back as lists, and keys are text."""

    name = "json"

    def encode(self, value: Any) -> bytes:
        """Return compact UTF-8; NaN and infinities are refused, since JSON has none."""
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    def decode(self, data: bytes) -> Any:
        """Return the parsed value."""
        return json.loads(data)


BUILT_IN: Mapping[str, Serializer] = {"pickle": PickleSerializer(), "json": JsonSerializer()}


def find_serializer(choice: Union[str, Serializer]) -> Serializer:
    """Return the serializer of that name, or the given one checked for its three members.

    Raises ValueError for an unknown name, TypeError for an object that is not a serializer.
    """
    if isinstance(choice, str):
        if choice not in BUILT_IN:
            message = (
                f"no serializer named {choice!r}; use one of {', '.join(map(repr, BUILT_IN))}, or an object of your own"
            )
            raise ValueError(message)
        return BUILT_IN[choice]
    if isinstance(choice, type) or not all(hasattr(choice, member) for member in ("name", "encode", "decode")):
        message = (
            f"{choice!r} is not a serializer: it needs `name`, `encode(value)` and `decode(data)`; give an instance"
        )
        raise TypeError(message)
    return choice


class Codecs:
    """The serializer that encodes, and the accept-list of those that may decode."""

    def __init__(self, encoder: Serializer, accept: Iterable[Serializer]) -> None:
        """Encode with `encoder`; decode rows of the serializers in `accept` only."""
        self.encoder = encoder
        self._accept: Dict[str, Serializer] = {serializer.name: serializer for serializer in accept}

    def encode(self, value: Any, function: str, what: str = "arguments") -> bytes:
        """Return `value` as bytes; `function` and `what` name it in the EncodeError raised if it cannot be."""
        try:
            encoded = self.encoder.encode(value)
            if not isinstance(encoded, bytes):
                raise TypeError(f"its serializer returned {type(encoded).__name__}, not bytes")
            return encoded
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            message = f"the {what} of {function} cannot be encoded with {self.encoder.name!r}: {cause}"
            raise EncodeError(message) from error

    def decode(self, codec: str, data: bytes, what: str) -> Any:
        """Return the decoded value, or raise DecodeError: not accepted, or not decodable."""
        serializer = self._accept.get(codec)
        if serializer is None:
            accepted = ", ".join(sorted(self._accept))
            message = f"{what} is encoded with {codec!r}, which is not accepted here (accept = {accepted})"
            raise DecodeError(message)
        try:
            return serializer.decode(data)
        except Exception as error:
            message = f"{what} cannot be decoded with {codec!r}: {type(error).__name__}: {error}"
            raise DecodeError(message) from error
