"""A server that writes down what arrives and says yes to everything."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from asyncruns import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

YES = {"id": "obj_1", "object": "list", "status": "queued", "deleted": True, "data": []}
"""An object of every kind, and an empty page."""


@dataclass
class Arrived:
    """A request as it came in."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any
    """Its JSON; None where there was no body."""


@dataclass
class Notebook:
    """What has arrived, and what is answered."""

    url: str = ""
    requests: list[Arrived] = field(default_factory=list[Arrived])
    answers: list[object] = field(default_factory=list[object])
    """JSON to answer with, one after the other; `YES` when they are used up."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            Arrived(
                request.method,
                request.raw_path.partition("?")[0],
                [*request.query.items()],
                {name.lower(): value for name, value in request.headers.items()},
                json.loads(body) if body else None,
            )
        )
        if isinstance(self.requests[-1].body, dict) and self.requests[-1].body.get("stream"):
            return web.Response(
                body=b"event: done\ndata: [DONE]\n\n", content_type="text/event-stream"
            )
        return web.json_response(self.answers.pop(0) if self.answers else YES)


@pytest.fixture
async def notebook(anyio_backend: str) -> AsyncIterator[Notebook]:
    del anyio_backend  # asked for so that the server lives in the test's loop
    notes = Notebook()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", notes.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    notes.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield notes
    await runner.cleanup()


@pytest.fixture
async def client(notebook: Notebook) -> AsyncIterator[Client]:
    async with Client(api_key="sk-1", base_url=notebook.url) as made:
        yield made
