"""How a client is made, used and misused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns import (
    AmbiguousRequestError,
    APIConnectionError,
    AsyncRunsError,
    AzureClient,
    Client,
    InternalServerError,
)
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, hang, until, wire

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-secret-1234"


@pytest.mark.anyio
async def test_a_missing_key_is_said_at_the_first_request() -> None:
    async with Client(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(
            AsyncRunsError, match="no API key: pass api_key=… or set OPENAI_API_KEY"
        ):
            await client.request("GET", "/x")


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["sk-1\n", "schlüssel", "a\rb"])
async def test_a_key_that_no_header_can_hold_is_said_without_showing_it(key: str) -> None:
    async with Client(api_key=key, base_url="http://127.0.0.1:9") as client:
        with pytest.raises(AsyncRunsError, match="the API key has characters") as caught:
            await client.request("GET", "/x")
    assert key not in str(caught.value)


@pytest.mark.anyio
async def test_a_closed_client_says_so() -> None:
    async with wire(answer()) as server:
        async with Client(api_key="", base_url=server.url) as client:
            await client.request("GET", "/x")
        await client.aclose()
        with pytest.raises(AsyncRunsError, match="the client is closed"):
            await client.runs.retrieve("run_1", thread_id="thread_1")


@pytest.mark.anyio
async def test_a_client_that_was_never_used_can_be_closed() -> None:
    await Client().aclose()


def test_a_client_made_without_a_loop_works_in_one_loop_and_refuses_a_second() -> None:
    client = Client(api_key="")

    async def use() -> None:
        async with wire(answer()) as server:
            client._transport.settings = Client(api_key="", base_url=server.url)._transport.settings
            await client.request("GET", "/x")

    asyncio.run(use())
    with pytest.raises(AsyncRunsError, match="in use on another event loop"):
        asyncio.run(use())
    asyncio.run(client.aclose())


def test_a_client_cannot_be_closed_from_another_loop_while_its_own_runs() -> None:
    async def use() -> None:
        async with wire(answer()) as server, Client(api_key="", base_url=server.url) as client:
            await client.request("GET", "/x")
            with pytest.raises(AsyncRunsError, match="in use on another event loop"):
                await asyncio.to_thread(asyncio.run, client.aclose())

    asyncio.run(use())


@pytest.mark.anyio
async def test_a_session_of_the_caller_s_own_is_used_and_not_closed() -> None:
    async with (
        wire(answer()) as server,
        aiohttp.ClientSession(headers={"X-Mine": "yes"}, raise_for_status=True) as session,
    ):
        async with Client(api_key="", base_url=server.url, session=session) as client:
            await client.request("GET", "/x")
        assert not session.closed
        assert server.requests[0].headers["x-mine"] == "yes"
        with pytest.raises(AsyncRunsError, match="the client is closed"):
            await client.request("GET", "/x")


@pytest.mark.anyio
async def test_a_middleware_of_the_caller_s_session_sees_the_body() -> None:
    seen: list[bytes] = []

    async def look(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if isinstance(request.body, aiohttp.Payload):
            seen.append(await request.body.as_bytes())
        return await handler(request)

    async with (
        wire(answer()) as server,
        aiohttp.ClientSession(middlewares=(look,)) as session,
        Client(api_key="", base_url=server.url, session=session) as client,
    ):
        await client.request("POST", "/x", json={"a": "ö"})
        assert seen == [server.requests[0].body] == ['{"a":"ö"}'.encode()]


@pytest.mark.anyio
async def test_a_session_that_its_owner_has_closed_is_said() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with Client(api_key="", session=session) as client:
        with pytest.raises(AsyncRunsError, match="the session that was given to the client is"):
            await client.request("GET", "/x")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "limits", [{"limit": 4}, {"limit_per_host": 4}, {"limit": 4, "limit_per_host": 9}]
)
async def test_streams_leave_room_in_a_session_s_own_limit_too(limits: Any) -> None:
    connector = aiohttp.TCPConnector(**limits)
    async with (
        wire(STREAM_HEAD, STREAM_HEAD, answer(b"through")) as server,
        aiohttp.ClientSession(connector=connector) as session,
        Client(api_key="", base_url=server.url, session=session, timeout=0.2) as client,
    ):
        request = Request(method="GET", path="/x")
        live = [await client._transport.open(request) for _ in range(2)]
        assert await client.request("POST", "/cancel") == b"through"
        with pytest.raises(AsyncRunsError, match="none of the client's 2 connections"):
            await client._transport.open(request)
        for stream in live:
            await stream.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "api.example/v1",
        "ftp://x/v1",
        "http://",
        "http://u:p@x/v1",
        "http://x/?a=1",
        "http://x/#a",
        "http://x:65536/",
        "http://x:port/",
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url must") as caught:
        Client(base_url=url)
    assert "u:p" not in str(caught.value)


def test_a_client_has_room_for_one_stream_at_least() -> None:
    with pytest.raises(ValueError, match="max_connections must be at least 1, not 0"):
        Client(max_connections=0)


def test_the_key_shows_nowhere() -> None:
    client = Client(api_key=KEY, default_headers={"X-Secret": KEY}, default_query={"k": KEY})
    transport = client._transport
    for thing in (
        client,
        transport,
        transport.settings,
        transport.settings.credential,
        client.runs,
    ):
        assert KEY not in repr(thing)
        assert KEY not in str(thing)
    assert repr(client) == "Client(base_url='https://api.openai.com/v1')"


def test_arguments_are_keywords_only() -> None:
    make: Any = Client
    with pytest.raises(TypeError):
        make("sk-1")


@pytest.mark.anyio
async def test_a_proxy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(answer(b"via")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://me:pw@"))
        async with Client(api_key=KEY, base_url="http://runs.example/v1") as client:
            assert await client.request("GET", "/x") == b"via"
        assert proxy.requests[0].target == "http://runs.example/v1/x"
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


@pytest.mark.anyio
async def test_no_proxy_is_honoured_and_this_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with wire(answer(b"via")) as proxy, wire(answer(b"direct")) as server:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            async with Client(api_key="", base_url=url) as client:
                assert await client.request("GET", "/x") == b"direct"
        monkeypatch.setenv("NO_PROXY", "runs.invalid")
        async with Client(api_key="", max_retries=0, base_url="http://runs.invalid/v1") as client:
            with pytest.raises(AsyncRunsError, match="the host's name has no address"):
                await client.request("GET", "/x")
        assert proxy.requests == []


@pytest.mark.anyio
async def test_a_proxy_that_cannot_be_used_is_not_passed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:pw@127.0.0.1:1080")
    async with Client(api_key="", base_url="http://runs.example/v1") as client:
        with pytest.raises(AsyncRunsError, match="no http or https URL") as caught:
            await client.request("GET", "/x")
    assert "pw" not in str(caught.value)


@pytest.mark.anyio
async def test_a_proxy_that_refuses_is_said_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with wire(answer(b"", status="407 Who are you")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://me:pw@"))
        client = Client(api_key=KEY, base_url="https://runs.example/v1", max_retries=0)
        async with client:
            with pytest.raises(APIConnectionError, match="the proxy refuses to connect") as caught:
                await client.threads.create()
        assert type(caught.value) is APIConnectionError
        assert [request.method for request in proxy.requests] == ["CONNECT"]
        assert "authorization" not in proxy.requests[0].headers
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "pw" not in shown
    assert KEY not in shown


@pytest.mark.anyio
async def test_netrc_is_never_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password from-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with wire(answer()) as proxy, wire(answer()) as server:
        async with Client(api_key="", base_url=server.url) as client:
            await client.request("GET", "/x")
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with Client(api_key="", base_url="http://runs.example/v1") as client:
            await client.request("GET", "/x")
        for request in (*server.requests, *proxy.requests):
            assert {"authorization", "proxy-authorization"}.isdisjoint(request.headers)


def test_an_empty_base_url_does_not_send_the_key_to_another_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind in (Client, AzureClient):
        with pytest.raises(ValueError, match="base_url is empty"):
            kind(api_key=KEY, base_url="")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert "https://api.openai.com/v1" in repr(Client())


@pytest.mark.anyio
async def test_a_session_that_reads_netrc_is_refused() -> None:
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(ValueError, match="trust_env=True sends what netrc holds"):
            Client(api_key=KEY, session=session)


@pytest.mark.parametrize("name", ["limit", "limit_per_host"])
def test_a_limit_of_the_connector_is_max_connections(name: str) -> None:
    with pytest.raises(ValueError, match="pass max_connections"):
        Client(api_key=KEY, connector={name: 1})


@pytest.mark.anyio
async def test_closing_ends_what_waits_on_a_session_of_the_caller_s() -> None:
    async with (
        aiohttp.ClientSession() as session,
        wire(hang) as server,
    ):
        client = Client(api_key="", base_url=server.url, session=session)
        request = asyncio.create_task(client.threads.retrieve("t"))
        creating = asyncio.create_task(client.runs.create("t", assistant_id="a"))
        await until(lambda: len(server.requests) == 2)
        await client.aclose()
        with pytest.raises(APIConnectionError, match="the client was closed"):
            await request
        with pytest.raises(AmbiguousRequestError, match="the client was closed"):
            await creating
        assert not session.closed
        await until(lambda: server.hung_up == 2)


@pytest.mark.anyio
async def test_closing_ends_the_pause_before_a_retry() -> None:
    busy = answer(status="500 No", headers=("Retry-After: 100",))
    async with wire(busy) as server, Client(api_key="", base_url=server.url) as client:
        request = asyncio.create_task(client.threads.retrieve("t"))
        await until(lambda: server.requests)
        await asyncio.sleep(0.1)
        await client.aclose()
        with pytest.raises(AsyncRunsError, match="sent again after: 500") as caught:
            await request
        assert isinstance(caught.value.__cause__, InternalServerError)


@pytest.mark.anyio
async def test_no_error_holds_the_key_in_its_context_either() -> None:
    async with (
        wire(b"garbage\r\n\r\n") as server,
        Client(api_key=KEY, base_url=server.url, max_retries=0) as client,
    ):
        with pytest.raises(APIConnectionError, match="the answer is not HTTP") as caught:
            await client.threads.retrieve("t")
    seen: list[BaseException] = []
    following: list[BaseException | None] = [caught.value]
    while following:
        exc = following.pop()
        if exc is not None and exc not in seen:
            seen.append(exc)
            following += [exc.__cause__, exc.__context__]
    assert KEY not in "".join(map(repr, seen))
