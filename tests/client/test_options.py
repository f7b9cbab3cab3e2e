"""A client with other settings: on the same connections, budget and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncruns import (
    APITimeoutError,
    AsyncRunsError,
    AzureClient,
    Client,
    InternalServerError,
    RetryPolicy,
    Timeout,
)
from tests.transport.wires import answer, hang, wire

if TYPE_CHECKING:
    from tests.transport.wires import Wire

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
FAILURE = answer(b"{}", status="500 No")


async def no_sleep(_: float) -> None:
    pass


def client_of(server: Wire) -> Client:
    return Client(
        api_key="sk-1",
        base_url=server.url,
        retries=RetryPolicy(sleep=no_sleep),
        default_headers={"X-A": "a", "X-B": "b"},
        default_query={"v": "1"},
    )


async def test_retries_are_a_setting_of_one_call() -> None:
    async with wire(FAILURE) as server, client_of(server) as client:
        for retries in (0, 4):
            before = len(server.requests)
            with pytest.raises(InternalServerError):
                await client.with_options(max_retries=retries).runs.retrieve("r", thread_id="t")
            assert len(server.requests) - before == retries + 1
        policy = RetryPolicy(max_retries=1, sleep=no_sleep)
        with pytest.raises(InternalServerError):
            await client.with_options(retries=policy).threads.retrieve("t")
        assert len(server.requests) == 1 + 5 + 2


async def test_resources_that_were_in_use_before_keep_the_client_that_they_belong_to() -> None:
    async with wire(answer(RUN)) as server, client_of(server) as client:
        names = ("runs", "threads", "messages", "assistants")
        before = [getattr(client, name) for name in names]
        other = client.with_options(default_headers={"X-A": "other"})
        for name, resource in zip(names, before, strict=True):
            assert getattr(client, name) is resource
            assert getattr(other, name) is getattr(other, name) is not resource
            assert getattr(other, name)._transport is other._transport
        for one in (client, other):
            await one.runs.retrieve("r", thread_id="t")
        assert [request.headers["x-a"] for request in server.requests] == ["a", "other"]


@pytest.mark.parametrize("timeout", [0.05, Timeout(total=0.05)])
async def test_the_timeout_is_a_setting_of_one_call(timeout: Timeout | float) -> None:
    async with wire(hang) as server, client_of(server) as client:
        with pytest.raises(APITimeoutError):
            await client.with_options(timeout=timeout, max_retries=0).threads.retrieve("t")
        assert client.with_options(timeout=None)._transport.settings.timeout.total is None
        assert client.with_options()._transport.settings == client._transport.settings


async def test_headers_and_query_are_added() -> None:
    async with wire(answer(RUN)) as server, client_of(server) as client:
        headers = {"x-a": "other", "X-B": None, "X-C": "c"}
        other = client.with_options(default_headers=headers, default_query={"w": "2"})
        await other.runs.retrieve("run_1", thread_id="t")
        await client.runs.retrieve("run_1", thread_id="t")
        changed, plain = server.requests
        assert changed.target.endswith("?v=1&w=2")
        assert (changed.headers["x-a"], changed.headers["x-c"]) == ("other", "c")
        assert "x-b" not in changed.headers
        assert changed.headers["authorization"] == "Bearer sk-1"
        assert plain.target.endswith("?v=1")
        assert (plain.headers["x-a"], plain.headers["x-b"]) == ("a", "b")


async def test_connections_are_shared_and_closed_together() -> None:
    async with wire(answer(RUN)) as server, client_of(server) as client:
        other = client.with_options(max_retries=0)
        await client.runs.retrieve("run_1", thread_id="t")
        await other.runs.retrieve("run_1", thread_id="t")
        assert server.connections == 1
        await other.aclose()
        with pytest.raises(AsyncRunsError, match="the client is closed"):
            await client.runs.retrieve("run_1", thread_id="t")


def test_the_kind_of_client_stays() -> None:
    client = AzureClient(azure_endpoint="https://x", api_key="k", api_version="v")
    assert type(client.with_options(timeout=1)) is AzureClient


async def test_hooks_are_added_and_the_client_itself_tells_no_more_than_before() -> None:
    told: list[str] = []
    async with (
        wire(FAILURE, answer(RUN)) as server,
        Client(
            api_key="",
            base_url=server.url,
            retries=RetryPolicy(sleep=no_sleep),
            on_retry=lambda info: told.append(f"client {info.attempt}"),
        ) as client,
    ):
        other = client.with_options(
            on_request=lambda info: told.append(f"request {info.attempt}"),
            on_response=lambda info: told.append(f"response {info.status}"),
            on_retry=lambda info: told.append(f"other {info.attempt}"),
        )
        await other.runs.retrieve("run_1", thread_id="t")
        assert told == [
            "request 1",
            "response 500",
            "client 1",
            "other 1",
            "request 2",
            "response 200",
        ]
        await client.runs.retrieve("run_1", thread_id="t")
        assert len(told) == 6


async def test_a_header_wins_whatever_its_case() -> None:
    async with wire(answer(RUN)) as server:
        async with Client(
            api_key="", base_url=server.url, default_headers={"openai-beta": "one"}
        ) as client:
            other = client.with_options(default_headers={"OpenAI-Beta": "two"})
            await client.threads.retrieve("t")
            await other.threads.retrieve("t")
        assert [request.headers["openai-beta"] for request in server.requests] == ["one", "two"]


async def test_another_budget_is_one_of_its_own() -> None:
    async with wire(FAILURE) as server, client_of(server) as client:
        poor = client.with_options(retries=RetryPolicy(sleep=no_sleep, budget=1))
        for options, attempts in ((poor, 2), (poor, 1), (client, 3)):
            server.requests.clear()
            with pytest.raises(InternalServerError):
                await options.threads.retrieve("t")
            assert len(server.requests) == attempts
