"""AzureClient runs its whole flow against the emulator's Azure face."""

from __future__ import annotations

import time
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from asyncruns import AuthenticationError, AzureClient, Toolset
from asyncruns.emulator import Emulator

pytestmark = pytest.mark.anyio


class Credential:
    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("secret", int(time.time()) + 3600)


@pytest.mark.parametrize(
    "place",
    [
        {"azure_endpoint": "{}", "api_key": "secret", "api_version": "2024-05-01-preview"},
        {"azure_endpoint": "{}", "credential": Credential(), "api_version": "2024-05-01-preview"},
        {"project_endpoint": "{}", "credential": Credential()},
    ],
    ids=["key", "token", "project"],
)
async def test_a_run_goes_its_way(place: dict[str, Any]) -> None:
    async with Emulator(api_key="secret") as emulator:
        options: dict[str, Any] = {
            name: emulator.origin if value == "{}" else value for name, value in place.items()
        }
        async with AzureClient(**options) as client:
            assistant = await client.assistants.create(model="gpt-4o")
            thread = await client.threads.create()
            await client.messages.create(thread.id, role="user", content="How is Oslo?")
            async with client.runs.stream(
                thread_id=thread.id, assistant_id=assistant.id, toolset=Toolset()
            ) as stream:
                run = await stream.get_final_run()
            assert run.status == "completed"
            assert [step async for step in client.runs.steps.list(run.id, thread_id=thread.id)]
            assert (await client.threads.delete(thread.id)).deleted


async def test_a_wrong_key_is_refused() -> None:
    async with Emulator(api_key="secret") as emulator:
        options: Any = {"azure_endpoint": emulator.origin, "api_version": "v"}
        async with AzureClient(api_key="wrong", **options) as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.threads.create()
        assert "wrong" not in f"{caught.value!r} {caught.value}"
