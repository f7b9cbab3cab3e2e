"""Redirects: followed within an origin, for GET; nothing goes anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncruns import APIStatusError, Client
from asyncruns.transport import Request
from tests.transport.wires import answer, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[Client], Awaitable[object]]

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
STATUSES = (301, 302, 303, 307, 308)


def moved(place: str, status: int = 307) -> bytes:
    return answer(b"", status=f"{status} Moved", headers=(f"Location: {place}",))


async def retrieve(client: Client) -> object:
    return await client.runs.retrieve("run_1", thread_id="thread_1", extra_query={"a": "1"})


async def modify(client: Client) -> object:
    return await client.runs.update("run_1", thread_id="thread_1", metadata={})


async def delete(client: Client) -> object:
    return await client.threads.delete("thread_1")


async def create(client: Client) -> object:
    return await client.threads.create()


async def stream(client: Client) -> object:
    request = Request(method="POST", path="/threads/runs", body=b"{}", repeatable=False)
    return await client._transport.open(request)


@pytest.mark.parametrize("status", STATUSES)
async def test_a_get_follows_within_its_origin(status: int) -> None:
    async with (
        wire(moved("/v2/elsewhere?b=2", status), moved("here", status), answer(RUN)) as server,
        Client(api_key="sk-1", base_url=server.url) as client,
    ):
        await retrieve(client)
        assert [request.target for request in server.requests] == [
            "/v1/threads/thread_1/runs/run_1?a=1",
            "/v2/elsewhere?b=2",
            "/v2/here",
        ]
        for request in server.requests:
            assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("call", [retrieve, modify, delete, create, stream])
@pytest.mark.parametrize("status", STATUSES)
async def test_nothing_goes_to_another_origin(call: Call, status: int) -> None:
    async with (
        wire(answer(RUN)) as other,
        wire(moved(f"{other.url}/elsewhere", status)) as server,
        aiohttp.ClientSession(cookies={"session": "mine"}) as session,
    ):
        headers = {"api-key": "sk-2", "Authorization": "Bearer sk-1"}
        async with Client(base_url=server.url, default_headers=headers, session=session) as client:
            with pytest.raises(
                APIStatusError, match=r"redirects to .*/elsewhere are not"
            ) as caught:
                await call(client)
        assert caught.value.status == status
        assert (len(server.requests), len(other.requests), other.connections) == (1, 0, 0)


@pytest.mark.parametrize("call", [modify, delete, create, stream])
async def test_only_a_get_follows(call: Call) -> None:
    async with (
        wire(moved("/v1/elsewhere"), answer(RUN)) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        with pytest.raises(APIStatusError, match="redirects to /v1/elsewhere are not followed"):
            await call(client)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "place",
    ["https://{host}/x", "//other.example/x", "http://{host}:99999/x", "http://[/x", "file:///x"],
)
async def test_another_scheme_host_or_port_is_another_origin(place: str) -> None:
    async with (
        wire(answer(RUN)) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        host = server.url.split("/")[2]
        async with wire(moved(place.format(host=host))) as redirecting:
            client._transport.settings = Client(
                api_key="", base_url=redirecting.url
            )._transport.settings
            with pytest.raises(APIStatusError, match="are not followed"):
                await retrieve(client)
        assert server.requests == []


@pytest.mark.parametrize("headers", [(), ("Location:",)], ids=["none", "empty"])
async def test_a_redirect_without_a_place_is_an_error(headers: tuple[str, ...]) -> None:
    moved_away = answer(b"", status="302 Found", headers=headers)
    async with wire(moved_away) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(APIStatusError, match=r"redirects to .*are not followed"):
            await retrieve(client)


async def test_a_status_that_names_no_place_is_an_error() -> None:
    unchanged = answer(b"", status="304 Same", headers=("Location: /v1/x",))
    async with wire(unchanged) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(APIStatusError) as caught:
            await retrieve(client)
        assert (caught.value.status, len(server.requests)) == (304, 1)


async def test_a_circle_ends() -> None:
    async with (
        wire(moved("/v1/again")) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        with pytest.raises(APIStatusError, match="redirects to /v1/again are not followed"):
            await retrieve(client)
        assert len(server.requests) == 1 + 5


async def test_the_body_of_a_redirect_is_left_alone() -> None:
    place: Any = ("Location: /v1/x",)
    async with (
        wire(answer(b"x" * 100_000, status="307 Moved", headers=place), answer(RUN)) as server,
        Client(api_key="", base_url=server.url, max_connections=1) as client,
    ):
        await retrieve(client)
        assert len(server.requests) == 2
