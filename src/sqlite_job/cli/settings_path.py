"""Find settings by their import path, and say what is wrong with a path that leads nowhere."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, List, Optional, Type

from sqlite_job.cli.exit_code import ExitCode
from sqlite_job.cli.failure import Failure
from sqlite_job.core.errors import SQLiteJobError, did_you_mean
from sqlite_job.settings import WorkerSettings

_EXAMPLE = "my_tasks.MyWorkerSettings"


def load_settings(path: str, database: Optional[str]) -> WorkerSettings:
    """Import the class at `path` and make its settings, on `database` if it is given.

    `module:Class` means the same as `module.Class`. Raises Failure, or the SettingsError of the class.
    """
    _put_this_folder_first()
    module_name, _, class_name = path.replace(":", ".").rpartition(".")
    if path.endswith(".py") or os.sep in path:
        raise _wrong(f"{path!r} is the path of a file; give an import path, as {_EXAMPLE}")
    if not module_name or not class_name:
        raise _wrong(_without_class(module_name or class_name))
    settings = _find_class(_import(module_name), class_name)
    try:
        return settings(database)
    except SQLiteJobError:
        raise
    except Exception as error:
        raise _wrong(f"Making {path} failed: {_describe(error)}") from error


def _put_this_folder_first() -> None:
    # As `python -m` does: the entry point of a console script has its own folder there instead.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise _wrong(_missing_module(module_name, error.name)) from error
        raise _wrong(f"Importing {module_name} failed: {_describe(error)}; {_install()}") from error
    except (Exception, SystemExit) as error:
        raise _wrong(f"Importing {module_name} failed: {_describe(error)}") from error


def _find_class(module: ModuleType, class_name: str) -> Type[WorkerSettings]:
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, WorkerSettings) and found is not WorkerSettings:
        return found
    known = _settings_in(module)
    if not hasattr(module, class_name):
        problem = f"{module.__name__} has no {class_name!r}{did_you_mean(class_name, known)}"
    elif isinstance(found, WorkerSettings):
        problem = f"{module.__name__}.{class_name} is an instance; name its class {type(found).__name__}"
    elif found is WorkerSettings:
        problem = f"{module.__name__}.{class_name} is the base class; name your own"
    else:
        kind = "a class" if isinstance(found, type) else f"of the type {type(found).__name__}"
        problem = f"{module.__name__}.{class_name} is {kind}, not a subclass of WorkerSettings"
    raise _wrong(f"{problem}; {_describe_known(module, known)}")


def _without_class(name: str) -> str:
    message = f"{name!r} names no class; give module.Class, as {_EXAMPLE}"
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit):  # noqa: BLE001 - only to be of more help: the path is wrong anyway
        return message
    return f"{message}; {_describe_known(module, _settings_in(module))}"


def _settings_in(module: ModuleType) -> List[str]:
    return [name for name, value in vars(module).items() if _is_settings(value)]


def _is_settings(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, WorkerSettings) and value is not WorkerSettings


def _describe_known(module: ModuleType, known: List[str]) -> str:
    if not known:
        return f"{module.__name__} ({_file_of(module)}) has no subclass of WorkerSettings"
    return f"the settings there: {', '.join(f'{module.__name__}.{name}' for name in known)}"


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "a folder without __init__.py"


def _missing_module(wanted: str, missing: str) -> str:
    hint = did_you_mean(missing, _modules_here())
    inside = f", which {wanted} needs," if missing != wanted else ""
    return (
        f"No module named {missing!r}{inside} in {Path.cwd()} or on Python's path{hint}; "
        f"run this in the folder that has it, or set PYTHONPATH"
    )


def _modules_here() -> List[str]:
    try:
        entries = [entry for entry in Path.cwd().iterdir() if not entry.name.startswith((".", "_"))]
    except OSError:
        return []
    return [entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").exists()]


def _install() -> str:
    return f"install it for the Python that runs this: {sys.executable}"


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg} ({error.filename}, line {error.lineno})"
    if isinstance(error, SystemExit):
        return f"it ended the program{_where(error)}; put its script part under if __name__ == '__main__'"
    return f"{name}: {error}{_where(error)}" if str(error) else f"{name}{_where(error)}"


def _where(error: BaseException) -> str:
    """Return the line of the user's code that raised: the last one outside the import system and this file."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib") and frame.filename not in (__file__, importlib.__file__)
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _wrong(message: str) -> Failure:
    return Failure(message, ExitCode.USAGE)
