"""A key is told to the server that it is for, and to nobody else: no log, error, repr or span."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import APIStatusError, AsyncRunsError, AzureClient, Client, ToolError
from asyncruns.toolset import Toolset
from tests.stream.frames import RUN, frame, run_frame, stream_answer
from tests.transport.wires import STREAM_HEAD, answer, chunk, hang, hang_up, then_hang_up, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.tracing.spans import Spans
    from tests.transport.wires import Answer, Wire

    Call = Callable[[Client], Awaitable[object]]

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-1234"


async def retrieve(client: Client) -> object:
    return await client.runs.retrieve("run_1", thread_id="thread_1")


async def create(client: Client) -> object:
    return await client.runs.create("thread_1", assistant_id="asst_1")


async def poll(client: Client) -> object:
    return await client.runs.poll("run_1", thread_id="thread_1", deadline=0.1)


async def stream(client: Client) -> object:
    async with client.runs.stream(
        thread_id="thread_1", assistant_id="asst_1", recovery_deadline=0.1
    ) as entered:
        return await entered.get_final_run()


async def answer_tools(client: Client) -> object:
    def weather(city: str) -> str:
        raise LookupError(city)

    tools = Toolset(weather)
    async with client.runs.stream(
        thread_id="thread_1",
        assistant_id="asst_1",
        toolset=tools,
        on_tool_error="raise",
        recovery_deadline=0.1,
    ) as entered:
        return await entered.get_final_run()


async def list_steps(client: Client) -> object:
    return [step async for step in client.runs.steps.list("run_1", thread_id="thread_1")]


async def follow(client: Client) -> object:
    async with client.runs.stream(
        thread_id="thread_1", assistant_id="asst_1", on_interrupt="raise"
    ) as entered:
        return await entered.get_final_run()


CALLS = [retrieve, create, poll, stream, answer_tools, list_steps]

PAUSED = {
    "required_action": {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
                }
            ]
        },
    }
}

ANSWERS: dict[str, Answer] = {
    "garbage": b"SSH-2.0-nothing\r\n\r\n",
    "a long header": answer(headers=("X-Long: " + "x" * 17_000,)),
    "a hang-up": hang_up,
    "silence": hang,
    "401": answer(b'{"error": {"message": "no"}}', status="401 No"),
    "500": answer(b"<html>", status="500 No", kind="text/html"),
    "elsewhere": answer(b"", status="307 Moved", headers=("Location: http://elsewhere.example/",)),
    "html": answer(b"<html>", kind="text/html"),
    "no json": answer(b"{"),
    "a wrong encoding": answer(b"x", headers=("Content-Encoding: gzip",)),
    "a cut": then_hang_up(STREAM_HEAD + chunk(run_frame("in_progress"))),
    "an error event": stream_answer(frame("error", {"message": "no"})),
}
"""All sorts of ways for every request to go wrong: no call takes all of them for an answer."""


def exceptions(exc: BaseException) -> Iterator[BaseException]:
    """An exception and all that it leads to."""
    seen: list[BaseException] = []
    following: list[BaseException | None] = [exc]
    while following:
        found = following.pop()
        if found is not None and not any(found is one for one in seen):
            seen.append(found)
            following += [found.__cause__, found.__context__]
            following += getattr(found, "exceptions", ())
            yield found


def told(exc: BaseException) -> str:
    """All that can be read off an exception: what a log, a report or a debugger would show."""
    parts = traceback.format_exception(exc)
    for found in exceptions(exc):
        inside = (found.args, *vars(found).values(), getattr(found, "__notes__", ()))
        parts += [repr(found), str(found), *map(repr, inside), *map(str, inside)]
        if isinstance(found, AsyncRunsError):
            parts.append(pickle.dumps(found).decode("latin-1"))
    return "\n".join(parts)


def clients(server: Wire) -> list[Client]:
    """The ways to give a client its key."""
    url = server.url.removesuffix("/v1")
    given: Any = {"timeout": 0.2, "max_retries": 0}
    return [
        Client(api_key=KEY, base_url=server.url, **given),
        Client(api_key=lambda: KEY, base_url=server.url, **given),
        Client(base_url=server.url, default_headers={"Authorization": f"Bearer {KEY}"}, **given),
        AzureClient(azure_endpoint=url, api_version="v", api_key=KEY, **given),
        AzureClient(azure_endpoint=url, api_version="v", azure_ad_token=KEY, **given),
    ]


@pytest.mark.parametrize("fault", ANSWERS.values(), ids=ANSWERS)
async def test_no_failure_tells_the_key(
    fault: Answer, caplog: pytest.LogCaptureFixture, spans: Spans
) -> None:
    caplog.set_level(logging.DEBUG)
    async with wire(fault) as server:
        for client in clients(server):
            async with client:
                for call in CALLS:
                    with pytest.raises(AsyncRunsError) as caught:
                        await call(client)
                    assert KEY not in told(caught.value), call
        # It was there, all the same.
        assert all(KEY in repr(request.headers) for request in server.requests)
    assert KEY not in caplog.text
    assert spans.ended()
    assert not any(KEY in span.to_json() for span in spans.ended())


async def test_no_failure_of_a_tool_tells_the_key(spans: Spans) -> None:
    async with wire(stream_answer(run_frame("requires_action", **PAUSED))) as server:
        for client in clients(server):
            async with client:
                with pytest.raises(ToolError) as caught:
                    await answer_tools(client)
            assert KEY not in told(caught.value)
    assert len(spans.ended()) == 2 * 5
    assert not any(KEY in span.to_json() for span in spans.ended())


@pytest.mark.parametrize("status", ["401 No", "400 No", "502 Bad Gateway", "307 Elsewhere"])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_a_server_that_repeats_the_key_does_not_get_it_into_an_error(
    status: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = f'{{"error": {{"message": "Incorrect API key: {KEY}", "code": "{KEY}"}}}}'.encode()
    headers = (f"X-Seen: Bearer {KEY}", f"Location: http://elsewhere.example/?key={KEY}")
    async with wire(answer(said, status=status, kind=kind, headers=headers)) as server:
        for client in clients(server):
            async with client:
                with pytest.raises(APIStatusError) as caught:
                    await retrieve(client)
            assert KEY not in told(caught.value)
            assert str(caught.value).startswith(status[:3])
    assert KEY not in caplog.text


@pytest.mark.parametrize("call", [create, stream])
async def test_a_page_instead_of_an_answer_may_repeat_the_key(call: Call) -> None:
    page = f"<title>Debug</title>Authorization: Bearer {KEY}".encode()
    async with wire(answer(page, kind="text/html")) as server:
        for client in clients(server):
            async with client:
                with pytest.raises(APIStatusError, match="Debug") as caught:
                    await call(client)
            assert KEY not in told(caught.value)


EVERY: list[Call] = [*CALLS]
SAID = f"Incorrect API key: {KEY}"
FAILED = {"error": {"message": SAID, "code": KEY}}

REPEATED: dict[str, tuple[Answer, list[Call]]] = {
    "an error with a good status": (
        answer(json.dumps(FAILED).encode(), headers=(f"X-Seen: {KEY}",)),
        [retrieve, create, list_steps],
    ),
    "an object that is none": (
        answer(json.dumps({"id": 5, "status": KEY}).encode()),
        [retrieve, create],
    ),
    "a header that is none": (f"HTTP/1.1 200 OK\r\nX-A\1 {KEY}: 3\r\n\r\n".encode(), EVERY),
    "a status that is none": (f"HTTP/1.1 2x0 {KEY}\r\n\r\n".encode(), EVERY),
    "a chunk that is none": (STREAM_HEAD + f"{KEY}\r\n".encode(), EVERY),
    "an error event": (stream_answer(run_frame("in_progress"), frame("error", FAILED)), [follow]),
    "an error event of the other form": (
        stream_answer(run_frame("in_progress"), frame("error", FAILED["error"])),
        [follow],
    ),
    "an event that is none": (
        stream_answer(frame("thread.run.queued", {"id": KEY, "status": 5})),
        [follow],
    ),
}
"""Answers that repeat the key, and the calls that fail with them."""


@pytest.mark.parametrize("kind", REPEATED)
async def test_an_answer_that_cannot_be_read_may_repeat_the_key(kind: str, spans: Spans) -> None:
    sent, calls = REPEATED[kind]
    async with wire(sent) as server:
        for client in clients(server):
            async with client:
                for call in calls:
                    with pytest.raises(AsyncRunsError) as caught:
                        await call(client)
                    assert KEY not in told(caught.value), call
    assert not any(KEY in span.to_json() for span in spans.ended())


@pytest.mark.parametrize("spelling", ["sk/very/secret", r"sk\/very\/secret", "sk%2Fvery%2Fsecret"])
async def test_a_key_is_known_however_it_is_spelled(spelling: str) -> None:
    said = f'{{"error": {{"message": "Incorrect: {spelling}!"}}}}'.encode()
    async with (
        wire(answer(said, status="401 No")) as server,
        Client(api_key="sk/very/secret", base_url=server.url, max_retries=0) as client,
    ):
        with pytest.raises(APIStatusError, match="Incorrect: …!") as caught:
            await retrieve(client)
    assert spelling.encode() not in caught.value.body


async def test_a_key_may_have_spaces() -> None:
    said = b'{"error": {"message": "Incorrect: very secret words"}}'
    async with wire(answer(said, status="401 No")) as server:
        url = server.url.removesuffix("/v1")
        for client in (
            Client(api_key="very secret words", base_url=server.url),
            AzureClient(azure_endpoint=url, api_version="v", api_key="very secret words"),
        ):
            async with client:
                with pytest.raises(APIStatusError, match=r"Incorrect: …$"):
                    await retrieve(client)


async def test_what_a_server_says_of_a_short_key_stays_readable() -> None:
    said = answer(b'{"error": {"message": "any key but any"}}', status="401 No")
    async with (
        wire(said) as server,
        Client(api_key="any", base_url=server.url, max_retries=0) as client,
    ):
        with pytest.raises(APIStatusError, match="any key but any"):
            await retrieve(client)


async def test_objects_of_a_client_tell_no_key() -> None:
    async with wire(answer(str(RUN).replace("'", '"').encode())) as server:
        for client in clients(server):
            async with client:
                run: Any = await retrieve(client)
                things = [client, client.runs, client._transport, client._transport.settings, run]
                things += [client.with_options(timeout=3), client.runs.with_raw_response]
                assert KEY not in "".join([*map(repr, things), *map(str, things)])
