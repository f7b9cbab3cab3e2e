"""Nothing that a caller passes on can become another path, another header or another request."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncruns import AsyncRunsError, AzureClient, Client
from asyncruns.transport import path_of
from tests.transport.wires import answer, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.transport.wires import Arrived

    Call = Callable[[Client, str], Awaitable[object]]

pytestmark = pytest.mark.anyio

LINES = ["a\r\nX-Evil: yes", "a\nX-Evil: yes", "a\rX-Evil: yes", "a\r\n\r\nGET /evil HTTP/1.1"]
ODD = ["../x?y", "..", ".", "a/../../b", "a?b=c", "a#b", "%2e%2e", "a\\..\\b", "\0", " ", *LINES]

CALLS: dict[str, Call] = {
    "runs.create": lambda client, id_: client.runs.create(id_, assistant_id="asst_1"),
    "runs.retrieve": lambda client, id_: client.runs.retrieve(id_, thread_id=id_),
    "runs.update": lambda client, id_: client.runs.update(id_, thread_id=id_, metadata={}),
    "runs.cancel": lambda client, id_: client.runs.cancel(id_, thread_id=id_),
    "runs.submit": lambda client, id_: client.runs.submit_tool_outputs(
        id_, thread_id=id_, tool_outputs=[{"tool_call_id": "call_1", "output": "x"}]
    ),
    "runs.list": lambda client, id_: client.runs.list(id_).__aiter__().__anext__(),
    "steps.retrieve": lambda client, id_: client.runs.steps.retrieve(
        id_, thread_id=id_, run_id=id_
    ),
    "steps.list": lambda client, id_: (
        client.runs.steps.list(id_, thread_id=id_).__aiter__().__anext__()
    ),
    "threads.retrieve": lambda client, id_: client.threads.retrieve(id_),
    "threads.update": lambda client, id_: client.threads.update(id_),
    "threads.delete": lambda client, id_: client.threads.delete(id_),
    "messages.create": lambda client, id_: client.messages.create(id_, role="user", content="x"),
    "messages.retrieve": lambda client, id_: client.messages.retrieve(id_, thread_id=id_),
    "messages.update": lambda client, id_: client.messages.update(id_, thread_id=id_),
    "messages.delete": lambda client, id_: client.messages.delete(id_, thread_id=id_),
    "assistants.retrieve": lambda client, id_: client.assistants.retrieve(id_),
    "assistants.update": lambda client, id_: client.assistants.update(id_),
    "assistants.delete": lambda client, id_: client.assistants.delete(id_),
}
"""Every method whose path holds ids."""

NO = answer(b'{"error": {"message": "no"}}', status="404 No")


def shape(target: str) -> str:
    """A path with a dot for each id of these tests."""
    return re.sub(r"/[^/]*\bid[^/]*", "/.", target)


@pytest.mark.parametrize("name", CALLS)
async def test_an_id_stays_one_segment_of_the_path(name: str) -> None:
    async with wire(NO) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(AsyncRunsError):
            await CALLS[name](client, "id")
        for odd in ODD:
            expected = AsyncRunsError if odd not in {"", ".", ".."} else ValueError
            with pytest.raises(expected):
                await CALLS[name](client, f"id{odd}" if odd not in {".", ".."} else odd)
        plain, *others = server.requests
        assert len(others) == len(ODD) - 2
        for request, odd in zip(
            others, [odd for odd in ODD if odd not in {".", ".."}], strict=True
        ):
            assert "?" not in request.target.partition("?limit")[0]
            segments = request.target.split("/")
            assert len(segments) == len(plain.target.split("/"))
            assert shape(request.target) == shape(plain.target)
            assert f"id{odd}" in map(unquote, segments)
            assert "x-evil" not in request.headers


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1))
def test_any_id_is_one_segment(id_: str) -> None:
    try:
        path = path_of("/threads/{thread_id}/runs", thread_id=id_)
    except ValueError as exc:
        assert str(exc).startswith("thread_id must be an id")  # noqa: PT017 -- one way of two
    else:
        assert re.fullmatch(r"/threads/[A-Za-z0-9_.~%-]+/runs", path)
        assert unquote(path.split("/")[2]) == id_
        assert path.split("/")[2] not in {".", ".."}


async def refused(*, match: str, call: Any = None, **options: Any) -> None:
    """Fail unless a request is refused before a connection is made, on one line."""
    async with wire(answer()) as server:
        options = {"api_key": "", "base_url": server.url, **options}
        request: dict[str, Any] = {"method": "GET", "path": "/x", **(call or {})}
        with pytest.raises((AsyncRunsError, ValueError, TypeError), match=match) as caught:
            async with Client(**options) as client:
                await client.request(**request)
        assert (server.requests, server.connections) == ([], 0)
        assert str(caught.value).isprintable()
        # A value may be a key.
        assert "Evil: yes" not in str(caught.value) or "method" in match


@pytest.mark.parametrize("bad", [*LINES, "a\0evil"])
async def test_no_header_takes_a_line_end(bad: str) -> None:
    await refused(call={"extra_headers": {"X-Mine": bad}}, match="header 'X-Mine' has")
    await refused(default_headers={"X-Mine": bad}, match="header 'X-Mine' has")
    await refused(organization=bad, match="header 'OpenAI-Organization' has")
    await refused(project=bad, match="header 'OpenAI-Project' has")
    await refused(api_key=bad, match="the API key has characters")
    await refused(api_key=lambda: bad, match="the API key has characters")
    await refused(default_headers={"Authorization": bad}, match="header 'Authorization' has")


@pytest.mark.parametrize("bad", ["X-A\r\nX-B", "X A", "X-A:", "", "X-\0", "X-\u00fc"])
async def test_no_header_s_name_is_anything_but_a_name(bad: str) -> None:
    await refused(call={"extra_headers": {bad: "x"}}, match="is no name of a header")
    await refused(default_headers={bad: "x"}, match="is no name of a header")


@pytest.mark.parametrize("bad", [b"bytes", 7, True])
async def test_a_header_s_value_is_a_string(bad: Any) -> None:
    await refused(call={"extra_headers": {"X-Mine": bad}}, match="header 'X-Mine' must be a string")


@pytest.mark.parametrize(
    "bad", ["GET /evil HTTP/1.1\r\nX-Evil: yes\r\n\r\nGET", "G T", "", "GET\n"]
)
async def test_no_method_is_anything_but_a_word(bad: str) -> None:
    await refused(call={"method": bad}, match="is no HTTP method")


@pytest.mark.parametrize("bad", LINES)
async def test_an_azure_key_takes_no_line_end(bad: str) -> None:
    async with wire(answer()) as server:
        url = server.url.removesuffix("/v1")
        for given_as in ("api_key", "azure_ad_token"):
            options: Any = {given_as: bad, "azure_endpoint": url, "api_version": "v"}
            async with AzureClient(**options) as client:
                with pytest.raises(AsyncRunsError, match="the API key has characters"):
                    await client.request("GET", "/x")
        assert server.requests == []


async def test_what_stands_in_a_body_or_a_query_is_quoted() -> None:
    async with wire(NO) as server, Client(api_key="", base_url=server.url) as client:
        for bad in LINES:
            with pytest.raises(AsyncRunsError):
                await client.threads.create(metadata={bad: bad})
            with pytest.raises(AsyncRunsError):
                await client.runs.list("thread_1", after=bad)
            with pytest.raises(AsyncRunsError):
                await client.request("GET", "/x", extra_query={bad: bad})
        sent = server.requests
    assert [json.loads(request.body)["metadata"] for request in sent[::3]] == [
        {bad: bad} for bad in LINES
    ]
    assert all("x-evil" not in request.headers for request in sent)
    assert len(sent) == 3 * len(LINES)


def arrived_plainly(request: Arrived) -> bool:
    return request.target.startswith("/v1") and "x-evil" not in request.headers


async def test_a_base_url_with_a_line_end_is_no_header() -> None:
    async with wire(answer()) as server:
        for bad in LINES:
            try:
                async with Client(api_key="", base_url=server.url + bad) as client:
                    await client.request("GET", "/x")
            except (AsyncRunsError, ValueError):
                continue
        assert all(map(arrived_plainly, server.requests))
