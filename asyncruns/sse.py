"""Bytes to frames: an incremental parser for text/event-stream.

Two steps, so that hot code can take the first alone:

- `BlockSplitter.feed` takes bytes as they were read and gives the blocks that they complete: the
  bytes between blank lines, with LF for every line end. Nothing is scanned twice: what is left of
  a block waits in a list of pieces and is joined once.
- `parse_block` reads the fields of one block and gives its `Frame`, or None where the block asks
  for nothing (only comments, no data).

Everything stays on bytes. Line ends are LF, CR and CRLF and nothing else: U+2028 is text.
Source: WHATWG HTML, 9.2.5 Parsing an event stream, 9.2.6 Interpreting an event stream.
"""

from __future__ import annotations

from typing import Final

import msgspec

from asyncruns.errors import LimitExceededError

__all__ = ["MAX_FRAME", "BlockSplitter", "Frame", "FrameDecoder", "parse_block"]

MAX_FRAME: Final = 16 * 1024 * 1024
"""The largest frame that is taken, in bytes."""

_BOM: Final = b"\xef\xbb\xbf"
_CR: Final = ord("\r")  # bytes are searched for a number ten times as fast as for other bytes
_MAX_RETRY_DIGITS: Final = 16


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event, undecoded."""

    event: str | None
    """The `event` field; None where the frame has none."""
    data: bytes
    """The `data` lines, joined by LF."""
    id: str | None = None
    """The `id` field; None where the frame has none."""
    retry: int | None = None
    """The `retry` field in milliseconds; None where the frame has none."""


class BlockSplitter:
    """Cuts a byte stream at its blank lines.

    A frame may be larger than a read and the cut may fall on any byte. The cost is linear in the
    bytes fed. `limit` bounds one block, in bytes.
    """

    __slots__ = ("_at_start", "_held", "_pieces", "_skip_lf", "limit")

    def __init__(self, *, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._skip_lf = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take bytes as read and give the blocks that they complete.

        Raises LimitExceededError once a block is larger than the limit.
        """
        if _CR in chunk or self._skip_lf:
            chunk = self._with_lf(chunk)
        pieces = self._pieces
        # The separator itself may be cut between two reads.
        if pieces and chunk.startswith(b"\n") and pieces[-1].endswith(b"\n"):
            chunk = b"\n" + chunk
            pieces[-1] = pieces[-1][:-1]
            self._held -= 1
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        if blocks:
            if pieces:
                pieces.append(blocks[0])
                blocks[0] = b"".join(pieces)
                pieces.clear()
                self._held = 0
            if self._at_start:
                blocks[0] = blocks[0].removeprefix(_BOM)
                self._at_start = False
            if len(chunk) > self.limit or len(blocks[0]) > self.limit:
                self._check(max(map(len, blocks)))
        if rest:
            pieces.append(rest)
            self._held += len(rest)
            if self._held > self.limit:
                self._check(len(self._rest()))
        return blocks

    def close(self) -> bytes:
        """Give the bytes of the block that the end of the stream has cut off; empty if none."""
        rest = self._rest()
        self._pieces.clear()
        self._held = 0
        return rest

    def _rest(self) -> bytes:
        """The block so far, without the line end that may turn out to be half a separator."""
        rest = b"".join(self._pieces).removesuffix(b"\n")
        return rest.removeprefix(_BOM) if self._at_start else rest

    def _with_lf(self, chunk: bytes) -> bytes:
        """The chunk with LF for each CR and CRLF, a CRLF cut between two reads included."""
        if self._skip_lf and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if chunk.endswith(b"\r"):
            self._skip_lf = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise LimitExceededError(
                f"a frame of {size:,} bytes or more passes the limit of {self.limit:,} bytes"
            )


class FrameDecoder:
    """Bytes to frames, for people with a transport of their own."""

    __slots__ = ("_blocks",)

    def __init__(self, *, limit: int = MAX_FRAME) -> None:
        self._blocks = BlockSplitter(limit=limit)

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take bytes as read and give the frames that they complete.

        Raises LimitExceededError once a frame is larger than the limit.
        """
        frames = map(parse_block, self._blocks.feed(chunk))
        return [frame for frame in frames if frame is not None]

    def close(self) -> Frame | None:
        """Give the frame that the end of the stream has cut off, if it has data.

        The specification drops such a frame. Servers that close without a last blank line mean
        it; whether its data is whole is for the reader of the data to say.
        """
        return parse_block(self._blocks.close())


def parse_block(block: bytes) -> Frame | None:
    """Read the fields of a block; None where there is no data, so nothing to dispatch."""
    event: str | None = None
    data: list[bytes] = []
    last_id: str | None = None
    retry: int | None = None
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < _MAX_RETRY_DIGITS:
            retry = int(value)
    if not data:
        return None
    return Frame(event, b"\n".join(data), last_id, retry)
