"""TLS: certificates are checked, and nothing stays open."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
import trustme

from asyncruns import APIConnectionError, Client
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, wire

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    async with wire(answer(), tls=tls) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(APIConnectionError, match="the certificate is refused"):
            await client.threads.create()
        assert server.requests == []


async def test_a_session_s_own_trust_is_used_and_closing_leaves_nothing_open(
    tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        wire(STREAM_HEAD, tls=tls) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
    ):
        client = Client(api_key="", base_url=server.url, session=session)
        stream = await client._transport.open(Request(method="GET", path="/x"))
        await client.aclose()
        assert not session.closed
        await stream.aclose()
