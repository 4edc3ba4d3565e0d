"""Show a job's stored previews: all that may be shown of its arguments and result without decoding them."""

from __future__ import annotations

from typing import Optional

from sqlite_job.cli.printable import printable_line
from sqlite_job.core.jobs import JobInfo
from sqlite_job.core.previews import MAX_CHARACTERS

SHORTENED_NOTE = (
    f"(shortened: a preview has at most {MAX_CHARACTERS} characters; get_job_result() in Python returns the whole)"
)

# A text of this length is shortened by leaving out its middle; a shorter one is whole, even with dots of its own.
_SHORTENED_TEXT = 60


def is_shortened(preview: str) -> bool:
    """Whether a preview leaves something out; it may say so too of a whole value that shows `...` itself."""
    if preview.endswith("…"):
        return True
    is_whole_text = preview[:1] in ("'", '"') and len(preview) < _SHORTENED_TEXT
    return "..." in preview and not is_whole_text


def preview_job_call(job: JobInfo) -> str:
    """Return the call that a job is, as one would write it; `…` for arguments that have no preview."""
    return preview_call(job.function, job.arguments)


def preview_call(function: str, arguments: Optional[str]) -> str:
    """Return a call of these arguments, as one would write it."""
    return printable_line(f"{function}({'…' if arguments is None else arguments})")


def preview_outcome(job: JobInfo) -> str:
    """Return what became of a job, if anything yet: its error, or its result."""
    return printable_line(job.error or job.result or "")
