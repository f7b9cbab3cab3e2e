"""What is refused in request bodies, and in which words."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve

pytestmark = pytest.mark.anyio

RUNS = "/threads/thread_id/runs"
MESSAGES = "/threads/thread_id/messages"


def run(**fields: Any) -> dict[str, Any]:
    return {"assistant_id": "assistant_id", **fields}


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": fields}


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        (RUNS, {}, "assistant_id", "Missing required parameter: 'assistant_id'."),
        (RUNS, run(foo=1), "foo", "Unknown parameter: 'foo'."),
        (RUNS, [], None, "Invalid type for 'body': expected object, got array instead."),
        (
            RUNS,
            {"assistant_id": 3},
            "assistant_id",
            "Invalid type for 'assistant_id': expected string, got integer instead.",
        ),
        (
            RUNS,
            run(temperature=2.1),
            "temperature",
            "Invalid 'temperature': expected number <= 2.0.",
        ),
        (RUNS, run(temperature=-1), "temperature", None),
        (RUNS, run(temperature="1"), "temperature", None),
        (RUNS, run(top_p=1.1), "top_p", None),
        (RUNS, run(max_prompt_tokens=255), "max_prompt_tokens", None),
        (RUNS, run(max_completion_tokens=1), "max_completion_tokens", None),
        (RUNS, run(max_completion_tokens=256.5), "max_completion_tokens", None),
        (RUNS, run(stream="yes"), "stream", None),
        (RUNS, run(parallel_tool_calls=None), "parallel_tool_calls", None),
        (RUNS, run(reasoning_effort="huge"), "reasoning_effort", None),
        (RUNS, run(response_format="json"), "response_format", None),
        (RUNS, run(response_format={"type": "xml"}), "response_format.type", None),
        (
            RUNS,
            run(response_format={"type": "json_schema", "json_schema": {}}),
            "response_format.json_schema.name",
            None,
        ),
        (RUNS, run(tool_choice="any"), "tool_choice", None),
        (RUNS, run(tool_choice={"type": "function"}), "tool_choice.function", None),
        (RUNS, run(truncation_strategy={"type": "some"}), "truncation_strategy.type", None),
        (
            RUNS,
            run(truncation_strategy={"type": "last_messages", "last_messages": 0}),
            "truncation_strategy.last_messages",
            None,
        ),
        (RUNS, run(metadata={str(n): "" for n in range(17)}), "metadata", None),
        (RUNS, run(metadata={"k" * 65: ""}), "metadata", None),
        (RUNS, run(metadata={"k": "v" * 513}), "metadata", None),
        (RUNS, run(metadata={"k": 1}), "metadata", None),
        (RUNS, run(tools=[{"type": "code_interpreter"}] * 21), "tools", None),
        (RUNS, run(tools=[{"type": "retrieval"}]), "tools[0].type", None),
        (RUNS, run(tools=[{}]), "tools[0].type", None),
        (RUNS, run(tools=[{"type": "function"}]), "tools[0].function", None),
        (RUNS, run(tools=[function(name="")]), "tools[0].function.name", None),
        (RUNS, run(tools=[function(name="a b")]), "tools[0].function.name", None),
        (RUNS, run(tools=[function(name="f", extra=1)]), "tools[0].function.extra", None),
        (
            RUNS,
            run(tools=[{"type": "file_search", "file_search": {"max_num_results": 51}}]),
            "tools[0].file_search.max_num_results",
            None,
        ),
        (
            RUNS,
            run(additional_messages=[{"role": "system", "content": "x"}]),
            "additional_messages[0].role",
            None,
        ),
        (
            "/threads/runs",
            run(thread={"messages": [{"role": "user"}]}),
            "thread.messages[0].content",
            None,
        ),
        (MESSAGES, {"role": "user", "content": []}, "content", None),
        (MESSAGES, {"role": "user", "content": None}, "content", None),
        (
            MESSAGES,
            {"role": "user", "content": [{"type": "refusal", "refusal": "no"}]},
            "content[0].type",
            None,
        ),
        (
            MESSAGES,
            {"role": "user", "content": "x", "attachments": [{"file_id": "f"}]},
            "attachments[0].tools",
            None,
        ),
        ("/threads", {"messages": "x"}, "messages", None),
        (
            "/threads",
            {"tool_resources": {"code_interpreter": {"file_ids": ["f"] * 21}}},
            "tool_resources.code_interpreter.file_ids",
            None,
        ),
        (
            "/threads",
            {"tool_resources": {"file_search": {}}},
            "tool_resources.file_search",
            (
                "Invalid 'tool_resources.file_search': "
                "expected either 'vector_store_ids' or 'vector_stores'."
            ),
        ),
        (
            "/assistants",
            {
                "model": "m",
                "tool_resources": {"file_search": {"vector_store_ids": [], "vector_stores": [{}]}},
            },
            "tool_resources.file_search",
            None,
        ),
        (
            "/threads/thread_id",
            {"tool_resources": {"file_search": {"vector_stores": [{}]}}},
            "tool_resources.file_search.vector_stores",
            None,
        ),
        ("/threads/thread_id", {"messages": []}, "messages", None),
        ("/assistants", {}, "model", "Missing required parameter: 'model'."),
        ("/assistants", {"model": "m", "name": "n" * 257}, "name", None),
        ("/assistants", {"model": "m", "description": "d" * 513}, "description", None),
        ("/assistants", {"model": "m", "instructions": "i" * 256_001}, "instructions", None),
        (
            "/assistants",
            {"model": "m", "tools": [{"type": "code_interpreter"}] * 129},
            "tools",
            None,
        ),
        ("/assistants/assistant_id", {"model": None}, "model", None),
        (f"{RUNS}/x/submit_tool_outputs", {}, "tool_outputs", None),
        (
            f"{RUNS}/x/submit_tool_outputs",
            {"tool_outputs": [{}]},
            "tool_outputs[0].tool_call_id",
            "Missing required parameter: 'tool_outputs[0].tool_call_id'.",
        ),
    ],
)
async def test_a_bad_body_is_refused_by_the_name_of_its_parameter(
    serve: Serve, path: str, body: object, param: str | None, message: str | None
) -> None:
    api = await serve()
    api.emulator.add_assistant(id="assistant_id")
    api.emulator.add_thread(id="thread_id")
    error = await api.refused("POST", path, body)
    assert (error["status"], error["param"]) == (400, param)
    assert (param or "body") in error["message"]
    assert message is None or error["message"] == message


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"metadata": {"a": "\\ud800"}}', b"[" * 99_999])
async def test_a_body_that_is_no_json_object_is_refused(serve: Serve, body: bytes) -> None:
    api = await serve()
    url = f"{api.emulator.base_url}/threads"
    headers = {"Content-Type": "application/json"}
    async with api.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"


async def test_a_number_that_is_none_is_refused_by_name(serve: Serve) -> None:
    api = await serve()
    url = f"{api.emulator.base_url}/assistants"
    headers = {"Content-Type": "application/json"}
    body = b'{"model": "m", "temperature": 1e999}'
    async with api.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "temperature"


async def test_a_body_of_another_content_type_is_refused(serve: Serve) -> None:
    api = await serve()
    async with api.session.post(f"{api.emulator.base_url}/threads", data=b"{}") as answer:
        assert answer.status == 400
        assert "application/octet-stream" in (await answer.json())["error"]["message"]


async def test_a_body_beyond_all_bounds_is_refused(serve: Serve) -> None:
    api = await serve()
    url = f"{api.emulator.base_url}/threads"
    async with api.session.post(url, data=BytesIO(bytes(17 * 1024 * 1024))) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["message"]
        assert "x-request-id" in answer.headers


async def test_a_tool_can_be_sent_back_as_it_was_answered(serve: Serve) -> None:
    api = await serve()
    tools = [function(name="look"), {"type": "file_search"}, {"type": "code_interpreter"}]
    first = await api.post("/assistants", model="gpt-4o", tools=tools)
    second = await api.post("/assistants", model="gpt-4o", tools=first["tools"])
    assert second["tools"] == first["tools"]
    assert first["tools"][0]["function"] == {
        "name": "look",
        "description": None,
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }


async def test_metadata_may_reach_its_limits(serve: Serve) -> None:
    api = await serve()
    metadata = {f"{number:064}": "v" * 512 for number in range(16)}
    assert (await api.post("/threads", metadata=metadata))["metadata"] == metadata


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}/x/steps"])
async def test_only_the_search_content_can_be_included(serve: Serve, path: str) -> None:
    api = await serve()
    api.emulator.add_assistant(id="assistant_id")
    api.emulator.add_thread(id="thread_id")

    await api.emulator.add_run("thread_id", "assistant_id", id="x")
    method, body = ("POST", run()) if path == RUNS else ("GET", None)
    error = await api.refused(method, path, body, **{"include[]": "everything"})
    assert (error["status"], error["param"]) == (400, "include")
