"""TLS: certificates are checked, and nothing stays open."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme

from asyncruns import APIConnectionError, Client
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, wire

if TYPE_CHECKING:
    from pathlib import Path

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
        with pytest.raises(APIConnectionError, match="the certificate is refused") as caught:
            await client.request("GET", "/x")
        assert (caught.value.retryable, caught.value.retries) == (False, 0)
        assert (server.requests, server.connections) == ([], 0)


@pytest.mark.parametrize("place", ["ssl", "connector"])
async def test_a_client_trusts_whom_it_is_told_to(
    place: str, tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    options: Any = {place: trusting if place == "ssl" else {"ssl": trusting}}
    async with (
        wire(answer(b"yes"), tls=tls) as server,
        Client(api_key="", base_url=server.url, **options) as client,
    ):
        assert await client.request("GET", "/x") == b"yes"


async def test_the_environment_names_authorities(
    tls: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with (
        wire(answer(b"yes"), tls=tls) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        assert await client.request("GET", "/x") == b"yes"


async def test_trust_is_a_setting_of_the_caller_s_session_if_there_is_one() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="ssl and connector are settings of the session"):
            Client(session=session, connector={"limit": 1})


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


async def test_another_certificate_than_the_pinned_one_is_not_tried_again(
    tls: ssl.SSLContext,
) -> None:
    pinned = {"ssl": aiohttp.Fingerprint(bytes(32))}
    async with (
        wire(answer(), tls=tls) as server,
        Client(api_key="", base_url=server.url, connector=pinned) as client,
    ):
        with pytest.raises(APIConnectionError, match=r"its fingerprint is [0-9a-f]{64}") as caught:
            await client.request("GET", "/x")
        assert (caught.value.retryable, caught.value.retries) == (False, 0)
