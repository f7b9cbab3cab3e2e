"""Everything that the emulator keeps: assistants, and threads with their messages and runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from asyncruns.emulator import records, requests
from asyncruns.emulator.errors import not_found
from asyncruns.emulator.life import LiveRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncruns.emulator.records import Json
    from asyncruns.emulator.stage import Stage

T = TypeVar("T")


@dataclass(slots=True)
class Thread:
    """A thread; its messages and runs by id, oldest first."""

    record: Json
    messages: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, LiveRun] = field(default_factory=dict)

    @property
    def live_run(self) -> LiveRun | None:
        """The run that locks the thread."""
        newest = next(reversed(self.runs.values()), None)
        return newest if newest is not None and newest.live else None


class Store:
    """Objects by id. Each look-up raises ApiError (404) for an id that is not there.

    A new object takes a generated id unless one is given.
    """

    def __init__(self, stage: Stage, *, run_lifetime: float) -> None:
        self.stage = stage
        self.run_lifetime = run_lifetime
        self.assistants: dict[str, Json] = {}
        self.threads: dict[str, Thread] = {}

    def assistant(self, assistant_id: str) -> Json:
        """Return an assistant."""
        return _find(self.assistants, "assistant", assistant_id)

    def thread(self, thread_id: str) -> Thread:
        """Return a thread."""
        return _find(self.threads, "thread", thread_id)

    def message(self, thread_id: str, message_id: str) -> Json:
        """Return a message."""
        return _find(self.thread(thread_id).messages, "message", message_id)

    def run(self, thread_id: str, run_id: str) -> LiveRun:
        """Return a run."""
        return _find(self.thread(thread_id).runs, "run", run_id)

    def step(self, thread_id: str, run_id: str, step_id: str) -> Json:
        """Return a step of a run."""
        return _find(self.run(thread_id, run_id).steps, "run step", step_id)

    def new_assistant(
        self, body: requests.CreateAssistant, assistant_id: str | None = None
    ) -> Json:
        """Keep a new assistant."""
        assistant = records.assistant(body, self.stage.ids, self.stage.now())
        return _keep(self.assistants, assistant, assistant_id)

    def new_thread(self, body: requests.CreateThread, thread_id: str | None = None) -> Thread:
        """Keep a new thread, and the messages that come with it."""
        record = records.thread(body, self.stage.ids, self.stage.now())
        record["id"] = thread_id or record["id"]
        thread = self.threads[record["id"]] = Thread(record)
        for message in body.messages:
            self.new_message(thread, message)
        return thread

    def new_message(
        self, thread: Thread, body: requests.CreateMessage, message_id: str | None = None
    ) -> Json:
        """Keep a message that the client adds to a thread."""
        stage = self.stage
        message = records.message(body, thread.record["id"], stage.ids, stage.now())
        return _keep(thread.messages, message, message_id)

    def new_run(
        self,
        thread: Thread,
        assistant: Json,
        body: requests.CreateRun | requests.CreateThreadAndRun,
        run_id: str | None = None,
        *,
        include_content: bool = False,
    ) -> LiveRun:
        """Keep a new run, which has yet to be started, and the messages that come with it."""
        stage = self.stage
        if isinstance(body, requests.CreateRun):
            for message in body.additional_messages or ():
                self.new_message(thread, message)
        now = stage.now()
        expires_at = now + self.run_lifetime
        record = records.run(
            body, assistant, thread.record, stage.ids, now=now, expires_at=expires_at
        )
        record["id"] = run_id or record["id"]
        run = LiveRun(stage, thread, assistant, record, include_content=include_content)
        thread.runs[record["id"]] = run
        return run

    def new_tool_resources(self, asked: requests.ToolResources | None) -> Json:
        """Return the tool resources that a request asks for."""
        return records.tool_resources(asked, self.stage.ids)


def _keep(kept: dict[str, Json], record: Json, wanted: str | None) -> Json:
    record["id"] = wanted or record["id"]
    kept[record["id"]] = record
    return record


def _find(kept: Mapping[str, T], kind: str, wanted: str) -> T:
    try:
        return kept[wanted]
    except KeyError:
        raise not_found(kind, wanted) from None
