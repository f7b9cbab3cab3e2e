"""Assistants, threads, messages and runs over plain HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncruns.emulator import Action, Call, Context, Say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.emulator.conftest import Serve

pytestmark = pytest.mark.anyio


async def say_hello(_context: Context) -> AsyncGenerator[Action, Any]:
    yield Say("Hello.")


@pytest.mark.parametrize("prefix", ["/v1", "/openai", "/openai/v1", ""])
async def test_every_prefix_leads_to_the_same_api(serve: Serve, prefix: str) -> None:
    api = await serve()
    api.emulator.add_thread(id="thread_id")
    async with api.session.get(f"{api.emulator.origin}{prefix}/threads/thread_id") as answer:
        assert answer.status == 200
        assert (await answer.json())["id"] == "thread_id"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/threads", {}, 400),
        ("/threads", {}, 400),
        ("/v1/threads", {"OpenAI-Beta": "assistants=v1"}, 400),
        ("/v1/threads", {"OpenAI-Beta": "x=v1, assistants=v2"}, 200),
        ("/v1/threads", {"api-key": "secret"}, 200),
        ("/threads?api-version=v1", {}, 200),
        ("/openai/threads", {}, 200),
    ],
)
async def test_the_beta_header_is_required_unless_the_request_is_azures(
    serve: Serve, path: str, headers: dict[str, str], status: int
) -> None:
    api = await serve()
    api.session.headers.clear()
    async with api.session.post(api.emulator.origin + path, headers=headers) as answer:
        assert answer.status == status
        body = await answer.json()
    if status == 400:
        assert "OpenAI-Beta: assistants=v2" in body["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"api-key": "wröng"}, 401),
        ({"api-key": "\udcff"}, 401),
        ({"Authorization": "Bearer secret"}, 200),
        ({"api-key": "secret"}, 200),
    ],
)
async def test_a_required_key_is_required(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    api = await serve(api_key="secret")
    url = f"{api.emulator.base_url}/threads"
    async with api.session.post(url, headers=headers) as answer:
        assert answer.status == status
        assert ("error" in await answer.json()) == (status == 401)


async def test_every_answer_has_a_request_id_of_its_own(serve: Serve) -> None:
    api = await serve(say_hello)
    thread_id, assistant_id = await api.thread()
    asked: list[tuple[str, str, object]] = [
        ("GET", f"/threads/{thread_id}", None),
        ("GET", "/threads/nowhere", None),
        ("GET", "/nothing", None),
        ("POST", f"/threads/{thread_id}/runs", {"assistant_id": assistant_id, "stream": True}),
    ]
    ids: list[str] = []
    for method, path, body in asked:
        async with api.session.request(method, api.emulator.base_url + path, json=body) as answer:
            ids.append(answer.headers["x-request-id"])
    assert len(set(ids)) == len(asked)
    assert [request.request_id for request in api.emulator.requests[-4:]] == ids


async def test_requests_are_listed_in_the_order_of_their_arrival(serve: Serve) -> None:
    api = await serve()
    await api.post("/threads", metadata={"a": "b"})
    await api.refused("GET", "/assistants", limit="0")
    first, second = api.emulator.requests
    assert (first.method, first.path, first.status) == ("POST", "/v1/threads", 200)
    assert first.body == b'{"metadata": {"a": "b"}}'
    assert first.headers["openai-beta"] == "assistants=v2"
    assert (second.method, dict(second.query), second.status) == ("GET", {"limit": "0"}, 400)


async def test_unknown_paths_and_methods_are_json_errors(serve: Serve) -> None:
    api = await serve()
    assert (await api.refused("GET", "/files"))["status"] == 404
    assert (await api.refused("GET", "/threads//runs"))["status"] == 404
    assert (await api.refused("PUT", "/threads"))["status"] == 405


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/assistants/x", "No assistant found with id 'x'."),
        ("DELETE", "/assistants/x", "No assistant found with id 'x'."),
        ("GET", "/threads/x", "No thread found with id 'x'."),
        ("GET", "/threads/x/messages", "No thread found with id 'x'."),
        ("GET", "/threads/thread_id/messages/x", "No message found with id 'x'."),
        ("DELETE", "/threads/thread_id/messages/x", "No message found with id 'x'."),
        ("GET", "/threads/thread_id/runs/x", "No run found with id 'x'."),
        ("POST", "/threads/thread_id/runs/x", "No run found with id 'x'."),
        ("POST", "/threads/thread_id/runs/x/cancel", "No run found with id 'x'."),
        ("GET", "/threads/thread_id/runs/x/steps", "No run found with id 'x'."),
        ("GET", "/threads/thread_id/runs/run_id/steps/x", "No run step found with id 'x'."),
        ("GET", "/threads/thread_id/runs/a%2Fb%3Fc", "No run found with id 'a/b?c'."),
    ],
)
async def test_an_unknown_id_is_named(serve: Serve, method: str, path: str, message: str) -> None:
    api = await serve(say_hello)
    api.emulator.add_assistant(id="assistant_id")
    api.emulator.add_thread(id="thread_id")
    await api.emulator.add_run("thread_id", "assistant_id", id="run_id")
    async with api.session.request(method, api.emulator.base_url + path) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["message"] == message


async def test_a_run_of_an_unknown_assistant_is_refused(serve: Serve) -> None:
    api = await serve()
    api.emulator.add_thread(id="thread_id")
    error = await api.refused("POST", "/threads/thread_id/runs", {"assistant_id": "x"})
    assert (error["status"], error["message"]) == (404, "No assistant found with id 'x'.")


async def test_an_assistant_is_created_changed_and_deleted(serve: Serve) -> None:
    api = await serve()
    made = await api.post(
        "/assistants", model="gpt-4o", name="Ann", tools=[{"type": "file_search"}]
    )
    assert list(made) == [
        "id", "object", "created_at", "name", "description", "model", "instructions", "tools",
        "top_p", "temperature", "reasoning_effort", "tool_resources", "metadata", "response_format",
    ]  # fmt: skip
    path = f"/assistants/{made['id']}"
    assert await api.get(path) == made
    changed = await api.post(path, name=None, temperature=0.5, metadata={"a": "b"})
    assert changed == {**made, "name": None, "temperature": 0.5, "metadata": {"a": "b"}}
    reset = await api.post(path, temperature=None, metadata=None)
    assert (reset["temperature"], reset["metadata"]) == (1.0, {})
    assert (await api.get("/assistants"))["data"] == [reset]
    gone = await api.delete(path)
    assert gone == {"id": made["id"], "object": "assistant.deleted", "deleted": True}
    assert (await api.refused("GET", path))["status"] == 404


async def test_a_thread_is_created_changed_and_deleted(serve: Serve) -> None:
    api = await serve()
    made = await api.post(
        "/threads",
        messages=[{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}],
        tool_resources={"file_search": {"vector_stores": [{"file_ids": ["file-1"]}]}},
    )
    path = f"/threads/{made['id']}"
    assert made["tool_resources"]["file_search"]["vector_store_ids"][0].startswith("vs_")
    assert await api.get(path) == made
    messages = (await api.get(f"{path}/messages", order="asc"))["data"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    changed = await api.post(
        path, tool_resources={"code_interpreter": {"file_ids": ["file-2"]}}, metadata={"k": "v"}
    )
    assert changed["tool_resources"] == {"code_interpreter": {"file_ids": ["file-2"]}}
    assert changed["metadata"] == {"k": "v"}
    gone = await api.delete(path)
    assert gone == {"id": made["id"], "object": "thread.deleted", "deleted": True}
    assert (await api.refused("GET", path))["status"] == 404


async def test_a_message_is_created_changed_and_deleted(serve: Serve) -> None:
    api = await serve()
    thread_id = (await api.post("/threads"))["id"]
    made = await api.post(
        f"/threads/{thread_id}/messages",
        role="user",
        content=[
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}},
        ],
        attachments=[{"file_id": "file-2", "tools": [{"type": "file_search"}]}],
    )
    assert made["content"] == [
        {"type": "text", "text": {"value": "Look", "annotations": []}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}},
        {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}},
    ]
    assert made["attachments"] == [{"file_id": "file-2", "tools": [{"type": "file_search"}]}]
    path = f"/threads/{thread_id}/messages/{made['id']}"
    assert await api.get(path) == made
    changed = await api.post(path, metadata={"seen": "yes"})
    assert changed == {**made, "metadata": {"seen": "yes"}}
    gone = await api.delete(path)
    assert gone == {"id": made["id"], "object": "thread.message.deleted", "deleted": True}
    assert (await api.get(f"/threads/{thread_id}/messages"))["data"] == []


async def test_messages_are_listed_by_the_run_that_said_them(serve: Serve) -> None:
    api = await serve(say_hello)
    path, _ = await api.run()
    thread_path, run_id = path.rsplit("/runs/", 1)
    await api.post(f"{thread_path}/messages", role="user", content="Later")
    said = (await api.get(f"{thread_path}/messages", run_id=run_id))["data"]
    assert [message["content"][0]["text"]["value"] for message in said] == ["Hello."]


async def test_only_the_metadata_of_a_run_can_change(serve: Serve) -> None:
    api = await serve(say_hello)
    path, _ = await api.run()
    before = await api.get(path)
    assert await api.post(path, metadata={"a": "b"}) == {**before, "metadata": {"a": "b"}}
    error = await api.refused("POST", path, {"status": "queued"})
    assert (error["status"], error["param"]) == (400, "status")


async def test_a_run_takes_over_what_its_request_leaves_open(serve: Serve) -> None:
    api = await serve(say_hello)
    thread_id, assistant_id = await api.thread(
        instructions="Be kind.",
        temperature=0.2,
        tools=[{"type": "code_interpreter"}],
        response_format={"type": "json_object"},
        reasoning_effort="low",
    )
    run = await api.post(
        f"/threads/{thread_id}/runs",
        assistant_id=assistant_id,
        model="gpt-4o-mini",
        additional_instructions="Be short.",
        additional_messages=[{"role": "user", "content": "And this?"}],
        top_p=0.5,
        tool_choice={"type": "code_interpreter"},
        truncation_strategy={"type": "last_messages", "last_messages": 3},
        max_completion_tokens=256,
        parallel_tool_calls=False,
    )
    assert run["status"] == "queued"
    assert run["expires_at"] == run["created_at"] + 600
    assert run["model"] == "gpt-4o-mini"
    assert run["instructions"] == "Be kind.\nBe short."
    assert (run["temperature"], run["top_p"]) == (0.2, 0.5)
    assert run["tools"] == [{"type": "code_interpreter"}]
    assert run["response_format"] == {"type": "json_object"}
    assert run["reasoning_effort"] == "low"
    assert run["tool_choice"] == {"type": "code_interpreter"}
    assert run["truncation_strategy"] == {"type": "last_messages", "last_messages": 3}
    assert run["max_completion_tokens"] == 256
    assert run["parallel_tool_calls"] is False
    texts = [
        message["content"][0]["text"]["value"]
        for message in (await api.get(f"/threads/{thread_id}/messages", order="asc"))["data"]
    ]
    assert texts[:2] == ["What now?", "And this?"]


async def test_the_poll_header_says_what_was_configured(serve: Serve) -> None:
    api = await serve(say_hello)
    path, _ = await api.run()
    async with api.session.get(api.emulator.base_url + path) as answer:
        assert "openai-poll-after-ms" not in answer.headers
    api.emulator.poll_after_ms = 300
    assert api.emulator.poll_after_ms == 300
    async with api.session.get(api.emulator.base_url + path) as answer:
        assert answer.headers["openai-poll-after-ms"] == "300"


async def test_objects_can_be_there_before_the_first_request(serve: Serve) -> None:
    api = await serve()
    emulator = api.emulator

    async def script(_context: Context) -> AsyncGenerator[Action, Any]:
        output = yield Call("look", {"at": "sky"}, id="call_id")
        yield Say(output, id="msg_id", step_id="step_id")

    assert emulator.add_assistant(id="assistant_id", name="Ann")["name"] == "Ann"
    emulator.add_thread(id="thread_id")
    assert emulator.add_message("thread_id", "Hello", id="asked_id")["id"] == "asked_id"
    run = await emulator.add_run("thread_id", "assistant_id", id="run_id", script=script)
    assert run["status"] == "requires_action"
    assert run["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"] == "call_id"
    path = "/threads/thread_id/runs/run_id"
    assert await api.get(path) == run
    await api.stream(
        f"{path}/submit_tool_outputs",
        tool_outputs=[{"tool_call_id": "call_id", "output": "blue"}],
    )
    step = await api.get(f"{path}/steps/step_id")
    assert step["step_details"]["message_creation"]["message_id"] == "msg_id"
    said = await api.get("/threads/thread_id/messages/msg_id")
    assert said["content"][0]["text"]["value"] == "blue"


async def test_the_same_seed_gives_the_same_ids(serve: Serve) -> None:
    ids = [(await (await serve(seed=seed)).post("/threads"))["id"] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("thread_")
    assert len(ids[0]) == len("thread_") + 24
