"""Tell whether two calls are the same one: a digest of a function's name and its arguments."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any, Iterator, Mapping, Tuple

from sqlite_job.core.errors import EncodeError

_PLAIN = (type(None), bool, int, float, str, bytes)


def fingerprint(args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return the same text for equal arguments, in every process.

    Plain values, lists, tuples, dicts and sets count by their values, whatever the order of a dict or a set; any
    other object by its pickled form. `f(1)` and `f(x=1)` are different calls. Raises EncodeError.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts((list(args), dict(kwargs))):
            digest.update(part)
    except RecursionError:
        raise EncodeError("the arguments are nested too deeply to tell whether they are unique") from None
    return digest.hexdigest()[:32]


def _parts(value: Any) -> Iterator[bytes]:
    kind = type(value)
    if kind in _PLAIN:
        yield f"{kind.__name__}:{value!r};".encode("utf-8", "backslashreplace")
    elif kind in (list, tuple):
        yield f"{kind.__name__}[{len(value)}:".encode()
        for one in value:
            yield from _parts(one)
    elif kind is dict:
        yield from _unordered("dict", (b"".join(_parts(pair)) for pair in value.items()))
    elif kind in (set, frozenset):
        yield from _unordered(kind.__name__, (b"".join(_parts(one)) for one in value))
    else:
        yield b"object:" + _pickled(value) + b";"


def _unordered(name: str, parts: Iterator[bytes]) -> Iterator[bytes]:
    found = sorted(parts)
    yield f"{name}[{len(found)}:".encode()
    yield from found


def _pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=4)
    # Without the memo, equal objects have equal bytes, whether their parts are shared or copies.
    pickler.fast = True
    try:
        pickler.dump(value)
    except Exception as error:
        message = f"cannot tell whether {type(value).__name__!r} objects are equal, give a key: unique='...' ({error})"
        raise EncodeError(message) from error
    return buffer.getvalue()
