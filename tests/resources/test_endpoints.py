"""Every endpoint: the request that a call makes, and the object that it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    APIStatusError,
    Assistant,
    AssistantDeleted,
    Attachment,
    Client,
    CodeInterpreterTool,
    FileSearchTool,
    FunctionDefinition,
    FunctionTool,
    ImageURL,
    ImageURLContentBlock,
    ListAssistantsResponse,
    ListMessagesResponse,
    ListRunsResponse,
    ListRunStepsResponse,
    Message,
    MessageDeleted,
    Run,
    RunStep,
    RunStream,
    Thread,
    ThreadDeleted,
    ToolResources,
    TruncationStrategy,
)
from asyncruns.models import CodeInterpreterResources, ObjectDecoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.resources.conftest import Notebook

pytestmark = pytest.mark.anyio

INCLUDE = "step_details.tool_calls[*].file_search.results[*].content"
OUTPUTS: Any = [{"tool_call_id": "call_1", "output": "{}"}]


@dataclass
class Case:
    """A call, and the request that it has to make."""

    call: Callable[[Client], Awaitable[object]]
    gives: type
    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: Any = None


CASES = {
    "runs.create": Case(
        lambda c: c.runs.create("t_1", assistant_id="a_1", include=[INCLUDE], model=None),
        Run,
        "POST",
        "/v1/threads/t_1/runs",
        [("include[]", INCLUDE)],
        {"assistant_id": "a_1", "model": None},
    ),
    "runs.create(stream=False)": Case(
        lambda c: c.runs.create("t_1", assistant_id="a_1", stream=False),
        Run,
        "POST",
        "/v1/threads/t_1/runs",
        body={"assistant_id": "a_1", "stream": False},
    ),
    "runs.create(stream=None)": Case(
        lambda c: c.runs.create("t_1", assistant_id="a_1", stream=None),
        Run,
        "POST",
        "/v1/threads/t_1/runs",
        body={"assistant_id": "a_1", "stream": None},
    ),
    "runs.create(stream=True)": Case(
        lambda c: _closed(c.runs.create("t_1", assistant_id="a_1", include=[INCLUDE], stream=True)),
        RunStream,
        "POST",
        "/v1/threads/t_1/runs",
        [("include[]", INCLUDE)],
        {"assistant_id": "a_1", "stream": True},
    ),
    "runs.stream": Case(
        lambda c: _entered(c.runs.stream(thread_id="t_1", assistant_id="a_1", include=[INCLUDE])),
        RunStream,
        "POST",
        "/v1/threads/t_1/runs",
        [("include[]", INCLUDE)],
        {"assistant_id": "a_1", "stream": True},
    ),
    "runs.create_and_stream": Case(
        lambda c: _entered(c.runs.create_and_stream(thread_id="t_1", assistant_id="a_1")),
        RunStream,
        "POST",
        "/v1/threads/t_1/runs",
        body={"assistant_id": "a_1", "stream": True},
    ),
    "runs.retrieve": Case(
        lambda c: c.runs.retrieve("r_1", thread_id="t_1"), Run, "GET", "/v1/threads/t_1/runs/r_1"
    ),
    "runs.update": Case(
        lambda c: c.runs.update("r_1", thread_id="t_1", metadata={"a": "b"}),
        Run,
        "POST",
        "/v1/threads/t_1/runs/r_1",
        body={"metadata": {"a": "b"}},
    ),
    "runs.update()": Case(
        lambda c: c.runs.update("r_1", thread_id="t_1"),
        Run,
        "POST",
        "/v1/threads/t_1/runs/r_1",
        body={},
    ),
    "runs.list": Case(
        lambda c: c.runs.list("t_1", limit=3, order="asc", after="r_1", before="r_9"),
        ListRunsResponse,
        "GET",
        "/v1/threads/t_1/runs",
        [("limit", "3"), ("order", "asc"), ("after", "r_1"), ("before", "r_9")],
    ),
    "runs.cancel": Case(
        lambda c: c.runs.cancel("r_1", thread_id="t_1"),
        Run,
        "POST",
        "/v1/threads/t_1/runs/r_1/cancel",
    ),
    "runs.submit_tool_outputs": Case(
        lambda c: c.runs.submit_tool_outputs("r_1", thread_id="t_1", tool_outputs=OUTPUTS),
        Run,
        "POST",
        "/v1/threads/t_1/runs/r_1/submit_tool_outputs",
        body={"tool_outputs": OUTPUTS},
    ),
    "runs.submit_tool_outputs(stream=True)": Case(
        lambda c: _closed(
            c.runs.submit_tool_outputs("r_1", thread_id="t_1", tool_outputs=OUTPUTS, stream=True)
        ),
        RunStream,
        "POST",
        "/v1/threads/t_1/runs/r_1/submit_tool_outputs",
        body={"tool_outputs": OUTPUTS, "stream": True},
    ),
    "runs.submit_tool_outputs_stream": Case(
        lambda c: _entered(
            c.runs.submit_tool_outputs_stream(run_id="r_1", thread_id="t_1", tool_outputs=OUTPUTS)
        ),
        RunStream,
        "POST",
        "/v1/threads/t_1/runs/r_1/submit_tool_outputs",
        body={"tool_outputs": OUTPUTS, "stream": True},
    ),
    "steps.retrieve": Case(
        lambda c: c.runs.steps.retrieve("s_1", thread_id="t_1", run_id="r_1", include=[INCLUDE]),
        RunStep,
        "GET",
        "/v1/threads/t_1/runs/r_1/steps/s_1",
        [("include[]", INCLUDE)],
    ),
    "steps.list": Case(
        lambda c: c.runs.steps.list("r_1", thread_id="t_1", include=[INCLUDE], limit=1),
        ListRunStepsResponse,
        "GET",
        "/v1/threads/t_1/runs/r_1/steps",
        [("include[]", INCLUDE), ("limit", "1")],
    ),
    "threads.create": Case(lambda c: c.threads.create(), Thread, "POST", "/v1/threads", body={}),
    "threads.retrieve": Case(lambda c: c.threads.retrieve("t_1"), Thread, "GET", "/v1/threads/t_1"),
    "threads.update": Case(
        lambda c: c.threads.update("t_1", metadata=None),
        Thread,
        "POST",
        "/v1/threads/t_1",
        body={"metadata": None},
    ),
    "threads.delete": Case(
        lambda c: c.threads.delete("t_1"), ThreadDeleted, "DELETE", "/v1/threads/t_1"
    ),
    "threads.create_and_run": Case(
        lambda c: c.threads.create_and_run(assistant_id="a_1", thread={"messages": []}),
        Run,
        "POST",
        "/v1/threads/runs",
        body={"assistant_id": "a_1", "thread": {"messages": []}},
    ),
    "threads.create_and_run(stream=True)": Case(
        lambda c: _closed(c.threads.create_and_run(assistant_id="a_1", stream=True)),
        RunStream,
        "POST",
        "/v1/threads/runs",
        body={"assistant_id": "a_1", "stream": True},
    ),
    "threads.create_and_run_stream": Case(
        lambda c: _entered(c.threads.create_and_run_stream(assistant_id="a_1")),
        RunStream,
        "POST",
        "/v1/threads/runs",
        body={"assistant_id": "a_1", "stream": True},
    ),
    "messages.create": Case(
        lambda c: c.messages.create("t_1", role="user", content="hi"),
        Message,
        "POST",
        "/v1/threads/t_1/messages",
        body={"role": "user", "content": "hi"},
    ),
    "messages.retrieve": Case(
        lambda c: c.messages.retrieve("m_1", thread_id="t_1"),
        Message,
        "GET",
        "/v1/threads/t_1/messages/m_1",
    ),
    "messages.update": Case(
        lambda c: c.messages.update("m_1", thread_id="t_1", metadata={}),
        Message,
        "POST",
        "/v1/threads/t_1/messages/m_1",
        body={"metadata": {}},
    ),
    "messages.list": Case(
        lambda c: c.messages.list("t_1", run_id="r_1"),
        ListMessagesResponse,
        "GET",
        "/v1/threads/t_1/messages",
        [("run_id", "r_1")],
    ),
    "messages.delete": Case(
        lambda c: c.messages.delete("m_1", thread_id="t_1"),
        MessageDeleted,
        "DELETE",
        "/v1/threads/t_1/messages/m_1",
    ),
    "assistants.create": Case(
        lambda c: c.assistants.create(model="m", name=None),
        Assistant,
        "POST",
        "/v1/assistants",
        body={"model": "m", "name": None},
    ),
    "assistants.retrieve": Case(
        lambda c: c.assistants.retrieve("a_1"), Assistant, "GET", "/v1/assistants/a_1"
    ),
    "assistants.update": Case(
        lambda c: c.assistants.update("a_1", temperature=0.5),
        Assistant,
        "POST",
        "/v1/assistants/a_1",
        body={"temperature": 0.5},
    ),
    "assistants.list": Case(
        lambda c: c.assistants.list(before="a_9"),
        ListAssistantsResponse,
        "GET",
        "/v1/assistants",
        [("before", "a_9")],
    ),
    "assistants.delete": Case(
        lambda c: c.assistants.delete("a_1"), AssistantDeleted, "DELETE", "/v1/assistants/a_1"
    ),
}


async def _closed(stream: Awaitable[RunStream]) -> RunStream:
    opened = await stream
    await opened.aclose()
    return opened


async def _entered(stream: RunStream) -> RunStream:
    async with stream:
        return stream


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_call_makes_its_request(case: Case, client: Client, notebook: Notebook) -> None:
    given = await case.call(client)
    assert isinstance(given, case.gives)
    (request,) = notebook.requests
    assert (request.method, request.path) == (case.method, case.path)
    assert request.query == case.query
    assert request.body == case.body
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["openai-beta"] == "assistants=v2"
    assert ("content-type" in request.headers) == (case.body is not None)
    wants_stream = case.gives is RunStream
    accept = "application/json" + (", text/event-stream" if wants_stream else "")
    assert request.headers["accept"] == accept


@pytest.mark.parametrize(
    "call",
    [
        lambda c, **o: c.runs.create("t_1", assistant_id="a_1", **o),
        lambda c, **o: c.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=[], **o),
        lambda c, **o: c.runs.cancel("r", thread_id="t", **o),
        lambda c, **o: c.runs.retrieve("r", thread_id="t", **o),
        lambda c, **o: c.runs.list("t", **o),
        lambda c, **o: c.runs.steps.list("r", thread_id="t", **o),
        lambda c, **o: c.threads.delete("t", **o),
        lambda c, **o: c.messages.create("t", role="user", content="x", **o),
        lambda c, **o: c.assistants.list(**o),
        lambda c, **o: _entered(c.runs.stream(thread_id="t", assistant_id="a_1", **o)),
    ],
    ids=lambda call: f"line {call.__code__.co_firstlineno}",
)
async def test_every_call_takes_extras(call: Any, client: Client, notebook: Notebook) -> None:
    await call(
        client,
        extra_headers={"X-Extra": "h"},
        extra_query={"extra": "q"},
        extra_body={"assistant_id": "other", "extra": None},
        timeout=5,
    )
    (request,) = notebook.requests
    assert request.headers["x-extra"] == "h"
    assert ("extra", "q") in request.query
    assert request.body.items() >= {"assistant_id": "other", "extra": None}.items()


async def test_every_parameter_of_a_run_is_sent(client: Client, notebook: Notebook) -> None:
    await client.runs.create(
        "t_1",
        assistant_id="a_1",
        additional_instructions="more",
        additional_messages=[{"role": "user", "content": "hi"}],
        instructions="do",
        max_completion_tokens=300,
        max_prompt_tokens=400,
        metadata={"k": "v"},
        model="m",
        parallel_tool_calls=False,
        reasoning_effort="low",
        response_format="auto",
        temperature=0.1,
        tool_choice="required",
        tools=[CodeInterpreterTool(), {"type": "file_search"}],
        top_p=0.2,
        truncation_strategy=TruncationStrategy(type="last_messages", last_messages=3),
    )
    assert notebook.requests[0].body == {
        "assistant_id": "a_1",
        "additional_instructions": "more",
        "additional_messages": [{"role": "user", "content": "hi"}],
        "instructions": "do",
        "max_completion_tokens": 300,
        "max_prompt_tokens": 400,
        "metadata": {"k": "v"},
        "model": "m",
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "response_format": "auto",
        "temperature": 0.1,
        "tool_choice": "required",
        "tools": [{"type": "code_interpreter"}, {"type": "file_search"}],
        "top_p": 0.2,
        "truncation_strategy": {"type": "last_messages", "last_messages": 3},
    }


async def test_structs_are_taken_where_plain_dicts_are(client: Client, notebook: Notebook) -> None:
    weather = FunctionDefinition(name="weather", parameters={"type": "object"})
    await client.assistants.create(
        model="m",
        tools=(tool for tool in (FunctionTool(function=weather), FileSearchTool())),
        tool_resources=ToolResources(code_interpreter=CodeInterpreterResources(file_ids=["f"])),
    )
    await client.messages.create(
        "t_1",
        role="user",
        content=[ImageURLContentBlock(image_url=ImageURL(url="https://x.example/a.png"))],
        attachments=[Attachment(file_id="f", tools=[CodeInterpreterTool()])],
    )
    assert notebook.requests[0].body == {
        "model": "m",
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "parameters": {"type": "object"}},
            },
            {"type": "file_search"},
        ],
        "tool_resources": {"code_interpreter": {"file_ids": ["f"]}},
    }
    assert notebook.requests[1].body == {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}],
        "attachments": [{"file_id": "f", "tools": [{"type": "code_interpreter"}]}],
    }


async def test_a_tool_of_an_unknown_kind_goes_back_as_it_came(
    client: Client, notebook: Notebook
) -> None:
    tool = {"type": "bing_grounding", "bing_grounding": {"connections": ["c"]}}
    notebook.answers = [{"id": "a_1", "tools": [tool]}]
    assistant = await client.assistants.retrieve("a_1")
    assert assistant.tools is not None
    await client.runs.create("t_1", assistant_id="a_1", tools=assistant.tools)
    assert notebook.requests[1].body["tools"] == [tool]


async def test_what_json_cannot_hold_is_a_type_error_and_nothing_is_sent(
    client: Client, notebook: Notebook
) -> None:
    odd: Any = {"a": object()}
    with pytest.raises(TypeError, match="object"):
        await client.threads.create(metadata=odd)
    assert notebook.requests == []


async def test_an_answer_has_its_bytes_and_its_request_id(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [{"id": "t_1", "unknown": [1]}]
    thread = await client.threads.retrieve("t_1")
    assert thread.raw == b'{"id": "t_1", "unknown": [1]}'
    assert thread.request_id is None


async def test_an_answer_of_another_shape_is_an_error_that_says_why(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [{"id": "r_1"}]
    with pytest.raises(APIStatusError, match=r"cannot be read: .*status") as caught:
        await client.runs.retrieve("r_1", thread_id="t_1")
    assert caught.value.path == "/threads/t_1/runs/r_1"
    assert ObjectDecoder[Any](dict)(caught.value.body) == {"id": "r_1"}
