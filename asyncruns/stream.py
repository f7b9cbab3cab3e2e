"""Bytes to the events of a whole run: one iterator, and the snapshots that its events build."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from asyncruns.accumulator import Accumulator
from asyncruns.errors import (
    AsyncRunsError,
    RunStreamError,
    StreamError,
    StreamInterrupted,
)
from asyncruns.events import DoneEvent, ErrorEvent, ThreadMessageDelta, decode_block
from asyncruns.models import ENDED_RUN, TextDeltaBlock
from asyncruns.sse import BlockSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from asyncruns.events import Event
    from asyncruns.models import ErrorObject, Message, Run, RunStep, Thread

__all__ = ["ByteStream", "RunService", "RunStream"]

EVENTS_PER_TURN: Final = 128
"""How many events a stream hands out before other tasks of the loop get their turn."""


class ByteStream(Protocol):
    """The body of an answer, as bytes come; closing it gives its connection back."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes as they are read."""
        ...

    async def aclose(self) -> None:
        """Release the connection; does nothing the second time."""
        ...


class RunService(Protocol):
    """The requests that a stream needs; `resources` implements it."""

    async def open(self) -> ByteStream:
        """Send the request that starts the stream."""
        ...

    async def retrieve(self, thread_id: str, run_id: str) -> Run:
        """Look the run up."""
        ...

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        """Give all steps of the run, oldest first."""
        ...

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        """Give all messages of the run, oldest first."""
        ...

    async def submit(
        self, thread_id: str, run_id: str, tool_outputs: Sequence[Mapping[str, object]]
    ) -> ByteStream:
        """Submit the outputs of tool calls, and open the stream that goes on from there."""
        ...

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Cancel the run."""
        ...


class RunStream:
    """The events of a run, one after the other, and what they have built so far.

    An async context manager and an async iterator: `async with` sends the request and gives the
    connection back at the block's end, on every path; `async for` gives the events. `source` is
    what the client's methods pass, or the bytes of any `text/event-stream` body.

    Raises StreamInterrupted when the stream stops before the run's end or pause, RunStreamError
    at an `error` event, and StreamError for data that cannot be read; what had been assembled
    stays readable. After the run's end nothing that the connection does is an error.
    """

    def __init__(self, source: RunService | AsyncIterable[bytes]) -> None:
        self._service: RunService | None = None
        self._body: AsyncIterable[bytes] | None = None
        if isinstance(source, AsyncIterable):
            self._body = source
        else:
            self._service = source
        self._accumulator = Accumulator()
        self._blocks = BlockSplitter()
        self._chunks: AsyncIterator[bytes] | None = None
        self._events: AsyncGenerator[Event, None] | None = None
        self._opened = self._body is not None
        self._over = False
        self._failure: Exception | None = None
        self._error: ErrorObject | None = None

    @property
    def run(self) -> Run | None:
        """The run as it is now; None before its first event."""
        return self._accumulator.run

    @property
    def thread(self) -> Thread | None:
        """The thread, where the stream created it; None otherwise."""
        return self._accumulator.thread

    @property
    def steps(self) -> list[RunStep]:
        """The run's steps as they are now, in the order of their appearance."""
        return self._accumulator.steps

    @property
    def messages(self) -> list[Message]:
        """The run's messages as they are now, in the order of their appearance."""
        return self._accumulator.messages

    @property
    def text_deltas(self) -> AsyncIterator[str]:
        """The pieces of text alone, as they come; the stream goes on underneath."""
        return self._text_deltas()

    async def until_done(self) -> None:
        """Read the stream to its end."""
        async for _ in self:
            pass

    async def get_final_run(self) -> Run:
        """Read the stream to its end and give the run; raises StreamError if there was none."""
        await self.until_done()
        if self.run is None:
            raise StreamError("the stream ended without a run")
        return self.run

    async def get_final_run_steps(self) -> list[RunStep]:
        """Read the stream to its end and give the run's steps."""
        await self.until_done()
        return self.steps

    async def get_final_messages(self) -> list[Message]:
        """Read the stream to its end and give the run's messages."""
        await self.until_done()
        return self.messages

    async def __aenter__(self) -> Self:
        if self._service is not None and not self._opened:
            self._opened = True
            self._body = await self._service.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back; what has been assembled stays readable."""
        self._over = True
        await self._close_body()
        # Where another task is reading, its own read fails now, and ends the generator there.
        if self._events is not None and not _is_running(self._events):
            await self._events.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        # A finished generator yields nothing more: the next segment gets one of its own.
        if self._events is None:
            self._events = self._iterate()
        return self._events

    async def _iterate(self) -> AsyncGenerator[Event, None]:
        if not self._opened:
            raise AsyncRunsError("the stream is not open: enter it with `async with` first")
        apply = self._accumulator.apply
        turn = 0
        try:
            while (blocks := await self._read()) is not None:
                for block in blocks:
                    event = self._decoded(block)
                    if event is None:
                        continue
                    apply(event)
                    yield event
                    turn += 1
                    if turn == EVENTS_PER_TURN:
                        turn = 0
                        await asyncio.sleep(0)
            self._raise_unless_ended()
        finally:
            self._events = None
            await self._close_body()

    async def _read(self) -> list[bytes] | None:
        """The blocks of the next read; None where the body is over, or of no more use."""
        if self._over or self._body is None:
            return None
        if self._chunks is None:
            self._chunks = aiter(self._body)
        try:
            return self._blocks.feed(await anext(self._chunks))
        except StopAsyncIteration:
            self._over = True
            return [self._blocks.close()]
        except Exception as exc:  # noqa: BLE001 -- the bytes end here, whatever a transport raises
            self._over = True
            self._failure = exc
            return None

    def _decoded(self, block: bytes) -> Event | None:
        """The event of a block, and what it means for the stream itself."""
        try:
            event = decode_block(block)
        except StreamError as exc:
            # Of the last block, cut off by the end, only whole data counts.
            if not self._over:
                self._over = True
                self._failure = exc
            return None
        if isinstance(event, DoneEvent):
            self._over = True
        elif isinstance(event, ErrorEvent):
            self._error = event.data
        return event

    def _raise_unless_ended(self) -> None:
        run = self.run
        status = run.status if run is not None else "unknown"
        if status in ENDED_RUN or status == "requires_action":
            return
        assembled: Any = {"run": run, "steps": self.steps, "messages": self.messages}
        if self._error is not None:
            raise RunStreamError(self._error, **assembled)
        why = self._failure or "the server closed it"
        message = f"the stream stopped before the run's end (its status was {status}): {why}"
        raise StreamInterrupted(message, **assembled) from self._failure

    async def _text_deltas(self) -> AsyncGenerator[str, None]:
        async for event in self:
            if isinstance(event, ThreadMessageDelta):
                for part in event.data.delta.content or ():
                    if isinstance(part, TextDeltaBlock) and part.text and part.text.value:
                        yield part.text.value

    async def _close_body(self) -> None:
        chunks, self._chunks = self._chunks, None
        body, self._body = self._body, None
        for source in (chunks, body):
            aclose = getattr(source, "aclose", None)
            if aclose is not None and not _is_running(source):
                await aclose()


def _is_running(source: object) -> bool:
    """Whether another task is inside an async generator, which then cannot be closed from here."""
    return bool(getattr(source, "ag_running", False))
