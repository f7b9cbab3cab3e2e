"""The page of `asyncruns.examples.web` from FastAPI, under uvicorn.

python -m asyncruns.examples.web --fastapi
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import uvicorn
from fastapi import Body, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse

from asyncruns.examples.desk import PAGE, PAGE_HEADERS, Desk, Refusal
from asyncruns.relay import HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

__all__ = ["make_app", "serve"]

HOST: Final = "127.0.0.1"

# FastAPI takes no other body than application/json for these: other sites can send only forms.
JsonBody = Annotated[dict[str, Any], Body()]


def make_app(desk: Desk) -> FastAPI:
    """Give the app around a desk."""
    app = FastAPI(openapi_url=None)

    @app.get("/")
    async def show_page() -> Response:
        return Response(PAGE, headers=PAGE_HEADERS)

    @app.post("/runs", status_code=201)
    async def ask(body: JsonBody) -> dict[str, str]:
        return {"id": await desk.ask(body)}

    @app.get("/runs/{key}")
    async def show_question(key: str) -> dict[str, str]:
        return {"question": desk.answer(key).question}

    @app.get("/runs/{key}/events")
    async def watch(
        key: str, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        frames = desk.answer(key).broadcast.subscribe(last_event_id)
        return StreamingResponse(frames, headers=HEADERS)

    @app.post("/runs/{key}/stop")
    async def stop(key: str, _: JsonBody) -> dict[str, str]:
        await desk.stop(key)
        return {}

    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"error": str(refusal)}, refusal.status)

    @app.exception_handler(RequestValidationError)
    async def refuse_body(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": f"the body is no JSON object: {error.errors()}"}, 400)

    return app


class _Server(uvicorn.Server):
    """A server that leaves Ctrl-C to the program that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serve(desk: Desk, port: int = 0) -> AsyncGenerator[str, None]:
    """Serve the page within a block; gives its URL. Raises OSError where the port is taken.

    The desk is closed first: then the answers end by themselves, and the server need not cut them.
    """
    listening = socket.create_server((HOST, port))
    config = uvicorn.Config(
        make_app(desk),
        lifespan="off",
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://{HOST}:{listening.getsockname()[1]}/"
    finally:
        await desk.aclose()
        server.should_exit = True
        await serving
