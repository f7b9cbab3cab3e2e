"""Assistants: a model with instructions and tools."""

from __future__ import annotations

from typing import Literal

from asyncruns.models._base import Answer, Model, Timestamp
from asyncruns.models.thread import ToolResources
from asyncruns.models.tools import AssistantTool, ResponseFormat

__all__ = ["Assistant", "AssistantDeleted"]


class Assistant(Answer, Model, kw_only=True):
    """A model with instructions and tools, which runs execute."""

    id: str
    """The assistant's id."""
    object: Literal["assistant"] | str = "assistant"
    """Always `assistant`."""
    created_at: Timestamp | None = None
    """When the assistant was created, Unix seconds."""
    name: str | None = None
    """Its name; None where it has none."""
    description: str | None = None
    """What it is for; None where nothing was said."""
    model: str | None = None
    """The model that it uses."""
    instructions: str | None = None
    """What it is told to do; None where nothing was said."""
    tools: list[AssistantTool] | None = None
    """Its tools, at most 128."""
    tool_resources: ToolResources | None = None
    """The files that its tools may use; None where there are none."""
    metadata: dict[str, str] | None = None
    """Up to 16 pairs of the caller's own: keys to 64, values to 512 characters."""
    temperature: float | None = None
    """The sampling temperature, 0 to 2; None means 1."""
    top_p: float | None = None
    """The nucleus sampling mass, 0 to 1; None means 1."""
    response_format: ResponseFormat | None = None
    """The format of its answers; None means `auto`."""


class AssistantDeleted(Answer, Model, kw_only=True):
    """What the server says of an assistant that it has deleted."""

    id: str
    """The assistant's id."""
    deleted: bool | None = None
    """Whether it is gone; None where the server does not say."""
    object: Literal["assistant.deleted"] | str = "assistant.deleted"
    """Always `assistant.deleted`."""
