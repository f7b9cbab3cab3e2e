"""Streams: the order of the events, the shape of the objects, and that they can be read back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import (
    Action,
    Call,
    Citation,
    Context,
    FilePath,
    Found,
    ImageFile,
    ImageURL,
    ManualClock,
    Parallel,
    Refusal,
    RunCode,
    Say,
    SearchFiles,
    Text,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.emulator.conftest import Event, Json, Serve

pytestmark = pytest.mark.anyio

INCLUDE = {"include[]": "step_details.tool_calls[*].file_search.results[*].content"}

RUN_KEYS = [
    "id", "object", "created_at", "assistant_id", "thread_id", "status", "started_at", "expires_at",
    "cancelled_at", "failed_at", "completed_at", "required_action", "last_error", "model",
    "instructions", "tools", "tool_resources", "metadata", "temperature", "top_p",
    "reasoning_effort", "max_completion_tokens", "max_prompt_tokens", "truncation_strategy",
    "incomplete_details", "usage", "response_format", "tool_choice", "parallel_tool_calls",
]  # fmt: skip
STEP_KEYS = [
    "id", "object", "created_at", "run_id", "assistant_id", "thread_id", "type", "status",
    "cancelled_at", "completed_at", "expires_at", "failed_at", "last_error", "step_details",
    "usage",
]  # fmt: skip
MESSAGE_KEYS = [
    "id", "object", "created_at", "assistant_id", "thread_id", "run_id", "status",
    "incomplete_details", "incomplete_at", "completed_at", "role", "content", "attachments",
    "metadata",
]  # fmt: skip
KEYS = {
    "thread": ["id", "object", "created_at", "metadata", "tool_resources"],
    "thread.run": RUN_KEYS,
    "thread.run.step": STEP_KEYS,
    "thread.message": MESSAGE_KEYS,
    "thread.run.step.delta": ["id", "object", "delta"],
    "thread.message.delta": ["id", "object", "delta"],
}
USAGE_KEYS = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_token_details",
    "completion_tokens_details",
]


async def call_in_turns(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Parallel(
        Call("add", ['{"to"', ":1}"], id="call_a"),
        RunCode(["1", "+1"], id="call_b"),
        Call("add", ["{}"], id="call_c"),
        interleave=True,
    )


async def say_hello(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello, world!")


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def deltas(events: list[Event]) -> list[Any]:
    """Return what the deltas carry, without what is around it."""
    found: list[Any] = []
    for event in events:
        if event.name == "thread.run.step.delta":
            found += event.data["delta"]["step_details"]["tool_calls"]
        elif event.name == "thread.message.delta":
            found += event.data["delta"]["content"]
    return found


async def test_a_text_run_has_its_events_in_order(serve: Serve) -> None:
    api = await serve(say_hello)
    _, events = await api.run()
    assert names(events) == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        *["thread.message.delta"] * 4,
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
        "done",
    ]
    assert [event.data["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert deltas(events) == [
        {"index": 0, "type": "text", "text": {"value": "Hello", "annotations": []}},
        {"index": 0, "type": "text", "text": {"value": ","}},
        {"index": 0, "type": "text", "text": {"value": " world"}},
        {"index": 0, "type": "text", "text": {"value": "!"}},
    ]


async def test_a_stream_of_a_new_thread_begins_with_the_thread(serve: Serve) -> None:
    api = await serve(say_hello)
    assistant_id = (await api.post("/assistants", model="gpt-4o"))["id"]
    events = await api.stream(
        "/threads/runs",
        assistant_id=assistant_id,
        thread={"messages": [{"role": "user", "content": "Hi"}], "metadata": {"a": "b"}},
    )
    assert names(events)[:2] == ["thread.created", "thread.run.created"]
    thread = events[0].data
    assert thread["metadata"] == {"a": "b"}
    assert events[1].data["thread_id"] == thread["id"]
    assert len((await api.get(f"/threads/{thread['id']}/messages"))["data"]) == 2


async def test_a_new_thread_and_its_run_need_no_stream(serve: Serve) -> None:
    api = await serve(say_hello)
    assistant_id = (await api.post("/assistants", model="gpt-4o"))["id"]
    run = await api.post("/threads/runs", assistant_id=assistant_id)
    assert run["object"] == "thread.run"
    assert await api.get(f"/threads/{run['thread_id']}")


async def test_every_object_has_its_keys_in_the_order_of_the_wire(serve: Serve) -> None:
    api = await serve()
    tools = [
        {"type": "function", "function": {"name": "add"}},
        {"type": "code_interpreter"},
        {"type": "file_search"},
    ]
    path, events = await api.run(tools=tools)
    call = events[-2].data["required_action"]["submit_tool_outputs"]["tool_calls"][0]
    events += await api.stream(
        f"{path}/submit_tool_outputs", tool_outputs=[{"tool_call_id": call["id"], "output": "3"}]
    )
    objects = [event.data for event in events if event.data is not None]
    assert {one["object"] for one in objects} == set(KEYS) - {"thread"}
    for one in objects:
        assert list(one) == KEYS[one["object"]]
        if one.get("usage"):
            assert list(one["usage"]) == USAGE_KEYS


async def test_a_tool_run_pauses_and_goes_on_in_a_second_stream(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        output = yield Call("add", {"to": 1}, id="call_a")
        yield Say(output)

    api = await serve(script)
    path, first = await api.run()
    assert names(first)[3:] == [
        "thread.run.step.created",
        "thread.run.step.in_progress",
        *["thread.run.step.delta"] * 6,
        "thread.run.requires_action",
        "done",
    ]
    assert deltas(first)[0] == {
        "index": 0,
        "id": "call_a",
        "type": "function",
        "function": {"name": "add", "arguments": "", "output": None},
    }
    assert deltas(first)[1] == {"index": 0, "type": "function", "function": {"arguments": '{"'}}
    run = first[-2].data
    assert run["usage"] is None
    assert run["required_action"] == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"to":1}'},
                }
            ]
        },
    }
    (paused,) = (await api.get(f"{path}/steps"))["data"]
    assert paused["status"] == "in_progress"
    assert paused["step_details"]["tool_calls"][0]["function"]["arguments"] == '{"to":1}'

    second = await api.stream(
        f"{path}/submit_tool_outputs", tool_outputs=[{"tool_call_id": "call_a", "output": "2"}]
    )
    assert names(second)[:4] == [
        "thread.run.step.completed",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
    ]
    assert second[0].data["step_details"]["tool_calls"] == [
        {
            "id": "call_a",
            "type": "function",
            "function": {"name": "add", "arguments": '{"to":1}', "output": "2"},
        }
    ]
    assert names(second)[-2:] == ["thread.run.completed", "done"]


async def test_parallel_calls_come_one_after_the_other(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Parallel(Call("add", ["{", "}"]), Call("add", ["{", "}"]))

    _, events = await (await serve(script)).run()
    assert [delta["index"] for delta in deltas(events)] == [0, 0, 0, 1, 1, 1]


async def test_parallel_calls_can_take_turns(serve: Serve) -> None:
    api = await serve(call_in_turns)
    path, events = await api.run()
    assert [delta["index"] for delta in deltas(events)] == [0, 1, 2, 0, 1, 2, 0, 1]
    calls = events[-2].data["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_a", "call_c"]
    (step,) = (await api.get(f"{path}/steps"))["data"]
    details = step["step_details"]["tool_calls"]
    assert [call["id"] for call in details] == ["call_a", "call_b", "call_c"]
    assert details[1]["code_interpreter"] == {"input": "1+1", "outputs": []}


async def test_code_comes_as_input_and_then_outputs(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield RunCode(["plot", "()"], logs=["a", "b"], image="file-plot", id="call_a")

    _, events = await (await serve(script)).run()
    assert deltas(events) == [
        {
            "index": 0,
            "id": "call_a",
            "type": "code_interpreter",
            "code_interpreter": {"input": "", "outputs": []},
        },
        *(
            {"index": 0, "type": "code_interpreter", "code_interpreter": change}
            for change in (
                {"input": "plot"},
                {"input": "()"},
                {"outputs": [{"index": 0, "type": "logs", "logs": "a"}]},
                {"outputs": [{"index": 0, "type": "logs", "logs": "b"}]},
                {"outputs": [{"index": 1, "type": "image", "image": {"file_id": "file-plot"}}]},
            )
        ),
    ]
    step = next(event for event in events if event.name == "thread.run.step.completed").data
    assert step["step_details"]["tool_calls"][0]["code_interpreter"] == {
        "input": "plot()",
        "outputs": [
            {"type": "logs", "logs": "ab"},
            {"type": "image", "image": {"file_id": "file-plot"}},
        ],
    }


async def search(_context: Context) -> AsyncGenerator[Action, Any]:
    yield SearchFiles([Found("file-1", "a.txt", 0.75, "Words.")], id="call_a", score_threshold=0.5)


RANKING = {"ranker": "default_2024_08_21", "score_threshold": 0.5}
RESULT = {"file_id": "file-1", "file_name": "a.txt", "score": 0.75, "attributes": {}}
CONTENT = {"content": [{"type": "text", "text": "Words."}]}


def search_step(events: list[Event]) -> Json:
    step = next(event for event in events if event.name == "thread.run.step.completed").data
    found: Json = step["step_details"]["tool_calls"][0]["file_search"]
    return found


async def test_search_results_come_only_with_the_finished_step(serve: Serve) -> None:
    _, events = await (await serve(search)).run()
    empty = {"ranking_options": RANKING, "results": []}
    assert deltas(events) == [
        {"index": 0, "id": "call_a", "type": "file_search", "file_search": empty}
    ]
    assert search_step(events) == {"ranking_options": RANKING, "results": [RESULT]}


async def test_search_content_is_shown_only_where_it_is_included(serve: Serve) -> None:
    api = await serve(search)
    thread_id, assistant_id = await api.thread()
    runs = f"/threads/{thread_id}/runs"
    events = await api.stream(runs, INCLUDE, assistant_id=assistant_id)
    assert search_step(events)["results"] == [{**RESULT, **CONTENT}]
    steps = f"{runs}/{events[0].data['id']}/steps"
    (without,) = (await api.get(steps))["data"]
    (with_content,) = (await api.get(steps, **INCLUDE))["data"]
    one = f"{steps}/{without['id']}"
    assert await api.get(one) == without
    assert await api.get(one, **INCLUDE) == with_content
    calls = [step["step_details"]["tool_calls"][0] for step in (without, with_content)]
    assert [call["file_search"]["results"] for call in calls] == [
        [RESULT],
        [{**RESULT, **CONTENT}],
    ]


async def test_a_run_that_includes_the_content_goes_on_including_it(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Call("add", id="call_f")
        yield SearchFiles([Found("file-1", "a.txt", 0.75, "Words.")])

    api = await serve(script)
    thread_id, assistant_id = await api.thread()
    runs = f"/threads/{thread_id}/runs"
    first = await api.stream(runs, INCLUDE, assistant_id=assistant_id)
    second = await api.stream(
        f"{runs}/{first[0].data['id']}/submit_tool_outputs",
        tool_outputs=[{"tool_call_id": "call_f", "output": ""}],
    )
    assert search_step(second[1:])["results"] == [{**RESULT, **CONTENT}]


async def test_an_annotation_comes_with_its_words_and_loses_index_and_quote(serve: Serve) -> None:
    text = Text(
        "See [1] and [2].", [Citation("[1]", "file-1", "Words."), FilePath("[2]", "file-2")]
    )

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say(text)

    _, events = await (await serve(script)).run()
    first = {"type": "file_citation", "text": "[1]", "start_index": 4, "end_index": 7}
    second = {"type": "file_path", "text": "[2]", "start_index": 12, "end_index": 15}
    path = {"file_path": {"file_id": "file-2"}}
    assert [delta["text"] for delta in deltas(events)] == [
        {"value": "See", "annotations": []},
        {"value": " "},
        {
            "value": "[1]",
            "annotations": [
                {"index": 0, **first, "file_citation": {"file_id": "file-1", "quote": "Words."}}
            ],
        },
        {"value": " and"},
        {"value": " "},
        {"value": "[2]", "annotations": [{"index": 1, **second, **path}]},
        {"value": "."},
    ]
    message = next(event for event in events if event.name == "thread.message.completed").data
    assert message["content"] == [
        {
            "type": "text",
            "text": {
                "value": "See [1] and [2].",
                "annotations": [
                    {**first, "file_citation": {"file_id": "file-1"}},
                    {**second, **path},
                ],
            },
        }
    ]


async def test_an_annotation_comes_with_the_given_piece_that_ends_it(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say(Text(["See [", "1", "]."], [Citation("[1]", "file-1")]))

    _, events = await (await serve(script)).run()
    assert [len(delta["text"].get("annotations", ())) for delta in deltas(events)] == [0, 0, 1]


async def test_a_message_can_have_parts_of_every_kind(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say(
            "Look:",
            ImageFile("file-1"),
            ImageURL("https://example.com/a.png", "low"),
            Refusal(["I will", " not."]),
            "",
        )

    _, events = await (await serve(script)).run()
    image_file = {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "auto"}}
    image_url = {
        "type": "image_url",
        "image_url": {"url": "https://example.com/a.png", "detail": "low"},
    }
    assert deltas(events)[2:] == [
        {"index": 1, **image_file},
        {"index": 2, **image_url},
        {"index": 3, "type": "refusal", "refusal": "I will"},
        {"index": 3, "type": "refusal", "refusal": " not."},
        {"index": 4, "type": "text", "text": {"value": "", "annotations": []}},
    ]
    message = next(event for event in events if event.name == "thread.message.completed").data
    assert message["content"] == [
        {"type": "text", "text": {"value": "Look:", "annotations": []}},
        image_file,
        image_url,
        {"type": "refusal", "refusal": "I will not."},
        {"type": "text", "text": {"value": "", "annotations": []}},
    ]


async def test_what_was_streamed_reads_back_byte_for_byte(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Parallel(RunCode("1", logs="1"), SearchFiles([Found("file-1", "ä.txt")]))
        yield Say("Grüße “from” here — 🌍\n", Refusal("no"))

    api = await serve(script)
    path, events = await api.run()
    ended = [event for event in events if event.name.endswith(".completed")]
    places = {
        "thread.run": path,
        "thread.run.step": f"{path}/steps",
        "thread.message": path.rsplit("/runs/", 1)[0] + "/messages",
    }
    for event in ended:
        is_run = event.data["object"] == "thread.run"
        place = places[event.data["object"]] + ("" if is_run else f"/{event.data['id']}")
        async with api.session.get(api.emulator.base_url + place) as answer:
            assert await answer.read() == event.raw
    async with api.session.get(api.emulator.base_url + places["thread.run.step"]) as answer:
        steps = await answer.read()
    assert all(event.raw in steps for event in ended if event.name == "thread.run.step.completed")


async def test_usage_adds_up(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield RunCode(["1", "2"])
        yield Say(["a", "b", "c"])

    api = await serve(script)
    path, events = await api.run()
    used = [step["usage"] for step in (await api.get(f"{path}/steps", order="asc"))["data"]]
    assert [one["completion_tokens"] for one in used] == [3, 3]
    total = events[-2].data["usage"]
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert total[key] == sum(one[key] for one in used) > 0
    assert total["prompt_token_details"] == {"cached_tokens": 0}
    assert total["completion_tokens_details"] == {"reasoning_tokens": 0}


async def test_a_step_in_progress_has_no_usage(serve: Serve) -> None:
    _, events = await (await serve(say_hello)).run()
    open_steps = [event.data for event in events if event.name.startswith("thread.run.step.")][:2]
    assert [step["usage"] for step in open_steps] == [None, None]


async def test_the_token_rate_paces_the_deltas(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say(["a"] * 20)

    api = await serve(script, token_rate=100)
    assert api.emulator.token_rate == 100
    seconds: list[float] = []
    for rate in (100, None):
        api.emulator.token_rate = rate
        started = time.monotonic()
        await api.run()
        seconds.append(time.monotonic() - started)
    paced, unpaced = seconds
    assert paced >= 0.19
    assert unpaced < paced


async def test_a_stream_is_open_while_its_run_waits(serve: Serve) -> None:
    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        yield Say("One.")
        yield Wait(5)
        yield Say("Two.")

    clock = ManualClock()
    api = await serve(script, clock=clock)
    thread_id, assistant_id = await api.thread()
    completed: list[Json] = []
    async with api.open(f"/threads/{thread_id}/runs", assistant_id=assistant_id) as events:
        async for event in events:
            if event.name == "thread.run.step.completed":
                completed.append(event.data)
                clock.advance(5)
    assert completed[1]["created_at"] - completed[0]["completed_at"] == 5
