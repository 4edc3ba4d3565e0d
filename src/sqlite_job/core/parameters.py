"""Tell the names of the parameters that a call's positional arguments go to."""

from __future__ import annotations

import inspect
from itertools import chain, repeat
from typing import Any, Callable, Iterator, NamedTuple, Optional, Tuple

from sqlite_job.core.redaction import looks_secret

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Parameters(NamedTuple):
    """The positional parameters of a function; `rest` names those that `*args` takes, or is empty.

    `has_secrets`: one of the names looks like that of a secret.
    """

    names: Tuple[str, ...] = ()
    rest: str = ""
    has_secrets: bool = False

    def positions(self) -> Iterator[str]:
        """Yield the name for each positional argument, without end."""
        return chain(self.names, repeat(self.rest))


NO_PARAMETERS = Parameters()


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """Return the parameters of a function; none for one that does not tell, as some written in C do not."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return NO_PARAMETERS
    names = tuple(one.name for one in found if one.kind in _POSITIONAL)
    rest = next((one.name for one in found if one.kind is inspect.Parameter.VAR_POSITIONAL), "")
    return Parameters(names, rest, any(map(looks_secret, (*names, rest))))


def why_not_callable_with(function: Callable[..., Any], *arguments: object) -> Optional[str]:
    """Return why these positional arguments do not fit, or None if they do, or it does not tell what it takes."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        return str(error)
    except ValueError:
        return None
    return None
