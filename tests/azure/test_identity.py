"""A credential of azure-identity itself, given its tokens by an identity endpoint on this machine."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from azure.identity import ManagedIdentityCredential as SyncManagedIdentity
from azure.identity.aio import ManagedIdentityCredential

from asyncruns import AzureClient
from asyncruns.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def identity_endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[list[str]]:
    """What a host in Azure offers to its programs; gives the resources that were asked for."""
    asked: list[str] = []

    async def give(request: web.Request) -> web.Response:
        assert request.headers["X-IDENTITY-HEADER"] == "this host"
        asked.append(request.query["resource"])
        token = {"access_token": "secret", "expires_on": str(int(time.time()) + 3600)}
        return web.json_response({**token, "resource": asked[-1], "token_type": "Bearer"})

    app = web.Application()
    app.router.add_get("/token", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "this host")
    try:
        yield asked
    finally:
        await runner.cleanup()


async def test_an_async_credential_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        identity_endpoint(monkeypatch) as asked,
        Emulator(api_key="secret") as emulator,
        ManagedIdentityCredential() as credential,
        AzureClient(project_endpoint=emulator.origin, credential=credential) as client,
    ):
        thread = await client.threads.create()
        assert (await client.threads.retrieve(thread.id)).id == thread.id
    assert asked == ["https://ai.azure.com"]


async def test_a_sync_credential_is_asked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SyncManagedIdentity()) as credential:
        async with (
            identity_endpoint(monkeypatch) as asked,
            Emulator(api_key="secret") as emulator,
            AzureClient(
                azure_endpoint=emulator.origin, api_version="v", credential=credential
            ) as client,
        ):
            await client.threads.create()
        assert asked == ["https://cognitiveservices.azure.com"]
