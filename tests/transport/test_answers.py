"""How answers are judged."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    ActiveRunError,
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Client,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, then_hang_up, wire

if TYPE_CHECKING:
    from tests.transport.wires import Answer

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'


async def retrieve(*answers: Answer) -> Any:
    async with (
        wire(*answers) as server,
        Client(api_key="sk-1", max_retries=0, base_url=server.url) as client,
    ):
        return await client.runs.retrieve("run_1", thread_id="thread_1")


async def open_stream(*answers: Answer) -> None:
    path = "/threads/thread_1/runs"
    request = Request(method="POST", path=path, body=b"{}", repeatable=False)
    async with (
        wire(*answers) as server,
        Client(api_key="sk-1", max_retries=0, base_url=server.url) as client,
    ):
        await (await client._transport.open(request)).aclose()


@pytest.mark.parametrize("call", [retrieve, open_stream])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", BadRequestError),
        ("401 Unauthorized", AuthenticationError),
        ("403 Forbidden", PermissionDeniedError),
        ("404 Not Found", NotFoundError),
        ("409 Conflict", ConflictError),
        ("418 Teapot", APIStatusError),
        ("422 Unprocessable", UnprocessableEntityError),
        ("429 Too Many", RateLimitError),
        ("500 Oops", InternalServerError),
        ("503 Busy", InternalServerError),
    ],
)
async def test_a_status_becomes_its_error(
    call: Any, status: str, kind: type[APIStatusError]
) -> None:
    body = b'{"error":{"message":"no","type":"t","param":"p","code":"c"}}'
    with pytest.raises(kind) as caught:
        await call(answer(body, status=status, headers=("x-request-id: req_7",)))
    error = caught.value
    assert type(error) is kind
    assert error.status == int(status[:3])
    assert (error.message, error.type, error.param, error.code) == ("no", "t", "p", "c")
    assert (error.request_id, error.body) == ("req_7", body)
    assert error.path.startswith("/threads/thread_1/runs")
    assert "sk-1" not in f"{error!r} {error}"


async def test_a_locked_thread_is_an_error_of_its_own() -> None:
    body = b'{"error":{"message":"Thread thread_1 already has an active run run_9."}}'
    with pytest.raises(ActiveRunError) as caught:
        await open_stream(answer(body, status="400 Bad Request"))
    assert caught.value.run_id == "run_9"


async def test_html_instead_of_json_is_an_error_that_shows_it() -> None:
    with pytest.raises(APIStatusError, match="expected JSON, and got text/html: Log in") as caught:
        await retrieve(answer(b"<h1>Log in</h1>", kind="text/html"))
    assert caught.value.status == 200


@pytest.mark.parametrize("kind", ["text/plain", None, "application/vnd.x+json; charset=utf-8"])
async def test_json_under_another_name_is_taken(kind: str | None) -> None:
    assert (await retrieve(answer(RUN, kind=kind))).id == "run_1"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"id":7}', b"{", b"\xff\xfe", b""])
async def test_json_that_is_no_run_is_an_error_that_says_why(body: bytes) -> None:
    with pytest.raises(APIStatusError, match="cannot be read") as caught:
        await retrieve(answer(body))
    assert (caught.value.status, caught.value.body) == (200, body)


async def test_an_answer_keeps_its_bytes_and_request_id() -> None:
    run = await retrieve(answer(RUN, headers=("x-request-id: req_1",)))
    assert (run.raw, run.request_id) == (RUN, "req_1")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", RUN),
        ("text/html", b"<h1>Log in</h1>"),
        ("text/plain", b""),
        (None, b""),
    ],
)
async def test_a_stream_call_wants_an_event_stream(kind: str | None, body: bytes) -> None:
    with pytest.raises(APIStatusError, match="expected an event stream, and got") as caught:
        await open_stream(answer(body, kind=kind))
    assert (caught.value.status, caught.value.body) == (200, body)


async def test_the_media_type_of_a_stream_may_be_written_in_capitals() -> None:
    await open_stream(STREAM_HEAD.replace(b"text/event-stream", b"Text/Event-Stream"))


async def test_compressed_answers_are_decompressed() -> None:
    body = answer(gzip.compress(RUN), headers=("Content-Encoding: gzip",))
    assert (await retrieve(body)).id == "run_1"


async def test_an_error_keeps_the_beginning_of_a_long_body() -> None:
    with pytest.raises(InternalServerError) as caught:
        await retrieve(answer(b"x" * 300_000, status="500 Oops", kind="text/plain"))
    assert len(caught.value.body) == 64 * 1024


async def test_an_error_whose_body_breaks_off_is_still_that_error() -> None:
    whole = answer(b"not all of it", status="500 Oops", kind="text/plain")
    with pytest.raises(InternalServerError, match="not all") as caught:
        await retrieve(then_hang_up(whole[:-3]))
    assert caught.value.body == b"not all of"


@pytest.mark.parametrize("call", [retrieve])
@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n"]
)
async def test_an_answer_that_is_not_http_is_a_connection_error(call: Any, garbage: bytes) -> None:
    with pytest.raises(APIConnectionError, match="not HTTP") as caught:
        await call(then_hang_up(garbage))
    assert "sk-1" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


async def test_anything_else_is_given_as_it_came() -> None:
    async with (
        wire(
            answer(b"\x00\x01", kind="image/png"), answer(b"", status="204 No Content", kind=None)
        ) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        assert await client.request("GET", "/files/file_1/content") == b"\x00\x01"
        assert await client.request("DELETE", "/files/file_1") == b""
