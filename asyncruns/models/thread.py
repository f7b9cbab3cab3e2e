"""Threads, and the files that their tools may use."""

from __future__ import annotations

from typing import Literal

import msgspec

from asyncruns.models._base import Answer, Model, RequestModel, Timestamp

__all__ = [
    "CodeInterpreterResources",
    "FileSearchResources",
    "Thread",
    "ThreadDeleted",
    "ToolResources",
]


def _no_ids() -> list[str]:
    # Not `list`: msgspec would leave it out of a body, where servers want it even if it is empty.
    return []


class CodeInterpreterResources(RequestModel, kw_only=True):
    """The files that code may read."""

    file_ids: list[str] | None = None
    """The files' ids, at most 20."""


class FileSearchResources(RequestModel, kw_only=True):
    """The files that may be searched."""

    vector_store_ids: list[str] | None = msgspec.field(default_factory=_no_ids)
    """The id of the vector store that holds them: at most one."""


class ToolResources(RequestModel, kw_only=True):
    """The files that tools may use."""

    code_interpreter: CodeInterpreterResources | None = None
    """For the code interpreter; None where it has none."""
    file_search: FileSearchResources | None = None
    """For the file search; None where it has none."""


class Thread(Answer, Model, kw_only=True):
    """A conversation: messages, on which runs execute."""

    id: str
    """The thread's id."""
    object: Literal["thread"] | str = "thread"
    """Always `thread`."""
    created_at: Timestamp | None = None
    """When the thread was created, Unix seconds."""
    tool_resources: ToolResources | None = None
    """The files that tools may use in this thread; None where there are none."""
    metadata: dict[str, str] | None = None
    """Up to 16 pairs of the caller's own: keys to 64, values to 512 characters."""


class ThreadDeleted(Answer, Model, kw_only=True):
    """What the server says of a thread that it has deleted."""

    id: str
    """The thread's id."""
    deleted: bool | None = None
    """Whether it is gone; None where the server does not say."""
    object: Literal["thread.deleted"] | str = "thread.deleted"
    """Always `thread.deleted`."""
