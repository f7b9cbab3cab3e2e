"""A server at socket level, scripted answer by answer, for what no well-behaved server does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.leaks import closed

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Answer: TypeAlias = "bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]"


@dataclass
class Arrived:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """What the scripted server has seen."""

    url: str
    requests: list[Arrived] = field(default_factory=list[Arrived])
    connections: int = 0
    hung_up: int = 0
    """How many connections the client has closed."""


def answer(
    body: bytes = b"{}",
    *,
    status: str = "200 OK",
    kind: str | None = "application/json",
    headers: tuple[str, ...] = (),
) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if kind:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join([*lines, "", ""]).encode() + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"X-Request-Id: req_1\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}".encode() + b"\r\n" + data + b"\r\n"


async def hang(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without a word."""
    writer.close()


def then_hang_up(data: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Send something, and close the connection."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return act


@asynccontextmanager
async def wire(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Wire, None]:
    """Serve the answers in their order, the last one again and again."""
    seen = Wire("")
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while not writer.is_closing():
                seen.requests.append(await _read_request(reader))
                step = answers[min(len(seen.requests), len(answers)) - 1]
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                    continue
                gone = asyncio.create_task(reader.read(1))
                acting = asyncio.ensure_future(step(writer))
                await asyncio.wait({gone, acting}, return_when=asyncio.FIRST_COMPLETED)
                if not acting.done():
                    seen.hung_up += 1
                    writer.close()
                for running in (gone, acting):
                    running.cancel()
                # Two readers at a time are one too many; and the client may have hung up.
                await asyncio.gather(gone, acting, return_exceptions=True)
        except (asyncio.IncompleteReadError, ConnectionError):
            seen.hung_up += 1
        finally:
            await closed(writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    seen.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
    try:
        yield seen
    finally:
        # A client that gave up early may leave a connection that is still to be accepted.
        await asyncio.sleep(0.001)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the other side of a socket sees a moment later."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- the other side sets no event of ours
            await asyncio.sleep(0.001)


async def _read_request(reader: asyncio.StreamReader) -> Arrived:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Arrived(method, target, headers, body)
