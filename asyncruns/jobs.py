"""What a pool or a queue is asked for, and what has become of it: jobs and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncruns.dedupe import with_dedupe_key
from asyncruns.models import Message, Run, RunStep
from asyncruns.stream import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RunJob", "RunResult"]

PARAMETERS: Final = frozenset(
    {
        "additional_instructions",
        "additional_messages",
        "extra_body",
        "extra_headers",
        "extra_query",
        "include",
        "instructions",
        "max_completion_tokens",
        "max_prompt_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "temperature",
        "timeout",
        "tool_choice",
        "tools",
        "top_p",
        "truncation_strategy",
    }
)
"""What the creation of a run takes beside the assistant: the names that `params` may have."""

THREAD_PARAMETERS: Final = frozenset({"messages", "metadata", "tool_resources"})
"""What a new thread is created with."""


class RunJob(
    msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One run to be created and driven to its end; plain JSON, so that it fits into a queue.

    Construction raises ValueError for what cannot be a job, and decoding
    msgspec.ValidationError; both say what is wrong.
    """

    assistant_id: str
    """The assistant to execute."""
    thread_id: str | None = None
    """The thread to run on; a new one is created where it is None."""
    thread: dict[str, Any] | None = None
    """The new thread, as `threads.create` takes it; an empty one unless given."""
    message: str | list[dict[str, Any]] | None = None
    """What the user says before the run: a text, or the parts of a message's content."""
    toolset: str | None = None
    """The name of the toolset that answers the run's tool calls: functions do not fit into JSON."""
    dedupe_key: str | None = None
    """Names the job for ever, in its run's metadata: a job that is done again finds its run."""
    params: dict[str, Any] = {}
    """Further parameters of the run's creation, by the reference's names."""

    def __post_init__(self) -> None:
        if not self.assistant_id or self.thread_id == "":
            raise ValueError("assistant_id and thread_id must not be empty")
        if self.thread_id is not None and self.thread is not None:
            raise ValueError("a job has a thread_id or a new thread, not both")
        _check("params", self.params, PARAMETERS)
        _check("thread", self.thread or {}, THREAD_PARAMETERS)
        with_dedupe_key(self.params, self.dedupe_key)  # raises where it has no room


class RunResult(msgspec.Struct, kw_only=True):
    """What has become of a job."""

    job: RunJob
    """The job, as it was given."""
    outcome: Outcome | None = None
    """How the run ended, or `requires_action` where nobody answers it, or `interrupted` where it
    may go on at the server; None where no run is known."""
    thread_id: str | None = None
    """The job's thread, or the one that was created for it; None where there is none."""
    run: Run | None = None
    """The run as last seen; None where none is known."""
    steps: list[RunStep] = []
    """The run's steps as far as they have come."""
    messages: list[Message] = []
    """The run's messages as far as they have come."""
    exception: Exception | None = None
    """What kept the job from its end; None where its run has ended or requires an action."""
    retries: int = 0
    """How often the job was tried again."""

    def raise_for_status(self) -> None:
        """Raise the exception, or RunFailedError for a run that ended other than completed."""
        if self.exception is not None:
            raise self.exception
        if self.run is not None:
            self.run.raise_for_status()


def _check(field: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise ValueError for a name that the field of a job cannot have."""
    unknown = given.keys() - known
    if unknown:
        raise ValueError(f"{field} has no {min(unknown)!r}, only: {', '.join(sorted(known))}")
