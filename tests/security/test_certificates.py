"""TLS is verified unless a caller says whom else to trust: names, dates, authorities, downgrades."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from asyncruns import APIConnectionError, APIStatusError, Client
from tests.leaks import closed
from tests.transport.wires import answer, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[Client], Awaitable[object]]

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"completed"}'
KEY = "sk-very-secret-1234"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """What a server shows: a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


async def retrieve(client: Client) -> object:
    return await client.runs.retrieve("run_1", thread_id="thread_1")


async def create(client: Client) -> object:
    return await client.runs.create("thread_1", assistant_id="asst_1")


async def stream(client: Client) -> object:
    async with client.runs.stream(thread_id="thread_1", assistant_id="asst_1") as entered:
        return await entered.get_final_run()


CERTIFICATES: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "of another host": (["elsewhere.example"], {}, "IP address mismatch"),
    "of another address": (["127.0.0.2"], {}, "IP address mismatch"),
    "that has expired": (
        ["127.0.0.1"],
        {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)},
        "certificate has expired",
    ),
    "that is not valid yet": (
        ["127.0.0.1"],
        {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)},
        "certificate is not yet valid",
    ),
}


@pytest.mark.parametrize("call", [retrieve, create, stream])
@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_a_certificate_is_refused_before_anything_is_sent(
    kind: str, call: Call, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    names, options, said = CERTIFICATES[kind]
    async with (
        wire(answer(RUN), tls=serving(authority, *names, **options)) as server,
        Client(api_key=KEY, base_url=server.url, ssl=trusting) as client,
    ):
        with pytest.raises(APIConnectionError, match=f"the certificate is refused.*{said}") as no:
            await call(client)
        assert (type(no.value), no.value.retryable, no.value.retries) == (
            APIConnectionError,
            False,
            0,
        )
        assert server.requests == []


async def test_a_name_is_checked_where_the_host_has_one(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    for name, is_good in (("localhost", True), ("localhost.example", False)):
        async with wire(answer(RUN), tls=serving(authority, name)) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            async with Client(api_key=KEY, base_url=url, ssl=trusting) as client:
                if is_good:
                    await retrieve(client)
                else:
                    with pytest.raises(APIConnectionError, match="Hostname mismatch"):
                        await retrieve(client)
            assert len(server.requests) == is_good


@pytest.mark.parametrize("call", [retrieve, create, stream])
async def test_an_authority_that_is_not_trusted_by_default_is_refused(
    call: Call, authority: trustme.CA
) -> None:
    async with (
        wire(answer(RUN), tls=serving(authority, "127.0.0.1")) as server,
        Client(api_key=KEY, base_url=server.url) as client,
    ):
        with pytest.raises(APIConnectionError, match=r"the certificate is refused.*issuer|signed"):
            await call(client)
        assert server.requests == []


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear() -> None:
    heard: list[bytes] = []

    async def answer_in_the_clear(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        heard.append(await reader.read(2**16))
        writer.write(answer(RUN))
        await closed(writer)

    async with await asyncio.start_server(answer_in_the_clear, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with Client(api_key=KEY, base_url=url, max_retries=0) as client:
            with pytest.raises(APIConnectionError, match="no TLS connection could be made"):
                await retrieve(client)
    assert heard
    assert not any(KEY.encode() in said for said in heard)


async def test_a_redirect_out_of_tls_is_not_followed(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with wire(answer(RUN)) as plain:
        moved = answer(b"", status="302 Found", headers=(f"Location: {plain.url}/x",))
        async with (
            wire(moved, tls=serving(authority, "127.0.0.1")) as server,
            Client(api_key=KEY, base_url=server.url, ssl=trusting) as client,
        ):
            with pytest.raises(APIStatusError, match="are not followed"):
                await retrieve(client)
        assert (plain.requests, plain.connections) == ([], 0)
