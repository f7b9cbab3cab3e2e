"""Scripts: what they see of their run, and what the default one does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import Action, Call, Context, Parallel, RunCode, Say, SearchFiles

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.emulator.conftest import Api, Event, Json, Serve

pytestmark = pytest.mark.anyio


def function(name: str, **properties: Json) -> Json:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    function("weather", city={"type": "string"}, days={"type": "integer", "minimum": 2}),
    function("time", zone={"enum": ["UTC", "CET"]}),
    {"type": "code_interpreter"},
    {"type": "file_search"},
]


async def rounds(api: Api, **run: Any) -> list[list[Event]]:
    """Run an assistant with all tools to its end; return the events of each stream."""
    thread_id, assistant_id = await api.thread("Is it warm?", tools=TOOLS)
    runs = f"/threads/{thread_id}/runs"
    streams = [await api.stream(runs, assistant_id=assistant_id, **run)]
    while (last := streams[-1][-2].data)["status"] == "requires_action":
        calls = last["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [
            {"tool_call_id": call["id"], "output": f"{call['function']['name']} result"}
            for call in calls
        ]
        path = f"{runs}/{last['id']}/submit_tool_outputs"
        streams.append(await api.stream(path, tool_outputs=outputs))
    return streams


def asked(stream: list[Event]) -> list[tuple[str, Json]]:
    """Return the calls that a stream ended with: names and arguments."""
    calls = stream[-2].data["required_action"]["submit_tool_outputs"]["tool_calls"]
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


def kinds(stream: list[Event]) -> list[str]:
    """Return the kinds of what the steps that a stream completed did."""
    steps = [event.data for event in stream if event.name == "thread.run.step.completed"]
    return [
        call["type"]
        for step in steps
        for call in step["step_details"].get("tool_calls", [{"type": "message"}])
    ]


def answer(stream: list[Event]) -> str:
    (message,) = [event.data for event in stream if event.name == "thread.message.completed"]
    text: str = message["content"][0]["text"]["value"]
    return text


async def test_the_default_script_uses_every_tool_and_answers(serve: Serve) -> None:
    first, second = await rounds(await serve())
    assert asked(first) == [("weather", {"city": "city", "days": 2}), ("time", {"zone": "UTC"})]
    assert kinds(second) == ["function", "function", "code_interpreter", "file_search", "message"]
    text = answer(second)
    for part in ("Is it warm?", "weather result", "time result", "11 characters", "notes.txt"):
        assert part in text
    (message,) = [event.data for event in second if event.name == "thread.message.completed"]
    (citation,) = message["content"][0]["text"]["annotations"]
    assert text[citation["start_index"] : citation["end_index"]] == citation["text"]


async def test_the_default_script_calls_one_function_a_step_when_asked_to(serve: Serve) -> None:
    first, second, third = await rounds(await serve(), parallel_tool_calls=False)
    assert [name for name, _ in asked(first)] == ["weather"]
    assert [name for name, _ in asked(second)] == ["time"]
    assert "weather result" in answer(third)


async def test_the_default_script_uses_no_tool_when_told_so(serve: Serve) -> None:
    (only,) = await rounds(await serve(), tool_choice="none")
    assert kinds(only) == ["message"]
    assert answer(only) == "You asked: Is it warm?"


async def test_the_default_script_uses_only_the_tool_it_must(serve: Serve) -> None:
    api = await serve()
    first, second = await rounds(
        api, tool_choice={"type": "function", "function": {"name": "time"}}
    )
    assert [name for name, _ in asked(first)] == ["time"]
    assert kinds(second) == ["function", "message"]
    (only,) = await rounds(api, tool_choice={"type": "code_interpreter"})
    assert kinds(only) == ["code_interpreter", "message"]


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ({"type": "json_object"}, {"answer": "You asked: Is it warm?"}),
        (
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "reply",
                    "schema": {"type": "object", "properties": {"warm": {"type": "boolean"}}},
                },
            },
            {"warm": True},
        ),
    ],
)
async def test_the_default_script_answers_in_json_when_asked_to(
    serve: Serve, response_format: Json, expected: Json
) -> None:
    (only,) = await rounds(await serve(), tool_choice="none", response_format=response_format)
    assert json.loads(answer(only)) == expected


async def test_the_default_script_answers_in_text_when_asked_to(serve: Serve) -> None:
    (only,) = await rounds(await serve(), tool_choice="none", response_format={"type": "text"})
    assert answer(only) == "You asked: Is it warm?"


async def test_a_script_sees_its_run(serve: Serve) -> None:
    seen: list[Any] = []

    async def script(context: Context) -> AsyncGenerator[Action, Any]:
        seen.extend([context.run, context.assistant, context.tools, context.input])
        yield Say("First.")
        seen.append([message["role"] for message in context.messages])
        context.run["status"] = "lost"

    api = await serve(script)
    path, _ = await api.run(name="Ann", tools=TOOLS[:1])
    run, assistant, tools, text, roles = seen
    assert (run["status"], assistant["name"], text) == ("in_progress", "Ann", "What now?")
    assert tools == run["tools"] == assistant["tools"]
    assert roles == ["user", "assistant"]
    assert (await api.get(path))["status"] == "completed"


async def test_a_thread_without_messages_has_no_input(serve: Serve) -> None:
    texts: list[str] = []

    async def script(context: Context) -> AsyncGenerator[Action, Any]:
        texts.append(context.input)
        yield Say("Hello?")

    api = await serve(script)
    api.emulator.add_assistant(id="assistant_id")
    api.emulator.add_thread(id="thread_id")
    await api.emulator.add_run("thread_id", "assistant_id")
    assert texts == [""]


async def test_a_script_receives_what_its_actions_bring(serve: Serve) -> None:
    received: list[Any] = []

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        received.append((yield Call("one", id="a")))
        received.append((yield Parallel(Call("two", id="b"), RunCode("1"), Call("three", id="c"))))
        received.append((yield Parallel(RunCode("1"))))
        received.append((yield RunCode("1")))
        received.append((yield SearchFiles()))
        received.append((yield Say("Done.")))

    api = await serve(script)
    path, _ = await api.run()
    for ids in (["a"], ["c", "b"]):
        outputs = [{"tool_call_id": one, "output": one.upper()} for one in ids]
        await api.stream(f"{path}/submit_tool_outputs", tool_outputs=outputs)
    assert received == ["A", ["B", "C"], [], None, None, None]


async def test_arguments_can_be_any_string(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Parallel(Call("one", '{"broken'), Call("two", {"ä": [1.5, None]}), Call("three", ""))

    _, events = await (await serve(script)).run()
    calls = events[-2].data["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == [
        '{"broken',
        '{"ä":[1.5,null]}',
        "",
    ]


async def test_the_script_can_be_changed_between_runs(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say("Changed.")

    api = await serve()
    api.emulator.script = script
    assert api.emulator.script is script
    _, events = await api.run()
    assert answer(events) == "Changed."
