"""A bot behind a webhook: messages come in by HTTP, replies go out by HTTP.

    python -m asyncruns.examples.bot

    curl -X POST http://127.0.0.1:8001/messages -H 'Content-Type: application/json' \
        -d '{"id": "1", "conversation": "anna", "text": "Do I need an umbrella in Oslo?"}'

A chat platform's own webhook is a few lines around `take_message`. Replies are printed, or posted
to `--replies URL` as JSON: `conversation`, `kind`, `text` and `id`. Without `--assistant` the
emulator answers; with it, the server that OPENAI_BASE_URL names.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import os
import sys
from collections import OrderedDict
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from aiohttp import web

from asyncruns.examples.conversations import Busy, Conversations, Reply, Send
from asyncruns.examples.scenario import TOKEN_RATE, open_assistant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Posting", "main", "make_app", "serve"]

HOST: Final = "127.0.0.1"
MOST_SEEN: Final = 10_000
"""Ids of messages that are remembered: platforms send again what they think has not arrived."""
ATTEMPTS: Final = 3
"""How often a reply is posted before it is given up."""
REPLY_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)

CONVERSATIONS: Final = web.AppKey("conversations", Conversations)
SECRET: Final = web.AppKey("secret", str)
SEEN: Final = web.AppKey[OrderedDict[tuple[str, str], None]]("seen")


class Incoming(msgspec.Struct):
    """The body of a request: one message."""

    id: str
    """The same for every attempt to send it, and of no other message of the conversation."""
    conversation: str
    text: str


def make_app(conversations: Conversations, secret: str = "") -> web.Application:
    """Give the app around the conversations; a `secret` must come as the Bearer token."""
    app = web.Application()
    app[CONVERSATIONS], app[SECRET], app[SEEN] = conversations, secret, OrderedDict()
    app.router.add_post("/messages", take_message)
    return app


async def take_message(request: web.Request) -> web.Response:
    """Take a message and answer at once; what the run makes of it comes by and by."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    secret = request.app[SECRET].encode()
    if secret and not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret):
        return _refusal(401, "the Authorization header does not have the bot's secret")
    try:
        message = msgspec.json.decode(await request.read(), type=Incoming)
    except msgspec.MsgspecError as exc:
        return _refusal(400, f"send a message with id, conversation and text: {exc}")
    seen = request.app[SEEN]
    known_as = message.conversation, message.id
    if known_as not in seen:
        try:
            request.app[CONVERSATIONS].take(message.conversation, message.text)
        except Busy as exc:
            return _refusal(429, str(exc))
        seen[known_as] = None
        if len(seen) > MOST_SEEN:
            seen.popitem(last=False)
    return web.json_response({}, status=202)


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


class Posting:
    """Posts replies to a URL; only a partial text may get lost without another attempt."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, reply: Reply) -> None:
        """Post a reply; raises aiohttp's errors where every attempt fails."""
        attempts = 1 if reply.kind in {"partial", "typing"} else ATTEMPTS
        for left in reversed(range(attempts)):
            try:
                async with self._session.post(
                    self._url, json=asdict(reply), timeout=REPLY_TIMEOUT, raise_for_status=True
                ):
                    return
            except (aiohttp.ClientError, TimeoutError):
                if not left:
                    raise
                await asyncio.sleep(0.2 * 2 ** (attempts - left))


async def print_reply(reply: Reply) -> None:
    """Show a reply in the terminal."""
    print(f"{reply.conversation} ← {reply.kind:8}{reply.text}", flush=True)  # noqa: T201 -- its output


@asynccontextmanager
async def serve(
    conversations: Conversations, *, secret: str = "", port: int = 0
) -> AsyncGenerator[str, None]:
    """Serve the webhook within a block; gives its URL. Raises OSError where the port is taken."""
    runner = web.AppRunner(make_app(conversations, secret), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=1024).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}/messages"
    finally:
        await runner.cleanup()


async def _main(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        send: Send = print_reply
        if options.replies:
            send = Posting(await enter(aiohttp.ClientSession()), options.replies)
        client, assistant_id, tools = await enter(
            open_assistant(options.assistant, options.token_rate)
        )
        conversations = await enter(
            Conversations(client, assistant_id, send, tools, while_busy=options.while_busy)
        )
        secret = os.environ.get("BOT_SECRET", "")
        url = await enter(serve(conversations, secret=secret, port=options.port))
        print(f"Post messages to {url} (Ctrl-C ends)", flush=True)  # noqa: T201 -- its output
        await asyncio.Event().wait()


def main(arguments: list[str] | None = None) -> int:
    """Serve the bot until Ctrl-C; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m asyncruns.examples.bot",
        description="A bot behind a webhook. BOT_SECRET is the Bearer token that it asks for.",
    )
    parser.add_argument("--port", type=int, default=8001, help="0 takes a free one (8001)")
    parser.add_argument("--replies", metavar="URL", help="where replies go; printed without it")
    parser.add_argument(
        "--while-busy",
        choices=["wait", "cancel"],
        default="wait",
        help="what a message does that comes while a run is live (wait)",
    )
    parser.add_argument("--assistant", help="an assistant at the server of OPENAI_BASE_URL")
    parser.add_argument(
        "--token-rate", type=float, default=TOKEN_RATE, help="the emulator's deltas per second (25)"
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_main(options))
    except KeyboardInterrupt:
        return 0
    except OSError as exc:
        print(f"port {options.port} cannot be used: {exc.strerror}", file=sys.stderr)  # noqa: T201 -- its output
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
