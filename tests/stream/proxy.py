"""A TCP proxy in front of an HTTP server, which fails where a test tells it to.

A fault is a function that carries out one exchange in its own way: `proxy.plan(pattern, fault)`
gives it the next request that matches, and the ones after that as far as `times` reaches. Every
other request is relayed.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from tests.leaks import closed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CREATE = r"^POST \S+/runs "
SUBMIT = r"/submit_tool_outputs "
STREAMS = f"{CREATE}|{SUBMIT}"
CANCEL = r"/cancel "
RETRIEVE = r"^GET \S+/runs/[^/ ]+ "
LIST_RUNS = r"^GET \S+/runs\b[^/]* "


class Exchange:
    """One request of a client, and the way to its answer."""

    def __init__(self, request: bytes, upstream: Upstream, client: Client) -> None:
        self.request = request
        self.line = request.partition(b"\r\n")[0].decode()
        self.sent = bytearray()
        self._upstream = upstream
        self._client = client

    async def forward(self) -> None:
        """Let the server have the request."""
        await self._upstream.send(self.request)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The answer as it is on the wire: its head, then each HTTP chunk, or the body whole."""
        reader = self._upstream.reader
        head = await reader.readuntil(b"\r\n\r\n")
        yield head
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length is not None:
            body = await reader.readexactly(int(length[1]))
            self._upstream.is_free = True
            yield body
            return
        while not self._upstream.is_free:
            line = await reader.readuntil(b"\r\n")
            size = int(line, 16)
            piece = line + await reader.readexactly(size + 2)
            self._upstream.is_free = size == 0
            yield piece

    async def send(self, data: bytes) -> None:
        """Send the client some bytes, and wait until the kernel has them."""
        self.sent += data
        if self._client.writer.is_closing():  # uvloop's RuntimeError would say so otherwise
            raise ConnectionAbortedError("the client has left")
        self._client.writer.write(data)
        await self._client.writer.drain()

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the client's connection; with `reset`, as a host that does not know it does."""
        self._client.close(reset=reset)


Fault: TypeAlias = Callable[[Exchange], Awaitable[None]]


async def relay(exchange: Exchange) -> None:
    """No fault at all."""
    await exchange.forward()
    async for piece in exchange.pieces():
        await exchange.send(piece)


class Cut:
    """Cut the connection once so many events, or bytes with the heads, have been answered.

    It counts over all exchanges that it is given, and cuts one of them. After 0 events, the head
    alone has come.
    """

    def __init__(
        self, *, events: int | None = None, size: int | None = None, reset: bool = False
    ) -> None:
        self.done = False
        self._counts_events = events is not None
        self._left = (events if events is not None else size) or 0
        self._reset = reset

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.forward()
        async for piece in exchange.pieces():
            self._left -= is_event(piece) if self._counts_events else len(piece)
            if self.done or self._left > 0:
                await exchange.send(piece)
                continue
            self.done = True
            whole = len(piece)
            await exchange.send(piece[: whole if self._counts_events else whole + self._left])
            exchange.hang_up(reset=self._reset)
            return


def swallow(*, forward: bool = True, reset: bool = False) -> Fault:
    """Take the request, forward it or not, and close the connection without an answer."""

    async def act(exchange: Exchange) -> None:
        if forward:
            await exchange.forward()
            async for _ in exchange.pieces():
                break
        exchange.hang_up(reset=reset)

    return act


def stall(*, after: str, comments: bool = False) -> Fault:
    """Fall silent after an event, but for comments perhaps, until the client leaves.

    Without a name it does not even answer.
    """

    async def act(exchange: Exchange) -> None:
        await exchange.forward()
        mark = f"event: {after}\n".encode()
        async for piece in exchange.pieces():
            if after:
                await exchange.send(piece)
            if not after or mark in piece:
                break
        while True:
            await asyncio.sleep(0.02 if comments else 3600)
            await exchange.send(chunk(b": still here\n\n"))

    return act


def inject(data: bytes, *, after: str, then: str = "go on") -> Fault:
    """Send more after an event; then `go on`, `end` the body or `reset` the connection.

    `<id>` in the data stands for the id of the event's object.
    """

    async def act(exchange: Exchange) -> None:
        await exchange.forward()
        mark = f"event: {after}\n".encode()
        async for piece in exchange.pieces():
            await exchange.send(piece)
            if mark in piece:
                found = re.search(rb'"id":"([^"]+)"', piece)
                await exchange.send(chunk(data.replace(b"<id>", found[1] if found else b"")))
                if then == "end":
                    await exchange.send(chunk(b""))
                elif then == "reset":
                    exchange.hang_up(reset=True)
                if then != "go on":
                    return

    return act


def answer(status: str, body: bytes = b"{}", *, kind: str = "application/json") -> Fault:
    """Answer in the server's place."""

    async def act(exchange: Exchange) -> None:
        head = (
            f"HTTP/1.1 {status}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
        )
        await exchange.send("\r\n".join([*head, "", ""]).encode() + body)

    return act


@dataclass
class Plan:
    """A fault that waits for its requests."""

    pattern: re.Pattern[str]
    fault: Fault
    skip: int
    times: float
    met: int = 0

    def takes(self, line: str) -> bool:
        """Whether it is to carry out this request."""
        if not self.pattern.search(line):
            return False
        self.met += 1
        return self.skip < self.met <= self.skip + self.times


class Upstream:
    """The proxy's own connection to the server, made when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self.writers: list[asyncio.StreamWriter] = []
        """Of the connections there have been; the last one may be open."""
        self.reader: asyncio.StreamReader
        self.is_free = False
        """Whether it can be used again: all of the last answer has been read."""

    async def send(self, data: bytes) -> None:
        """Send a request, over a new connection unless the last one is free."""
        if not self.is_free:
            if self.writers:
                self.writers[-1].close()
            self.reader, writer = await asyncio.open_connection(*self._address)
            self.writers.append(writer)
        self.is_free = False
        self.writers[-1].write(data)
        await self.writers[-1].drain()


@dataclass
class Client:
    """A connection that a client has made."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    early: bytes = b""
    """What it sent before the last answer was over."""

    def close(self, *, reset: bool) -> None:
        transport: Any = self.writer.transport
        if reset and not transport.is_closing():
            now = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, now
            )
            transport.abort()
        self.writer.close()


@dataclass
class Proxy:
    """What the proxy has seen, and what it is to do."""

    url: str
    """The server's URL, by way of the proxy."""
    lines: list[str] = field(default_factory=list[str])
    """The first line of each request."""
    answers: list[bytearray] = field(default_factory=list[bytearray])
    """What each request was answered with so far."""
    open: int = 0
    """How many connections of clients are open."""
    accepted: int = 0
    """How many there have been."""
    down: bool = False
    """Whether connections are closed as soon as they are made."""
    plans: list[Plan] = field(default_factory=list[Plan])

    def plan(self, pattern: str, fault: Fault, *, skip: int = 0, times: float = 1) -> None:
        """Give the fault the requests whose first line matches, after the first `skip` of them."""
        self.plans.append(Plan(re.compile(pattern), fault, skip, times))

    def forget(self) -> None:
        """Begin anew, without faults."""
        self.plans.clear()
        self.lines.clear()
        self.answers.clear()

    def count(self, pattern: str) -> int:
        """How many requests have matched."""
        return sum(1 for line in self.lines if re.search(pattern, line))

    async def serve(self, upstream: Upstream, client: Client) -> None:
        """Carry out the requests of one connection."""
        self.accepted += 1
        self.open += 1
        client.writer.transport.set_write_buffer_limits(high=0)
        try:
            while not (self.down or client.writer.is_closing()):
                request = await _read_request(client)
                await self._carry_out(Exchange(request, upstream, client), client)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            await closed(client.writer, *upstream.writers)

    async def _carry_out(self, exchange: Exchange, client: Client) -> None:
        self.lines.append(exchange.line)
        self.answers.append(exchange.sent)
        faults = [plan.fault for plan in self.plans if plan.takes(exchange.line)]
        acting = asyncio.ensure_future((faults or [relay])[0](exchange))
        leaving = asyncio.ensure_future(client.reader.read(1))
        try:
            await asyncio.wait({acting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not acting.done():
                raise ConnectionAbortedError("the client has left")
            await acting
        finally:
            for running in (acting, leaving):
                running.cancel()
            _, early = await asyncio.gather(acting, leaving, return_exceptions=True)
            client.early = early if isinstance(early, bytes) else b""


@asynccontextmanager
async def proxied(url: str) -> AsyncGenerator[Proxy, None]:
    """A proxy in front of the server at a URL."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(proxy.serve(Upstream(host, port), Client(reader, writer)))
        tasks.add(serving)
        serving.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy = Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{parts.path}")
    try:
        yield proxy
    finally:
        server.close()
        for serving in [*tasks]:
            serving.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def chunk(data: bytes) -> bytes:
    """Some bytes as an HTTP chunk; the last one, where there are none."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def body_of(answer: bytes | bytearray) -> bytes:
    """The body in the HTTP chunks of an answer, as far as it goes."""
    rest = bytes(answer).partition(b"\r\n\r\n")[2]
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


def is_event(piece: bytes) -> bool:
    """Whether a piece of an answer is an event: the emulator writes one an HTTP chunk."""
    return piece.endswith(b"\n\n\r\n")


async def _read_request(client: Client) -> bytes:
    head = client.early + await client.reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + (await client.reader.readexactly(int(length[1])) if length else b"")
