"""A page that asks questions and shows the runs live, on aiohttp.web.

    python -m asyncruns.examples.web

`--fastapi` serves the same page from FastAPI (the extra `examples`). Without `--assistant` the
emulator answers; with it, the server that OPENAI_BASE_URL names.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from asyncruns.examples.desk import PAGE, PAGE_HEADERS, PATIENCE, Desk, Refusal
from asyncruns.examples.scenario import TOKEN_RATE, open_assistant
from asyncruns.relay import HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["main", "make_app", "open_desk", "serve"]

HOST: Final = "127.0.0.1"
DESK: Final = web.AppKey("desk", Desk)


def make_app(desk: Desk) -> web.Application:
    """Give the app around a desk; whoever runs it sets `handler_cancellation`."""
    app = web.Application(middlewares=[_refuse])
    app[DESK] = desk
    app.router.add_get("/", show_page)
    app.router.add_post("/runs", ask)
    app.router.add_get("/runs/{key}", show_question)
    app.router.add_get("/runs/{key}/events", watch)
    app.router.add_post("/runs/{key}/stop", stop)
    return app


async def show_page(_: web.Request) -> web.Response:
    """The page."""
    return web.Response(body=PAGE, headers=PAGE_HEADERS)


async def ask(request: web.Request) -> web.Response:
    """Create a run, and give the key under which it is watched."""
    key = await request.app[DESK].ask(await _body(request))
    return web.json_response({"id": key}, status=201)


async def show_question(request: web.Request) -> web.Response:
    """What was asked."""
    answer = request.app[DESK].answer(request.match_info["key"])
    return web.json_response({"question": answer.question})


async def watch(request: web.Request) -> web.StreamResponse:
    """The events of a run, from where the browser has them."""
    answer = request.app[DESK].answer(request.match_info["key"])
    response = web.StreamResponse(headers=HEADERS)
    async with answer.broadcast.subscribe(request.headers.get("Last-Event-ID")) as frames:
        with suppress(ConnectionError):  # the browser has gone
            await response.prepare(request)
            async for frame in frames:
                await response.write(frame)
    return response


async def stop(request: web.Request) -> web.Response:
    """Cancel a run."""
    await _body(request)
    await request.app[DESK].stop(request.match_info["key"])
    return web.json_response({})


async def _body(request: web.Request) -> Any:
    # Other sites can send forms from a browser, but no JSON.
    if request.content_type != "application/json":
        raise Refusal(415, "send application/json")
    try:
        return await request.json()
    except ValueError as exc:
        raise Refusal(400, f"the body is no JSON: {exc}") from exc


@web.middleware
async def _refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as exc:
        return web.json_response({"error": str(exc)}, status=exc.status)


@asynccontextmanager
async def serve(desk: Desk, port: int = 0) -> AsyncGenerator[str, None]:
    """Serve the page within a block; gives its URL. Raises OSError where the port is taken.

    The desk is closed first: then the answers end by themselves, and the server need not cut them.
    """
    # Without handler_cancellation, a browser that leaves is noticed at the next frame only.
    runner = web.AppRunner(make_app(desk), handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}/"
    finally:
        await desk.aclose()
        await runner.cleanup()


@asynccontextmanager
async def open_desk(
    assistant_id: str | None, *, token_rate: float, patience: float
) -> AsyncGenerator[Desk, None]:
    """Open a desk whose runs are the emulator's, or an assistant's at the server of OPENAI_*."""
    async with (
        open_assistant(assistant_id, token_rate) as (client, opened_id, tools),
        Desk(client, opened_id, tools, patience=patience) as desk,
    ):
        yield desk


async def _main(options: argparse.Namespace) -> None:
    server = serve
    if options.fastapi:
        from asyncruns.examples.web_fastapi import serve as server  # noqa: PLC0415 -- an extra
    async with (
        open_desk(
            options.assistant, token_rate=options.token_rate, patience=options.patience
        ) as desk,
        server(desk, options.port) as url,
    ):
        print(f"Open {url} (Ctrl-C ends)", flush=True)  # noqa: T201 -- a program's output
        await asyncio.Event().wait()


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until Ctrl-C; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m asyncruns.examples.web",
        description="Serve a page that asks questions and shows the runs live.",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    parser.add_argument("--fastapi", action="store_true", help="FastAPI in place of aiohttp.web")
    parser.add_argument("--assistant", help="an assistant at the server of OPENAI_BASE_URL")
    parser.add_argument(
        "--token-rate", type=float, default=TOKEN_RATE, help="the emulator's deltas per second (25)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        help="seconds until a run that nobody watches is cancelled (10)",
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_main(options))
    except KeyboardInterrupt:
        return 0
    except ModuleNotFoundError as exc:
        if exc.name not in {"fastapi", "uvicorn"}:
            raise
        print(f"--fastapi needs {exc.name}: pip install 'asyncruns[examples]'", file=sys.stderr)  # noqa: T201 -- a command speaks
        return 1
    except OSError as exc:
        print(f"port {options.port} cannot be used: {exc.strerror}", file=sys.stderr)  # noqa: T201 -- its output
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
