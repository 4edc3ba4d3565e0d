"""Encode arguments and results to bytes and back; the name of the codec is stored on each row.

This is the one module that unpickles. Whoever can write the database can run code as the worker, so the
worker decodes only codecs on its accept-list (`WorkerSettings.accept`).
"""

from __future__ import annotations

import json
import pickle
from typing import Any, Dict, Iterable, Literal, Mapping, NamedTuple, Optional, Protocol, Tuple, Union, cast

from sqlite_job.core.errors import DecodeError, EncodeError, InvalidOptionError, SignatureError
from sqlite_job.core.signing import Key, Purpose, Signer, keys_of_environment

Kind = Literal["arguments", "result"]

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


class BoundSerializer(Protocol):
    """A serializer whose bytes belong to one job: they decode only for the purpose they were encoded for."""

    @property
    def name(self) -> str:
        """The name stored beside the bytes, as that of a `Serializer`."""
        ...

    def encode_for(self, value: Any, purpose: Purpose) -> bytes:
        """Return `value` as bytes; any exception means that it cannot be encoded."""
        ...

    def decode_for(self, data: bytes, purpose: Purpose) -> Any:
        """Return the value that was encoded for this purpose; raises SignatureError for any other bytes."""
        ...


AnySerializer = Union[Serializer, BoundSerializer]


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


class SignedPickleSerializer:
    """Pickles that only a holder of a key can make, each for the arguments or the result of one job.

    The signature is HMAC-SHA256 over what it is (arguments or result), the function, the job's id and the pickle; it is
    checked before anything is unpickled.
    """

    name = "signed-pickle"

    def __init__(self, *keys: Key) -> None:
        """Sign with the first key, verify with all of them: to change keys, put the new one in front.

        Raises InvalidOptionError without a key, and for one under 16 bytes.
        """
        self._signer = Signer(keys)
        self._pickle = PickleSerializer()

    def encode_for(self, value: Any, purpose: Purpose) -> bytes:
        """Return the signature and the pickle of `value`."""
        return self._signer.sign(self._pickle.encode(value), purpose)

    def decode_for(self, data: bytes, purpose: Purpose) -> Any:
        """Return the unpickled value, or raise SignatureError before a byte of it is unpickled."""
        return self._pickle.decode(self._signer.verify(data, purpose))

    def __repr__(self) -> str:
        """Show how many keys there are, and none of them."""
        return f"<SignedPickleSerializer with {len(self._signer)} keys>"


BUILT_IN: Mapping[str, Serializer] = {"pickle": PickleSerializer(), "json": JsonSerializer()}

_NAMES = (*BUILT_IN, SignedPickleSerializer.name)


def find_serializer(choice: Union[str, AnySerializer]) -> AnySerializer:
    """Return the serializer of that name, or the given one checked for its members.

    "signed-pickle" takes its keys from the environment variable SQLITE_JOB_SIGNING_KEYS. Raises InvalidOptionError for
    an unknown name or missing keys, TypeError for an object that is not a serializer.
    """
    if isinstance(choice, str):
        if choice == SignedPickleSerializer.name:
            return SignedPickleSerializer(*keys_of_environment())
        if choice not in BUILT_IN:
            message = (
                f"no serializer named {choice!r}; use one of {', '.join(map(repr, _NAMES))}, or an object of your own"
            )
            raise InvalidOptionError(message)
        return BUILT_IN[choice]
    if isinstance(choice, type) or not (_has(choice, "name", "encode", "decode") or is_bound(choice)):
        message = (
            f"{choice!r} is not a serializer: it needs `name`, `encode(value)` and `decode(data)`; give an instance"
        )
        raise TypeError(message)
    return choice


def is_bound(serializer: object) -> bool:
    """Whether the bytes of a serializer belong to one job."""
    return _has(serializer, "name", "encode_for", "decode_for")


def make_codecs(
    serializer: Union[str, AnySerializer], accept: Optional[Iterable[Union[str, AnySerializer]]] = None
) -> Codecs:
    """Return what encodes with a serializer, and decodes its bytes and those of `accept`.

    Without `accept` those of the built-in ones, but nothing beside a bound serializer: if plain pickles were accepted
    beside signed ones, a forger would just leave the signature out. Raises as `find_serializer`.
    """
    encoder = find_serializer(serializer)
    if accept is None:
        accept = () if is_bound(encoder) else BUILT_IN.values()
    return Codecs(encoder, [encoder, *map(find_serializer, accept)])


class Codecs:
    """The serializer that encodes, and the accept-list of those that may decode."""

    def __init__(self, encoder: AnySerializer, accept: Iterable[AnySerializer]) -> None:
        """Encode with `encoder`; decode rows of the serializers in `accept` only, of two of one name the first."""
        self.encoder = encoder
        self._plain_encoder, self._bound_encoder = _sides(encoder)
        self._accept: Dict[str, _Sides] = {}
        for serializer in accept:
            self._accept.setdefault(serializer.name, _sides(serializer))

    @property
    def accepts_pickles(self) -> bool:
        """Whether pickles are decoded that nobody has signed."""
        return "pickle" in self._accept

    def encode(self, value: Any, function: str, job_id: str, kind: Kind = "arguments") -> bytes:
        """Return the arguments or the result of a job as bytes; raises EncodeError for what cannot be encoded."""
        bound = self._bound_encoder
        try:
            # A purpose costs as much as a small pickle: only who asks for it gets one.
            if bound is None:
                encoded = self._plain_encoder.encode(value)
            else:
                encoded = bound.encode_for(value, Purpose(kind, function, job_id))
            if not isinstance(encoded, bytes):
                raise TypeError(f"its serializer returned {type(encoded).__name__}, not bytes")
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            message = f"the {kind} of {function} cannot be encoded with {self.encoder.name!r}: {cause}"
            raise EncodeError(message) from error
        return encoded

    def decode(self, codec: str, data: bytes, function: str, job_id: str, kind: Kind = "arguments") -> Any:
        """Return the decoded value; raises DecodeError: not accepted, or not decodable, or a SignatureError."""
        sides = self._accept.get(codec)
        if sides is None:
            accepted = ", ".join(sorted(self._accept)) or "nothing"
            what = _what(kind, function, job_id)
            verb = "are" if kind == "arguments" else "is"
            message = f"{what} {verb} encoded with {codec!r}, which is not accepted here (accept = {accepted})"
            raise DecodeError(message)
        plain, bound = sides
        try:
            return plain.decode(data) if bound is None else bound.decode_for(data, Purpose(kind, function, job_id))
        except SignatureError as error:
            raise SignatureError(f"{_what(kind, function, job_id)} cannot be trusted: {error}") from None
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            message = f"{_what(kind, function, job_id)} cannot be decoded with {codec!r}: {cause}"
            raise DecodeError(message) from error

    def rebind(self, codec: str, data: bytes, function: str, old_id: str, new_id: str) -> Tuple[str, bytes]:
        """Return the arguments of one job as those of another, with the name of their codec; raises as `decode`.

        Bytes that belong to no job are not decoded.
        """
        sides = self._accept.get(codec)
        if sides is not None and sides.bound is None:
            return codec, data
        return self.encoder.name, self.encode(self.decode(codec, data, function, old_id), function, new_id)


class _Sides(NamedTuple):
    """A serializer as both kinds; it is used as `bound`, unless that is None."""

    plain: Serializer
    bound: Optional[BoundSerializer]


def _sides(serializer: AnySerializer) -> _Sides:
    bound = cast("BoundSerializer", serializer) if is_bound(serializer) else None
    return _Sides(cast("Serializer", serializer), bound)


def _what(kind: Kind, function: str, job_id: str) -> str:
    return f"the arguments of {function}" if kind == "arguments" else f"the result of job {job_id}"


def _has(choice: object, *members: str) -> bool:
    return all(hasattr(choice, member) for member in members)
