"""Dialects: what the plain server tells to how other servers of the protocol tell it.

A dialect stands between the endpoints and the wire. It changes objects wherever they are shown,
the events of a stream, their frames, and what the model does beside its script. The run underneath
is the same, so that a client which understands a dialect ends with what it has from the plain one.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncruns.emulator.actions import Activities, CallMcp, Say, Text, URLCitation
from asyncruns.emulator.records import Json, encode
from asyncruns.emulator.streams import DONE, Event, events_of, frame
from asyncruns.emulator.tokens import pieces, whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from asyncruns.emulator.actions import Action, Part
    from asyncruns.emulator.scripts import Context, Script
    from asyncruns.emulator.streams import Framing, Subscription

decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server differs from the plain one."""

    objects: Mapping[str, Callable[[Json], object]] = field(default_factory=dict)
    """For an object's kind, what is changed in it, in place."""
    drops_nulls: bool = False
    """Whether fields that are null are left out."""
    events: Callable[[AsyncGenerator[Event, None]], AsyncGenerator[Event, None]] | None = None
    """The events that are sent for those of the plain server."""
    framing: Framing = frame
    """An event as it goes over the wire."""
    script: Callable[[Script], Script] | None = None
    """What the model does where it would do what the script says."""

    def body(self, plain: bytes) -> bytes:
        """Return an answer as this server gives it."""
        if not self.objects and not self.drops_nulls:
            return plain
        record = decode(plain)
        for one in record["data"] if record.get("object") == "list" else [record]:
            change = self.objects.get(one.get("object", ""))
            if change is not None:
                change(one)
        return encode(_without_nulls(record) if self.drops_nulls else record)

    def stream(self, subscription: Subscription) -> AsyncGenerator[Event, None]:
        """Give the events of a stream as this server tells them."""
        told = self._told(events_of(subscription))
        return told if self.events is None else self.events(told)

    async def _told(self, plain: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        async with aclosing(plain):
            async for event in plain:
                yield event if event is DONE else Event(event.name, self.body(event.data))


def dialect_of(name: str) -> Dialect:
    """Return a dialect. Raises ValueError, naming those that there are, for any other."""
    if name not in DIALECTS:
        known = ", ".join(DIALECTS)
        raise ValueError(f"there is no dialect {name!r}; the dialects are {known}")
    return DIALECTS[name]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


# The reference as it is published

_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def _keep_published_run(run: Json) -> None:
    for name in ("tool_resources", "reasoning_effort"):
        run.pop(name)
    _keep_published_usage(run)


def _keep_published_step(step: Json) -> None:
    step.pop("expires_at")
    step["expired_at"] = None
    step["metadata"] = {}
    _keep_published_usage(step)


def _keep_published_usage(record: Json) -> None:
    if record["usage"] is not None:
        record["usage"] = {name: record["usage"][name] for name in _USAGE}


# Azure agents

_BING: Final = {
    "type": "bing_grounding",
    "bing_grounding": {"connections": [{"connection_id": "connection_1"}]},
}
_MCP: Final = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}
_LISTING: Final = {
    "type": "mcp_list_tools",
    "id": "mcpl_1",
    "server_label": "docs",
    "tools": {"search": {"type": "object", "properties": {"query": {"type": "string"}}}},
}


def _add_azure_tools(run: Json) -> None:
    run["tools"] = [*run["tools"], _BING, _MCP]


def _as_an_azure_agent(script: Script) -> Script:
    """List the tools of a server, call one of them, and cite an address in every text."""

    async def perform(context: Context) -> AsyncGenerator[Action, Any]:
        yield Activities([_LISTING])
        yield CallMcp("search", {"query": context.input}, output="Nothing was found.")
        result: Any = None
        async with aclosing(script(context)) as actions:
            while True:
                try:
                    action = await actions.asend(result)
                except StopAsyncIteration:
                    return
                result = yield _cited(action)

    return perform


def _cited(action: Action) -> Action:
    if not isinstance(action, Say):
        return action
    parts = [_cited_part(part) for part in action.parts]
    return Say(*parts, ending=action.ending, id=action.id, step_id=action.step_id)


def _cited_part(part: Part) -> Part:
    if not isinstance(part, Text) or part.annotations or not whole(part.value):
        return part
    first = pieces(whole(part.value))[0]
    return Text(part.value, [URLCitation(first, "https://docs.example/1", "Page 1")])


# LiteLLM's proxy, Astra


def _envelope(event: Event) -> bytes:
    if event is DONE:
        return b"data: [DONE]\n\n"
    return b'data: {"event":"%b","data":%b}\n\n' % (event.name.encode(), event.data)


_ENDS: Final = frozenset(
    f"thread.run.{status}" for status in ("completed", "incomplete", "failed", "cancelled")
)


async def _without_ends(plain: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """Neither the run's end is told nor the stream's."""
    async with aclosing(plain):
        async for event in plain:
            if event is not DONE and event.name not in _ENDS:
                yield event


# open-assistant-api


def _null_annotations(message: Json) -> None:
    for part in message["content"]:
        if part["type"] == "text" and not part["text"]["annotations"]:
            part["text"]["annotations"] = None


def _null_delta_annotations(event: Json) -> None:
    for part in event["delta"]["content"]:
        if part["type"] == "text" and not part["text"].get("annotations"):
            part["text"]["annotations"] = None


async def _as_open_assistant(plain: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """Calls come again whole, a pause has the name of an end, and nothing says that it is over."""
    calls: dict[int, Json] = {}
    step_id = ""
    async with aclosing(plain):
        async for event in plain:
            if event.name == "thread.run.step.delta":
                step_id = _gather(calls, decode(event.data)) or step_id
            elif calls:
                yield _repeated(step_id, calls)
                calls = {}
            if event.name == "thread.run.requires_action":
                yield Event("thread.run.completed", event.data)
            elif event is not DONE:
                yield event


def _gather(calls: dict[int, Json], change: Json) -> str:
    """Put the pieces of functions' calls together; give the id of their step."""
    for piece in change["delta"]["step_details"]["tool_calls"]:
        if piece["type"] != "function":
            continue
        call = calls.setdefault(piece["index"], {**piece, "function": {"arguments": ""}})
        arguments = call["function"]["arguments"] + piece["function"]["arguments"]
        call["function"] |= {**piece["function"], "arguments": arguments}
    return str(change["id"])


def _repeated(step_id: str, calls: Mapping[int, Json]) -> Event:
    details = {"type": "tool_calls", "tool_calls": list(calls.values())}
    kind = "thread.run.step.delta"
    delta = {"id": step_id, "object": kind, "delta": {"step_details": details}}
    return Event(kind, encode(delta))


def _with_pings(event: Event) -> bytes:
    plain = frame(event).replace(b"\n", b"\r\n")
    return plain if "delta" in event.name else b": ping - 2025-01-01 00:00:00\r\n\r\n" + plain


# The API's first version

_LATER: Final = (
    "required_action",
    "usage",
    "incomplete_details",
    "max_completion_tokens",
    "max_prompt_tokens",
    "reasoning_effort",
    "tool_resources",
    "truncation_strategy",
    "tool_choice",
    "response_format",
    "parallel_tool_calls",
)
_RETRIEVAL: Final = {"type": "retrieval"}


def _make_old_run(run: Json) -> None:
    for name in _LATER:
        if name != "required_action" or run[name] is None:
            run.pop(name)
    run["file_ids"] = []
    run["tools"] = [_RETRIEVAL if tool["type"] == "file_search" else tool for tool in run["tools"]]


def _make_old_step(step: Json) -> None:
    step.pop("usage")
    _make_old_calls(step["step_details"])


def _make_old_step_delta(event: Json) -> None:
    _make_old_calls(event["delta"]["step_details"])


def _make_old_calls(details: Json) -> None:
    for call in details.get("tool_calls", ()):
        if call["type"] == "function" and call["function"].get("output") is None:
            call["function"].pop("output", None)
        elif call["type"] == "file_search":
            call.pop("file_search")
            call |= {"type": "retrieval", "retrieval": {}}


def _make_old_message(message: Json) -> None:
    message.pop("attachments")
    message["file_ids"] = []


DIALECTS: Final[Mapping[str, Dialect]] = {
    "plain": Dialect(),
    "reference": Dialect(
        {"thread.run": _keep_published_run, "thread.run.step": _keep_published_step}
    ),
    "azure": Dialect({"thread.run": _add_azure_tools}, script=_as_an_azure_agent),
    "litellm": Dialect(drops_nulls=True, framing=_envelope),
    "open-assistant-api": Dialect(
        {"thread.message": _null_annotations, "thread.message.delta": _null_delta_annotations},
        events=_as_open_assistant,
        framing=_with_pings,
    ),
    "astra": Dialect(events=_without_ends, framing=_envelope),
    "v1": Dialect(
        {
            "thread.run": _make_old_run,
            "thread.run.step": _make_old_step,
            "thread.run.step.delta": _make_old_step_delta,
            "thread.message": _make_old_message,
        }
    ),
}
"""By name: the plain server, recorded from OpenAI; the published reference's shapes; Azure's agents
(more tools, activities, approvals, addresses cited, outputs after the end); LiteLLM's proxy
(envelopes, no nulls); open-assistant-api (CRLF, pings, calls repeated, pauses named as ends, no
`done`); Astra (envelopes, no ends); the API's first version."""
