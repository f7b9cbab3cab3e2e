"""Web backends around a relay, as their frameworks' documentation has them, on real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from aiohttp import web
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from asyncruns import APIStatusError
from asyncruns.relay import HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request

    from asyncruns.relay import Relay, Subscription

    Make = Callable[[], Relay | Subscription]


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncGenerator[str, None]:
    """An ASGI app under uvicorn; gives its URL."""
    config = uvicorn.Config(
        app,
        port=0,
        log_level="error",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 -- uvicorn sets no event
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def starlette_web(
    make: Make, http: str = "h11", middleware: Sequence[Middleware] = ()
) -> AsyncGenerator[str, None]:
    """Starlette: the response takes the relay as its body."""

    async def answer(_: Request) -> Response:
        frames = make()
        try:
            await frames.open()
        except APIStatusError as exc:
            return JSONResponse({"error": exc.message}, 502)
        return StreamingResponse(frames, headers=HEADERS)

    app = Starlette(routes=[Route("/", answer)], middleware=middleware)
    async with served(app, http=http) as url:
        yield url


@asynccontextmanager
async def fastapi_web(make: Make) -> AsyncGenerator[str, None]:
    """FastAPI, and a relay that is opened only as it is read."""
    app = FastAPI()

    @app.get("/")
    async def answer() -> StreamingResponse:
        return StreamingResponse(make(), headers=HEADERS)

    async with served(app) as url:
        yield url


@asynccontextmanager
async def aiohttp_web(make: Make, *, cancels: bool = False) -> AsyncGenerator[str, None]:
    """aiohttp.web, with and without handlers that are cancelled when their client leaves."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            async with make() as frames:
                response = web.StreamResponse(headers=HEADERS)
                await response.prepare(request)
                async for frame in frames:
                    await response.write(frame)
                return response
        except APIStatusError as exc:
            return web.json_response({"error": exc.message}, status=502)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=cancels)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def _pass(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


PASSING = Middleware(BaseHTTPMiddleware, dispatch=_pass)
"""A middleware that does nothing, but for moving the response to a task of its own."""
