"""A thousand streams at once on one client."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

import pytest

from asyncruns import Client
from asyncruns.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = 1000
FILES = 4 * STREAMS  # both ends of each connection are in this process


@pytest.fixture
def open_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"the system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.anyio
@pytest.mark.usefixtures("open_files")
async def test_a_thousand_streams_are_open_at_once_and_leave_nothing() -> None:
    all_open = asyncio.Barrier(STREAMS)
    async with Emulator() as emulator, Client(api_key="", base_url=emulator.base_url) as client:
        assistant = await client.assistants.create(model="m")

        async def one() -> str:
            stream = client.threads.create_and_run_stream(assistant_id=assistant.id)
            async with stream:
                await all_open.wait()
                return (await stream.get_final_run()).status

        statuses = await asyncio.gather(*(one() for _ in range(STREAMS)))
        assert statuses == ["completed"] * STREAMS
        connections = client._transport.connections
        assert not connections._slots._streams.locked()
        assert [*connections._streams] == []
