"""The endpoints: a request that has been read to its answer.

Each is one synchronous step on the store, so that requests never meet half way. Their table,
`ROUTES`, stands at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from asyncruns.emulator import records, requests
from asyncruns.emulator.errors import bad_request, missing
from asyncruns.emulator.pages import page
from asyncruns.emulator.performance import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from asyncruns.emulator.life import LiveRun
    from asyncruns.emulator.records import Json
    from asyncruns.emulator.scripts import Script
    from asyncruns.emulator.store import Store, Thread
    from asyncruns.emulator.streams import Subscription

SEARCH_CONTENT = "step_details.tool_calls[*].file_search.results[*].content"
"""The one value that `include[]` may have."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its query, the values of `include[]`, and its body."""

    query: Mapping[str, str]
    include: Sequence[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back: an encoded object, or a stream of events."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Subscription | None = None


def answer(record: Json) -> Answer:
    """Return the answer that shows an object as it is now."""
    return Answer(records.encode(record))


class Endpoints:
    """The API on one store."""

    def __init__(
        self,
        store: Store,
        script: Script,
        poll_after_ms: int | None,
        adapt: Callable[[Script], Script] | None = None,
    ) -> None:
        self.store = store
        self.script = script
        self.poll_after_ms = poll_after_ms
        self._adapt = adapt

    def performance(self, run: LiveRun, script: Script | None = None) -> Coroutine[Any, Any, None]:
        """Return the script at work on a run: the one for all runs unless another is given."""
        script = script or self.script
        return perform(run, script if self._adapt is None else self._adapt(script))

    # Assistants

    def create_assistant(self, asked: Asked) -> Answer:
        """POST /assistants."""
        body = requests.decode(asked.body, requests.CreateAssistant)
        return answer(self.store.new_assistant(body))

    def list_assistants(self, asked: Asked) -> Answer:
        """GET /assistants."""
        return answer(page("assistant", self.store.assistants.values(), asked.query))

    def retrieve_assistant(self, _asked: Asked, assistant_id: str) -> Answer:
        """GET /assistants/{assistant_id}."""
        return answer(self.store.assistant(assistant_id))

    def modify_assistant(self, asked: Asked, assistant_id: str) -> Answer:
        """POST /assistants/{assistant_id}."""
        body = requests.decode(asked.body, requests.ModifyAssistant)
        return answer(self._modify(self.store.assistant(assistant_id), body))

    def delete_assistant(self, _asked: Asked, assistant_id: str) -> Answer:
        """DELETE /assistants/{assistant_id}."""
        assistant = self.store.assistant(assistant_id)
        del self.store.assistants[assistant_id]
        return answer(records.deleted(assistant))

    # Threads

    def create_thread(self, asked: Asked) -> Answer:
        """POST /threads."""
        body = requests.decode(asked.body, requests.CreateThread)
        return answer(self.store.new_thread(body).record)

    def retrieve_thread(self, _asked: Asked, thread_id: str) -> Answer:
        """GET /threads/{thread_id}."""
        return answer(self.store.thread(thread_id).record)

    def modify_thread(self, asked: Asked, thread_id: str) -> Answer:
        """POST /threads/{thread_id}."""
        body = requests.decode(asked.body, requests.ModifyThread)
        return answer(self._modify(self.store.thread(thread_id).record, body))

    def delete_thread(self, _asked: Asked, thread_id: str) -> Answer:
        """DELETE /threads/{thread_id}; a run on it is abandoned."""
        thread = self.store.thread(thread_id)
        for run in thread.runs.values():
            run.abandon()
        del self.store.threads[thread_id]
        return answer(records.deleted(thread.record))

    # Messages

    def create_message(self, asked: Asked, thread_id: str) -> Answer:
        """POST /threads/{thread_id}/messages."""
        body = requests.decode(asked.body, requests.CreateMessage)
        thread = self.store.thread(thread_id)
        if thread.live_run is not None:
            run_id = thread.live_run.record["id"]
            raise bad_request(f"Can't add messages to {thread_id} while a run {run_id} is active.")
        return answer(self.store.new_message(thread, body))

    def list_messages(self, asked: Asked, thread_id: str) -> Answer:
        """GET /threads/{thread_id}/messages."""
        thread = self._settled(thread_id)
        run_id = asked.query.get("run_id")
        messages = [
            message
            for message in thread.messages.values()
            if run_id is None or message["run_id"] == run_id
        ]
        return answer(page("message", messages, asked.query))

    def retrieve_message(self, _asked: Asked, thread_id: str, message_id: str) -> Answer:
        """GET /threads/{thread_id}/messages/{message_id}."""
        self._settled(thread_id)
        return answer(self.store.message(thread_id, message_id))

    def modify_message(self, asked: Asked, thread_id: str, message_id: str) -> Answer:
        """POST /threads/{thread_id}/messages/{message_id}."""
        body = requests.decode(asked.body, requests.ModifyMetadata)
        self._settled(thread_id)
        return answer(self._modify(self.store.message(thread_id, message_id), body))

    def delete_message(self, _asked: Asked, thread_id: str, message_id: str) -> Answer:
        """DELETE /threads/{thread_id}/messages/{message_id}."""
        message = self.store.message(thread_id, message_id)
        del self.store.thread(thread_id).messages[message_id]
        return answer(records.deleted(message))

    # Runs

    def create_run(self, asked: Asked, thread_id: str) -> Answer:
        """POST /threads/{thread_id}/runs."""
        body = requests.decode(asked.body, requests.CreateRun)
        include_content = _includes_content(asked)
        thread = self.store.thread(thread_id)
        assistant = self.store.assistant(body.assistant_id)
        if thread.live_run is not None:
            run_id = thread.live_run.record["id"]
            raise bad_request(f"Thread {thread_id} already has an active run {run_id}.")
        run = self.store.new_run(thread, assistant, body, include_content=include_content)
        return self._started(run, stream=body.stream)

    def create_thread_and_run(self, asked: Asked) -> Answer:
        """POST /threads/runs."""
        body = requests.decode(asked.body, requests.CreateThreadAndRun)
        include_content = _includes_content(asked)
        assistant = self.store.assistant(body.assistant_id)
        thread = self.store.new_thread(body.thread)
        run = self.store.new_run(thread, assistant, body, include_content=include_content)
        return self._started(run, stream=body.stream, new_thread=thread)

    def list_runs(self, asked: Asked, thread_id: str) -> Answer:
        """GET /threads/{thread_id}/runs."""
        runs = [run.record for run in self.store.thread(thread_id).runs.values()]
        return answer(page("run", runs, asked.query))

    def retrieve_run(self, _asked: Asked, thread_id: str, run_id: str) -> Answer:
        """GET /threads/{thread_id}/runs/{run_id}."""
        run = self.store.run(thread_id, run_id)
        hint = self.poll_after_ms
        headers = {} if hint is None else {"openai-poll-after-ms": str(hint)}
        return Answer(records.encode(run.record), headers)

    def modify_run(self, asked: Asked, thread_id: str, run_id: str) -> Answer:
        """POST /threads/{thread_id}/runs/{run_id}."""
        body = requests.decode(asked.body, requests.ModifyMetadata)
        return answer(self._modify(self.store.run(thread_id, run_id).record, body))

    def cancel_run(self, _asked: Asked, thread_id: str, run_id: str) -> Answer:
        """POST /threads/{thread_id}/runs/{run_id}/cancel."""
        run = self.store.run(thread_id, run_id)
        run.cancel()
        return answer(run.record)

    def submit_tool_outputs(self, asked: Asked, thread_id: str, run_id: str) -> Answer:
        """POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs."""
        body = requests.decode(asked.body, requests.SubmitToolOutputs)
        if body.tool_outputs is UNSET and body.tool_approvals is UNSET:
            raise missing("tool_outputs")
        run = self.store.run(thread_id, run_id)
        if body.tool_approvals is not UNSET:
            approvals = [(one.tool_call_id, one.approve) for one in body.tool_approvals]
            stream = run.approve(approvals, stream=bool(body.stream))
        else:
            outputs = [(one.tool_call_id, one.output) for one in body.tool_outputs or ()]
            stream = run.submit(outputs, stream=bool(body.stream))
        return answer(run.record) if stream is None else Answer(stream=stream)

    # Steps

    def list_steps(self, asked: Asked, thread_id: str, run_id: str) -> Answer:
        """GET /threads/{thread_id}/runs/{run_id}/steps."""
        run = self.store.run(thread_id, run_id)
        show = _shown(asked)
        run.settle()
        return answer(page("run step", map(show, run.steps.values()), asked.query))

    def retrieve_step(self, asked: Asked, thread_id: str, run_id: str, step_id: str) -> Answer:
        """GET /threads/{thread_id}/runs/{run_id}/steps/{step_id}."""
        show = _shown(asked)
        self.store.run(thread_id, run_id).settle()
        return answer(show(self.store.step(thread_id, run_id, step_id)))

    # Below the endpoints

    def _started(
        self, run: LiveRun, *, stream: bool | None, new_thread: Thread | None = None
    ) -> Answer:
        """Start a run; answer with its events, or with the run as it is before the first."""
        events = run.subscribe() if stream else None
        run.start(self.performance(run))
        if events is None:
            return answer(run.record)
        if new_thread is not None:
            events.put("thread.created", new_thread.record)
        return Answer(stream=events)

    def _settled(self, thread_id: str) -> Thread:
        """Return a thread whose messages show all that has been said."""
        thread = self.store.thread(thread_id)
        if thread.live_run is not None:
            thread.live_run.settle()
        return thread

    def _modify(self, record: Json, body: requests.Body) -> Json:
        """Put the fields that the body gives into the record; null means the default."""
        for name in body.__struct_fields__:
            value = getattr(body, name)
            if name == "tool_resources" and value is not UNSET:
                record[name] = self.store.new_tool_resources(value)
            elif value is not UNSET:
                record[name] = records.given(value, _DEFAULTS.get(name))
        return record


_DEFAULTS: Mapping[str, Any] = {
    "metadata": {},
    "response_format": "auto",
    "temperature": 1.0,
    "top_p": 1.0,
}


def _includes_content(asked: Asked) -> bool:
    for value in asked.include:
        if value != SEARCH_CONTENT:
            raise bad_request(
                f"Invalid value for 'include': '{value}' is not supported. "
                f"Supported is '{SEARCH_CONTENT}'.",
                param="include",
                code="invalid_value",
            )
    return bool(asked.include)


def _shown(asked: Asked) -> Callable[[Json], Json]:
    """Return what turns a step into what the request is shown of it."""
    return _as_it_is if _includes_content(asked) else records.without_content


def _as_it_is(step: Json) -> Json:
    return step


ROUTES: Mapping[str, Mapping[str, Callable[..., Answer]]] = {
    "assistants": {
        "GET": Endpoints.list_assistants,
        "POST": Endpoints.create_assistant,
    },
    "assistants/{}": {
        "GET": Endpoints.retrieve_assistant,
        "POST": Endpoints.modify_assistant,
        "DELETE": Endpoints.delete_assistant,
    },
    "threads": {
        "POST": Endpoints.create_thread,
    },
    "threads/runs": {
        "POST": Endpoints.create_thread_and_run,
    },
    "threads/{}": {
        "GET": Endpoints.retrieve_thread,
        "POST": Endpoints.modify_thread,
        "DELETE": Endpoints.delete_thread,
    },
    "threads/{}/messages": {
        "GET": Endpoints.list_messages,
        "POST": Endpoints.create_message,
    },
    "threads/{}/messages/{}": {
        "GET": Endpoints.retrieve_message,
        "POST": Endpoints.modify_message,
        "DELETE": Endpoints.delete_message,
    },
    "threads/{}/runs": {
        "GET": Endpoints.list_runs,
        "POST": Endpoints.create_run,
    },
    "threads/{}/runs/{}": {
        "GET": Endpoints.retrieve_run,
        "POST": Endpoints.modify_run,
    },
    "threads/{}/runs/{}/submit_tool_outputs": {
        "POST": Endpoints.submit_tool_outputs,
    },
    "threads/{}/runs/{}/cancel": {
        "POST": Endpoints.cancel_run,
    },
    "threads/{}/runs/{}/steps": {
        "GET": Endpoints.list_steps,
    },
    "threads/{}/runs/{}/steps/{}": {
        "GET": Endpoints.retrieve_step,
    },
}
"""Path below the prefix ({} stands for an id) to method to endpoint; the first that fits counts."""
