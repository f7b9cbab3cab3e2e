"""Bodies to sockets: a server of prepared streams, in a process of its own.

It does as little as it can, so that the client is what is measured: a stream is chosen by the
thread's id in the path of the request, and its bytes are ready before the first request comes.

- `whole`: everything at once, one HTTP chunk an event, as fast as the socket takes it.
- `paced`: one event at a time; all streams of a thread wait until `POST /go/THREAD`.
- `stamped`: as paced, but the text of each delta is the time at which it was sent.
- `idle`: the headers, and then silence.
- `begun`: the first events of a run, and then silence.

`GET /waiting/THREAD` tells how many streams of a thread are open.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks import bodies
from benchmarks.pinning import pin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PACED", "STAMP", "WHOLE", "main", "paced_body"]

WHOLE: Final[dict[str, Callable[[int], bodies.Body]]] = {
    "text": lambda part: bodies.text(2_000 // part),
    "tools": lambda part: bodies.parallel_calls(4, 500 // part),
    "mixed": lambda _: bodies.mixed(),
    "chat": lambda part: bodies.text(110 // part),
    "short": lambda _: bodies.text(1),
    "blast": lambda part: bodies.text(20_000 // part),
    "blasts": lambda part: bodies.text(5_000 // part),
}
"""The streams that come at once, by their threads' ids; each may be made a part as long."""

PACED: Final = {"trickle": 0.02, "apart": 0.02, "stamped": 0.04}
"""Seconds between two events of the streams that come slowly.

Those of `trickle` tick together, as the tasks of one server do that sleep equally long; those of
the others are spread over the interval, so that no two events come at the same moment.
"""

STAMP: Final = "0000000000.000000"
"""What stands in a stamped delta for the time, in seconds of the monotonic clock."""

_TICK: Final = 0.001
_PACED_DELTAS: Final = 40
_BACKLOG: Final = 4096
_OPENING: Final = 10
"""How many events a silent stream has given: the run, a step and a message, and some text."""

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nx-request-id: req_bench\r\n\r\n"
)
_END: Final = b"0\r\n\r\n"


def paced_body(thread: str, part: int) -> bodies.Body:
    """Build the run of a paced thread."""
    deltas = _PACED_DELTAS // part
    return bodies.text(deltas, words=(STAMP,)) if thread == "stamped" else bodies.text(deltas)


@dataclass
class _Paced:
    """The streams of one paced thread."""

    interval: float
    chunks: list[bytes]
    together: bool = False
    stamped: bool = False
    waiting: list[asyncio.Transport] = field(default_factory=list[asyncio.Transport])


class _Streams:
    """All that can be asked for, and who is being served."""

    def __init__(self, part: int) -> None:
        self.whole = {
            thread: b"".join([_HEAD, *map(_chunk, make(part).frames()), _END])
            for thread, make in WHOLE.items()
        }
        self.paced: dict[str, _Paced] = {}
        for thread, interval in PACED.items():
            frames = paced_body(thread, part).frames()
            self.paced[thread] = _Paced(
                interval,
                [*map(_chunk, frames)],
                together=thread == "trickle",
                stamped=thread == "stamped",
            )
        opening = bodies.text(_OPENING).frames()[:_OPENING]
        self.silent = {"idle": _HEAD, "begun": b"".join([_HEAD, *map(_chunk, opening)])}
        self.open: defaultdict[str, int] = defaultdict(int)
        self._playing: set[asyncio.Task[None]] = set()

    def answer(self, thread: str, transport: asyncio.Transport) -> None:
        """Begin the stream of a thread."""
        self.open[thread] += 1
        if thread in self.silent:
            transport.write(self.silent[thread])
        elif thread in self.paced:
            transport.write(_HEAD)
            self.paced[thread].waiting.append(transport)
        else:
            transport.write(self.whole[thread])
            self.open[thread] -= 1

    def go(self, thread: str) -> None:
        """Let the waiting streams of a paced thread begin."""
        group = self.paced[thread]
        transports, group.waiting = group.waiting, []
        task = asyncio.create_task(self._play(thread, group, transports))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    async def _play(self, thread: str, group: _Paced, transports: list[asyncio.Transport]) -> None:
        began = time.monotonic()
        step = 0 if group.together else group.interval / max(1, len(transports))
        due = [(began + place * step, transport) for place, transport in enumerate(transports)]
        for chunk in [*group.chunks[:-1], group.chunks[-1] + _END]:
            for at, (when, transport) in enumerate(due):
                while (now := time.monotonic()) < when:  # noqa: ASYNC110 -- a clock
                    await asyncio.sleep(max(when - now, _TICK))
                stamp = f"{time.monotonic():017.6f}".encode()
                sent = chunk.replace(STAMP.encode(), stamp) if group.stamped else chunk
                if not transport.is_closing():
                    transport.write(sent)
                due[at] = (when + group.interval, transport)
        self.open[thread] -= len(transports)


class _Connection(asyncio.Protocol):
    """One connection: requests in, one after the other, and the stream of each out."""

    def __init__(self, streams: _Streams) -> None:
        self._streams = streams
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        size = _content_length(head)
        if not found or len(rest) < size or self._transport is None:
            return
        self._received = rest[size:]
        path = head.split(b" ", 2)[1].decode().partition("?")[0].split("/")
        if path[1] == "waiting":
            self._transport.write(_plain(str(self._streams.open[path[2]])))
        elif path[1] == "go":
            self._streams.go(path[2])
            self._transport.write(_plain("gone"))
        else:
            self._streams.answer(path[path.index("threads") + 1], self._transport)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _chunk(frame: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(frame), frame)


def _plain(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


async def _serve(part: int) -> None:
    streams = _Streams(part)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(streams), "127.0.0.1", 0, backlog=_BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this process holds its input: it ends when that one does.
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until the input ends; `python -m benchmarks.server PART` prints the port."""
    pin("server")
    asyncio.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
