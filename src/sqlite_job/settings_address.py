"""Say where settings can be imported from, and import them in a job process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional

from sqlite_job.core.errors import SQLiteJobError
from sqlite_job.settings import WorkerSettings

# The name under which a script is loaded in a job process: its `if __name__ == "__main__"` part stays out.
_SCRIPT = "__sqlite_job_main__"

_is_loading = False


class Address(NamedTuple):
    """A class by module and qualified name, and the file of the module where there is one."""

    module: str
    qualname: str
    file: Optional[str]


class StopLoadingError(BaseException):
    """Raised by `Worker.run` and `enqueue` while a job process loads the settings.

    The seed's worker.py has no guard: the script that started the worker would start another one in each job process.
    """


def address_of(settings: WorkerSettings) -> Optional[Address]:
    """Return where the class of the settings is, or None when it is defined inside a function."""
    owner = type(settings)
    if "<locals>" in owner.__qualname__:
        return None
    module = sys.modules.get(owner.__module__)
    file = getattr(module, "__file__", None)
    spec = getattr(module, "__spec__", None)
    name = spec.name if owner.__module__ == "__main__" and spec is not None else owner.__module__
    if name == "__main__" and file is None:
        return None  # an interactive session, or python -c
    return Address(name, owner.__qualname__, None if file is None else str(Path(file).resolve()))


def load_settings(address: Address, location: str) -> WorkerSettings:
    """Import the settings and make them, for the database at `location`."""
    with _loading():
        module = _load_module(address)
    owner: Any = module
    for part in address.qualname.split("."):
        if not hasattr(owner, part):
            message = (
                f"{address.qualname} cannot be found in {address.file or address.module} by a job process; "
                f"define it above everything that enqueues or runs, or guard that: if __name__ == '__main__'"
            )
            raise SQLiteJobError(message)
        owner = getattr(owner, part)
    settings: WorkerSettings = owner(location)
    return settings


def refuse_while_loading() -> None:
    """End the loading of a script that was written to be run: what comes next is not for a job process."""
    if _is_loading:
        raise StopLoadingError


def _load_module(address: Address) -> types.ModuleType:
    if address.module != "__main__":
        try:
            return importlib.import_module(address.module)
        except ModuleNotFoundError as error:
            if error.name != address.module or address.file is None:
                raise
    assert address.file is not None  # noqa: S101 - address_of gives scripts a file
    return _load_file(_SCRIPT if address.module == "__main__" else address.module, address.file)


def _load_file(name: str, file: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file that was imported before
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if name == _SCRIPT:
        # What the script pickled by reference names `__main__`.
        sys.modules["__main__"] = module
    with suppress(StopLoadingError):  # all that stands above it is there
        spec.loader.exec_module(module)
    return module


@contextmanager
def _loading() -> Iterator[None]:
    global _is_loading  # noqa: PLW0603 - of the process, which loads once, before it has any other thread
    _is_loading = True
    try:
        yield
    finally:
        _is_loading = False
