"""Lists: one page of objects, and its cursors (reference: List runs, List run steps)."""

from __future__ import annotations

from typing import Any, Literal

from asyncruns.models._base import Answer, Model
from asyncruns.models.assistant import Assistant
from asyncruns.models.message import Message
from asyncruns.models.run import Run
from asyncruns.models.run_step import RunStep

__all__ = [
    "ListAssistantsResponse",
    "ListMessagesResponse",
    "ListResponse",
    "ListRunStepsResponse",
    "ListRunsResponse",
]


class ListResponse(Answer, Model, kw_only=True):
    """What every page has."""

    data: list[Any] = []
    """The page's objects."""
    first_id: str | None = None
    """The id of the page's first object; None on an empty page."""
    has_more: bool | None = None
    """Whether there are objects after the last; None where the server does not say."""
    last_id: str | None = None
    """The id of the page's last object; None on an empty page."""
    object: Literal["list"] | str = "list"
    """Always `list`."""


class ListRunsResponse(ListResponse, kw_only=True):
    """A page of a thread's runs."""

    data: list[Run] = []
    """The runs."""


class ListRunStepsResponse(ListResponse, kw_only=True):
    """A page of a run's steps."""

    data: list[RunStep] = []
    """The steps."""


class ListMessagesResponse(ListResponse, kw_only=True):
    """A page of a thread's messages."""

    data: list[Message] = []
    """The messages."""


class ListAssistantsResponse(ListResponse, kw_only=True):
    """A page of assistants."""

    data: list[Assistant] = []
    """The assistants."""
