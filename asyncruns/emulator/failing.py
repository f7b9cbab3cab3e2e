"""A fault and the answer that it takes to what goes over the wire.

Answers that are well-formed HTTP are aiohttp's. The others begin as those, and then the connection
itself is made to fail: nothing here holds more of a body than one piece.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import zlib
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiohttp import web

from asyncruns.emulator.edits import EDITS
from asyncruns.emulator.errors import ApiError
from asyncruns.emulator.records import encode
from asyncruns.emulator.streams import EVENT_STREAM, framed, send

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from asyncruns.emulator.clock import Clock
    from asyncruns.emulator.dialects import Dialect
    from asyncruns.emulator.endpoints import Answer
    from asyncruns.emulator.faults import Fault

JSON: Final = "application/json"
PIECE: Final = 64 * 1024
"""How many bytes of something big are sent at a time."""
LOOK: Final = 0.01
"""Seconds between two looks whether a client has left: aiohttp does not say so by itself."""
PAGE: Final = b"<!DOCTYPE html><html><body><h1>One moment, please</h1></body></html>"
ELSEWHERE: Final = "http://127.0.0.2:9/v1/elsewhere"
NO_HTTP: Final = b"\x15\x03\x01 This is not HTTP.\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and what may be done about it."""

    request: web.Request
    carry_out: Callable[[], Answer]
    """Does what the request asks; raises ApiError."""
    dialect: Dialect
    clock: Clock
    stopping: asyncio.Event
    """Set when the server ends."""
    take_down: Callable[[float | None], None]
    """Reset every connection and close the port, for so many seconds."""

    @property
    def has_left(self) -> bool:
        """Whether the client has gone, or the server is to go."""
        transport = self.request.transport
        return transport is None or transport.is_closing() or self.stopping.is_set()

    async def wait(self, seconds: float | None = None) -> None:
        """Do nothing until the client leaves, or for so many seconds of the emulator's clock."""
        ends = None if seconds is None else self.clock.now() + seconds
        while not self.has_left and (ends is None or self.clock.now() < ends):
            try:
                async with asyncio.timeout(LOOK):
                    await self.stopping.wait()
            except TimeoutError:
                continue


class _Over(web.StreamResponse):
    """An answer of which no more is to be sent: aiohttp closes its connection."""

    async def prepare(self, request: web.BaseRequest) -> None:
        raise ConnectionResetError(f"the answer to {request.path} is over")


async def act(fault: Fault, exchange: Exchange) -> web.StreamResponse:
    """Answer a request as its fault has it. Raises ApiError where the request itself is wrong."""
    answer = exchange.carry_out() if fault.is_carried_out else None
    try:
        return await _ACTS[fault.kind](fault, exchange, answer)
    except ConnectionError:  # the client has left
        return _Over()
    finally:
        if answer is not None and answer.stream is not None:
            answer.stream.close()


# In the server's place


async def _html(fault: Fault, _exchange: Exchange, _: object) -> web.StreamResponse:
    headers = _retry_after(fault)
    return web.Response(
        body=PAGE, status=fault.status or 200, headers=headers, content_type="text/html"
    )


async def _json(_fault: Fault, _exchange: Exchange, _: object) -> web.StreamResponse:
    return web.Response(body=encode({"message": "All is well."}), content_type=JSON)


async def _status(fault: Fault, _exchange: Exchange, _: object) -> web.StreamResponse:
    error = ApiError(fault.status or 500, "The server is not well.", type="server_error")
    headers = _retry_after(fault)
    return web.Response(
        body=encode(error.body), status=error.status, headers=headers, content_type=JSON
    )


async def _redirect(fault: Fault, _exchange: Exchange, _: object) -> web.StreamResponse:
    headers = {"Location": fault.location or ELSEWHERE}
    return web.Response(status=fault.status or 307, headers=headers)


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}


# Broken connections


async def _break_off(fault: Fault, exchange: Exchange, answer: Answer | None) -> web.StreamResponse:
    """Send the answer up to the place, or to its end, and let the connection fail there."""
    if answer is None:
        await _END[fault.kind](fault, exchange)
        return _Over()
    response, pieces = _begun(exchange, answer)
    if fault.kind == "truncate":
        response.content_length = None  # then it goes in chunks
    async with aclosing(pieces):
        rest = b""
        if fault.has_place or fault.kind == "truncate":
            await response.prepare(exchange.request)
            # aiohttp holds the head back for the first piece; an empty one lets it go.
            await response.write(b"")
            rest = await _write_to_place(fault, response, pieces)
        await _END[fault.kind](fault, exchange)
        if fault.kind != "stall" or exchange.has_left:
            return _Over()
        return await send(exchange.request, _after(rest, pieces), response)


async def _write_to_place(
    fault: Fault, response: web.StreamResponse, pieces: AsyncGenerator[bytes, None]
) -> bytes:
    """Write the pieces up to the place, or to their end; give what is left of the last one."""
    events, size = fault.after_events, fault.after_bytes or 0
    while events or size:
        piece = await anext(pieces, b"")
        if not piece:
            break
        if events is not None:
            await response.write(piece)
            events -= 1
            continue
        await response.write(piece[:size])
        if len(piece) > size:
            return piece[size:]
        size -= len(piece)
    return b""


async def _after(rest: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    if rest:
        yield rest
    async for piece in pieces:
        yield piece


async def _close(_: Fault, exchange: Exchange) -> None:
    if exchange.request.transport is not None:
        exchange.request.transport.close()


async def _reset(_: Fault, exchange: Exchange) -> None:
    reset(exchange.request.transport)


async def _refuse(fault: Fault, exchange: Exchange) -> None:
    exchange.take_down(fault.seconds)


async def _stall(fault: Fault, exchange: Exchange) -> None:
    await exchange.wait(fault.seconds)


async def _truncate(_: Fault, exchange: Exchange) -> None:
    transport = exchange.request.transport
    if transport is not None:
        transport.write(b"400\r\nevent: thread.mess")
        transport.close()


_END: Final[Mapping[str, Callable[[Fault, Exchange], Awaitable[None]]]] = {
    "close": _close,
    "reset": _reset,
    "refuse": _refuse,
    "stall": _stall,
    "truncate": _truncate,
}


def reset(transport: asyncio.Transport | None) -> None:
    """Close a connection as a host does that does not know it."""
    if transport is None or transport.is_closing():
        return
    # Some loops let nobody set options of their own socket; a copy is the same connection.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _garbage(_fault: Fault, exchange: Exchange, _: object) -> web.StreamResponse:
    transport = exchange.request.transport
    if transport is not None:
        transport.write(NO_HTTP)
    return _Over()


# Answers that are whole, and odd


async def _whole(exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response, pieces = _begun(exchange, answer)
    return await send(exchange.request, pieces, response)


async def _drip(_: Fault, exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response, pieces = _begun(exchange, answer)

    async def bytes_of() -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            async for piece in pieces:
                for at in range(len(piece)):
                    yield piece[at : at + 1]
                    await asyncio.sleep(0)

    return await send(exchange.request, bytes_of(), response)


async def _content_type(_: Fault, exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response, pieces = _begun(exchange, answer)
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    return await send(exchange.request, pieces, response)


_WINDOW: Final = {"gzip": 31, "deflate": 15, "bomb": 31}


async def _compressed(fault: Fault, exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response, pieces = _begun(exchange, answer)
    if fault.kind == "bomb":
        pieces = _with_giant(fault, pieces, is_stream=answer.stream is not None)
        response.content_length = None
    response.headers["Content-Encoding"] = "deflate" if fault.kind == "deflate" else "gzip"
    packer = zlib.compressobj(1, wbits=_WINDOW[fault.kind])

    async def packed() -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            async for piece in pieces:
                yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()

    response.content_length = None
    return await send(exchange.request, packed(), response)


async def _giant_line(fault: Fault, exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response, pieces = _begun(exchange, answer)
    response.content_length = None
    big = _with_giant(fault, pieces, is_stream=answer.stream is not None)
    return await send(exchange.request, big, response)


async def _with_giant(
    fault: Fault, pieces: AsyncGenerator[bytes, None], *, is_stream: bool
) -> AsyncGenerator[bytes, None]:
    """The pieces with a line of the fault's size: at its place, or before an object's own end."""
    async with aclosing(pieces):
        for _ in range(fault.after_events or 0):
            if (piece := await anext(pieces, None)) is not None:
                yield piece
        yield b"data: " if is_stream else b'{"padding":"'
        for start in range(0, fault.size, PIECE):
            yield b"a" * min(PIECE, fault.size - start)
        yield b"\n\n" if is_stream else b'",'
        async for piece in pieces:
            yield piece if is_stream else piece[1:]


async def _edited(fault: Fault, exchange: Exchange, answer: Answer) -> web.StreamResponse:
    """Change the events of a stream, or the body of any other answer."""
    edit = EDITS[fault.kind]
    if answer.stream is None:
        body = edit.body(answer.body)
        return await _whole(exchange, replace(answer, body=body))
    source = exchange.dialect.stream(answer.stream)

    async def pieces() -> AsyncGenerator[bytes, None]:
        async with aclosing(source), aclosing(edit.events(fault, source)) as events:
            async for event in events:
                yield exchange.dialect.framing(event)
        if fault.kind == "linger":
            await exchange.wait(fault.seconds)

    return await send(exchange.request, pieces(), web.StreamResponse(headers=EVENT_STREAM))


def _begun(
    exchange: Exchange, answer: Answer
) -> tuple[web.StreamResponse, AsyncGenerator[bytes, None]]:
    """The head of an answer, and the pieces of its body: one an event, or all of it."""
    if answer.stream is not None:
        pieces = framed(exchange.dialect.stream(answer.stream), exchange.dialect.framing)
        return web.StreamResponse(headers=EVENT_STREAM), pieces
    response = web.StreamResponse(headers={**answer.headers, "Content-Type": JSON})
    response.content_length = len(answer.body)
    return response, _one(answer.body)


async def _one(piece: bytes) -> AsyncGenerator[bytes, None]:
    yield piece


_Act: TypeAlias = "Callable[[Fault, Exchange, Any], Awaitable[web.StreamResponse]]"

_ACTS: Final[Mapping[str, _Act]] = {
    "html": _html,
    "json": _json,
    "status": _status,
    "redirect": _redirect,
    "garbage": _garbage,
    "drip": _drip,
    "content_type": _content_type,
    "giant_line": _giant_line,
    **dict.fromkeys(_END, _break_off),
    **dict.fromkeys(_WINDOW, _compressed),
    **dict.fromkeys(EDITS, _edited),
}
