"""Bytes to the events of a whole run: one iterator, and the snapshots that its events build.

A run does not end where its first stream ends. `RunStream` goes on by itself: it answers tool calls
and reads the stream that follows, and where a stream is cut it looks at the run until the run has
ended or pauses, and gives the events that were missed. What it has given, folded, always equals
its snapshots.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from asyncruns.accumulator import Accumulator
from asyncruns.calls import calls_of, check_outputs
from asyncruns.cancellation import cancel_quietly, cancel_unseen, finish, start
from asyncruns.errors import (
    APITimeoutError,
    AsyncRunsError,
    MaxRoundsExceeded,
    RunStreamError,
    RunTimeoutError,
    StreamError,
    StreamInterrupted,
    ToolError,
)
from asyncruns.events import DoneEvent, ErrorEvent, UnknownEvent, decode_block, is_json
from asyncruns.follow import Pace, is_transient, look, look_back
from asyncruns.fused import FOLDING, MESSAGE_ENDS, NO_FOLDING, deferrable
from asyncruns.handler import Dispatch, RunHandler
from asyncruns.models import DECODE_FAILURES, ENDED_RUN, Run, to_dict
from asyncruns.partial import LiveArguments
from asyncruns.rounds import Rounds
from asyncruns.service import close, drain, is_running
from asyncruns.sse import BlockSplitter
from asyncruns.texts import Texts
from asyncruns.tracing import Invocation, RunTrace
from asyncruns.unfold import has_other_text
from asyncruns.watch import Limit, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
    from types import TracebackType

    import anyio

    from asyncruns.calls import ToolErrorPolicy, ToolOutput
    from asyncruns.events import Event
    from asyncruns.models import ErrorObject, Message, RunStep, Thread
    from asyncruns.service import ByteStream, RunService
    from asyncruns.toolset import Toolset

__all__ = ["Outcome", "RunStream"]

EVENTS_PER_TURN: Final = 128
"""How many events a stream hands out before other tasks of the loop get their turn."""

LINGER: Final = 5.0
"""Seconds that a stream may take to end once its run has ended or pauses."""

Outcome = Literal[
    "completed", "incomplete", "failed", "cancelled", "expired", "requires_action", "interrupted"
]
"""How a stream can end: as its run's status says, or interrupted before that."""


class RunStream:
    """The events of a run, one after the other, and what they have built so far.

    An async context manager and an async iterator: `async with` sends the request and gives the
    connection back at the block's end, on every path; `async for` gives the events of all tool
    rounds. `source` is what the client's methods pass, or the bytes of any `text/event-stream`
    body; without a service, there are no tool rounds and no repair.

    Iterating raises StreamInterrupted when the stream stops before the run's end or pause and
    cannot be repaired, RunStreamError at an `error` event, RunTimeoutError after `deadline`,
    MaxRoundsExceeded, and ToolError with `on_tool_error="raise"`; what has been assembled stays
    readable. After the run's end nothing that the connection does is an error.
    """

    # A dict of so many names takes 1.3 KB more.
    __slots__ = (
        *("__weakref__", "_accumulator", "_answered", "_blocks", "_body", "_cancel_on_exit"),
        *("_cancelled", "_chunks", "_closed", "_deadline", "_deadline_at", "_defers", "_dispatch"),
        *("_done", "_error", "_events", "_failure", "_folding", "_hide", "_interrupted"),
        *("_lingers_until", "_live", "_opened", "_over", "_patience", "_recovers", "_rounds"),
        *("_service", "_splitter", "_target", "_timed", "_torn", "_trace", "_watch", "request_id"),
    )

    def __init__(
        self,
        source: RunService | AsyncIterable[bytes],
        *,
        event_handler: RunHandler | None = None,
        toolset: Toolset | None = None,
        max_rounds: int = 25,
        max_parallel_tools: int = 16,
        tool_timeout: float | None = 300.0,
        on_tool_error: ToolErrorPolicy = "report",
        on_interrupt: Literal["recover", "raise"] = "recover",
        recovery_deadline: float = 60.0,
        idle_timeout: float | None = 300.0,
        deadline: float | None = None,
        cancel_on_exit: bool = False,
        thread_limiter: anyio.CapacityLimiter | None = None,
        invocation: Invocation | None = None,
    ) -> None:
        self._trace = RunTrace(invocation)
        self._body = body = source if isinstance(source, AsyncIterable) else None
        self._service = cast("RunService", source) if body is None else None
        self._hide: Callable[[bytes], bytes] = bytes
        self.request_id: str | None = None
        """The `x-request-id` of the last answer that streams the run; None where there is none."""
        self._rounds = Rounds(
            toolset,
            max_rounds=max_rounds,
            max_parallel_tools=max_parallel_tools,
            tool_timeout=tool_timeout,
            on_tool_error=on_tool_error,
            thread_limiter=thread_limiter,
        )
        if on_interrupt not in {"recover", "raise"}:
            raise ValueError(f"on_interrupt must be recover or raise, not {on_interrupt!r}")
        self._recovers = on_interrupt == "recover"
        self._patience = recovery_deadline
        self._deadline = deadline
        self._deadline_at: float | None = None
        self._cancel_on_exit = cancel_on_exit

        self._accumulator = Accumulator()
        self._live: LiveArguments | None = None
        self._dispatch: Dispatch | None = None
        if event_handler is not None:
            self._dispatch = Dispatch(event_handler, self._accumulator)
        self._watch = Watch(idle_timeout)
        self._splitter = BlockSplitter()
        # Of the last read: cleared where nothing more of it counts.
        self._blocks: list[bytes] = []
        # Of the last ordinary frame: nearly all are of the same kind as the one before.
        self._folding = NO_FOLDING
        # The run that the limit of the reads is set for.
        self._timed: Run | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._events: AsyncGenerator[Event, None] | None = None

        self._opened = self._body is not None
        self._closed = False
        # Of the body that is read: whether it has given all that it will give.
        self._over = False
        # Of the same: whether `done` has come, after which only the body's own end can.
        self._done = False
        # Until when it may go on once the run has ended or pauses, on the loop's clock.
        self._lingers_until: float | None = None
        self._interrupted = False
        self._defers = False
        self._torn = False
        self._failure: Exception | None = None
        self._error: ErrorObject | None = None
        # The run of a stream that begins by looking at it: nothing of it has been seen yet.
        self._target: Run | None = None
        # The run as it was when it was last answered: until it is seen anew, it says nothing.
        self._answered: Run | None = None
        self._cancelled = False

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
    def outcome(self) -> Outcome | None:
        """How the stream has ended, decided by the run's status; None while it goes on."""
        if self.run is not None and self.run.status in ENDED_RUN:
            return cast("Outcome", self.run.status)
        if self._body is None and self._is_settled():
            return "requires_action"
        return "interrupted" if self._interrupted or self._closed else None

    def raise_for_status(self) -> None:
        """Raise RunFailedError for a run that failed, expired, was cancelled or is incomplete."""
        if self.run is not None:
            self.run.raise_for_status()

    @property
    def text_deltas(self) -> AsyncIterator[str]:
        """The pieces of text alone, as they come; the stream goes on underneath.

        Joined, they are the final text: a message that ends with more than its deltas have given
        adds the rest.
        """
        return self._text_deltas()

    async def until_done(self) -> None:
        """Read the stream to its end; the snapshots are then those of iteration.

        Costs a fraction of iterating: a delta is decoded only where no finished object replaces it.
        """
        self._defers = self._dispatch is None or not self._dispatch.takes_deltas
        try:
            async for _ in self:
                pass
        finally:
            self._defers = False

    async def get_final_run(self) -> Run:
        """Read the stream to its end and give the run."""
        await self.until_done()
        assert self.run is not None  # noqa: S101 -- a stream without a run ends in StreamInterrupted
        return self.run

    async def get_final_run_steps(self) -> list[RunStep]:
        """Read the stream to its end and give the run's steps."""
        await self.until_done()
        return self.steps

    async def get_final_messages(self) -> list[Message]:
        """Read the stream to its end and give the run's messages."""
        await self.until_done()
        return self.messages

    async def submit(self, tool_outputs: Iterable[ToolOutput | Mapping[str, str]]) -> None:
        """Answer the tool calls that the run waits for; iterating goes on from there.

        Inside `async for` the same loop goes on; after it, a new one over the same stream does.
        Raises ValueError unless the outputs answer each call exactly once. Where the request
        fails, iterating looks at the run, and goes on if it got through.
        """
        outputs: list[dict[str, str]] = [to_dict(output) for output in tool_outputs]
        check_outputs(calls_of(self._waiting()), outputs)
        await self._answer({"tool_outputs": outputs})

    async def submit_approvals(self, tool_approvals: Iterable[Mapping[str, object]]) -> None:
        """Answer a required action that asks for approvals (Azure's `submit_tool_approval`).

        Each approval names its `tool_call_id` and says `approve: bool`. Iterating goes on as
        after `submit`.
        """
        await self._answer({"tool_approvals": list(tool_approvals)})

    def tool_arguments(self, call_id: str) -> Any:
        """Give the arguments of a tool call as far as they have come, parsed though unfinished.

        `{}` before the first character; a string or a number at the end may be cut off. Reading
        at every delta is never quadratic: arguments over 4 KiB are parsed anew only every so many
        reads, until nothing more of them is to come. Raises KeyError for a call that has not come
        and ValueError for arguments that are no JSON. Needs jiter, the extra `partial`.
        """
        if self._live is None:
            self._live = LiveArguments(self._accumulator)
        exact = self._body is None or self._is_settled()
        return self._live.read(call_id, exact=exact)

    async def __aenter__(self) -> Self:
        if self._closed:
            raise AsyncRunsError("the stream is closed")
        self._start_clock()
        if self._service is not None and not self._opened:
            self._opened = True
            with self._trace.opening(self):
                async with self._in_time():
                    opened = await self._service.open()
            if isinstance(opened, Run):
                self._target = opened
            else:
                self._take_body(opened)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None:
            self._trace.fail(exc)
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back; what has been assembled stays readable.

        A task that is reading the stream meanwhile gets StreamInterrupted. With `cancel_on_exit`,
        a run that has not ended is cancelled at the server.
        """
        self._closed = self._over = True
        # First of all, because a second cancellation may end any of the awaits below.
        cancelling = self._start_cancel() if self._cancel_on_exit else None
        try:
            await self._close_body()
            if self._events is not None and not is_running(self._events):
                await self._events.aclose()
        finally:
            self._trace.end(self)
            if cancelling is not None:
                await finish(cancelling)

    def __aiter__(self) -> AsyncIterator[Event]:
        if not self._opened:
            raise AsyncRunsError("the stream is not open: enter it with `async with` first")
        # A finished generator yields nothing more: the next segment gets one of its own.
        if self._events is None:
            self._events = self._iterate()
        return self._events

    async def _iterate(  # noqa: C901, PLR0912, PLR0915 -- one layer: a second costs every event
        self,
    ) -> AsyncGenerator[Event, None]:
        dispatch, trace, watch = self._dispatch, self._trace, self._watch
        turn = 0
        try:
            if self._is_at_rest():
                return
            self._start_clock()
            self._interrupted = False
            while True:
                while not self._over and (body := self._body) is not None:
                    if (chunks := self._chunks) is None:
                        chunks = self._chunks = aiter(body)
                        self._time_reads()
                    elif self._accumulator.run is not self._timed:
                        self._time_reads()
                    watch.begin()
                    try:
                        chunk = await anext(chunks)
                        watch.task = None
                        blocks = self._blocks = self._splitter.feed(chunk)
                    except BaseException as exc:  # noqa: BLE001 -- whatever a source may raise
                        blocks = self._ended(exc)
                    if trace.awaits_text:
                        trace.look_for_text(blocks)
                    take = self._defer if self._defers else self._take
                    for block in blocks:
                        event = take(block)
                        if event is None:
                            continue
                        if dispatch is not None and type(event) in dispatch.hooked:
                            await dispatch(event)
                        yield event
                        turn += 1
                        if turn == EVENTS_PER_TURN:
                            turn = 0
                            await asyncio.sleep(0)
                    blocks.clear()  # a stream that waits for a read holds nothing of the last
                    chunk, block, event = b"", b"", None
                await self._close_body()
                self._fold_deferred()
                if self.run is not self._answered:
                    self._rounds.forget()
                if not self._is_settled() or self._has_gaps():
                    following = self._fill_gaps() if self._is_settled() else self._follow()
                    async with aclosing(following) as missed:
                        async for event in missed:
                            if dispatch is not None and type(event) in dispatch.hooked:
                                await dispatch(event)
                            yield event
                if self._body is None and not await self._next_round():
                    break
            if dispatch is not None:
                await dispatch.end()
        except BaseException as exc:
            trace.fail(exc)
            raise
        finally:
            self._events = None
            trace.rest(self)
            await self._close_body()

    def _ended(self, exc: BaseException) -> list[bytes]:
        """Take nothing more of the body, for what a read has raised; the block that it has left."""
        is_silence = self._watch.has_ended(exc)
        self._over = True
        if isinstance(exc, StopAsyncIteration):
            return [self._splitter.close()]
        if is_silence:
            if not self._is_settled() and self._watch.is_past(self._deadline_at):
                raise self._too_late() from exc
            exc = APITimeoutError(f"no byte came for {self._watch.limit:g} s")
        elif not isinstance(exc, Exception):
            raise exc
        self._failure = exc
        return []

    def _time_reads(self) -> None:
        """Set by when reads must be over, beside the limit of each, as the run now says."""
        self._timed = self._accumulator.run
        until = self._deadline_at
        if self._is_settled():
            if self._lingers_until is None:
                self._lingers_until = asyncio.get_running_loop().time() + LINGER
            until = self._lingers_until
        self._watch.end_by(until)

    def _take(self, block: bytes) -> Event | None:
        """The event of a block, folded; None where there is nothing to give.

        For an ordinary frame this stands for `events.decode_block` and `Accumulator.apply`; any
        other takes the way through those rooms.
        """
        opening, kind, decode, fold = self._folding
        data = block.removeprefix(opening)
        try:
            if data is block:  # it is of another kind than the one before
                folding = FOLDING[block.partition(b"\n")[0]]
                if folding is None:
                    return self._take_odd(block)
                opening, kind, decode, fold = self._folding = folding
                data = block.removeprefix(opening)
            try:
                payload = decode(data)
            except DECODE_FAILURES:
                return self._take_odd(block)
            fold(self._accumulator, payload)
            return kind(payload, data)
        except StreamError as exc:
            self._fail(exc)
            return None

    def _defer(self, block: bytes) -> Event | None:
        """As `_take`, but a delta waits undecoded for somebody to ask, and gives no event."""
        object_id = deferrable(block)
        if object_id is None:
            return self._take(block)
        try:
            self._accumulator.defer(object_id, block)
        except StreamError as exc:
            self._fail(exc)
        return None

    def _fold_deferred(self) -> None:
        """Fold what no finished object has replaced; where that fails, a look at the run helps."""
        try:
            self._accumulator.fold_deferred()
        except StreamError as exc:
            # Where nobody can look, it counts as any garbage does: after the end it is no error.
            if not self._is_settled() or (self._recovers and self._service is not None):
                self._failure = exc
                self._torn = True

    def _fail(self, exc: StreamError) -> None:
        """Take the stream for cut; of a last block without an end, only whole data counts."""
        if not self._over:
            self._failure = exc
        self._leave()

    def _leave(self) -> None:
        """Take nothing more of the body, nor of what has been read of it."""
        self._over = True
        self._blocks.clear()

    def _take_odd(self, block: bytes) -> Event | None:
        """The event of a block, folded, and what it means for the stream itself."""
        event = self._decoded(block)
        if self._over and isinstance(event, UnknownEvent) and not is_json(event.raw):
            return None  # of a last block without an end, only whole data counts
        if isinstance(event, MESSAGE_ENDS) and not self._defers:
            event.replaced = has_other_text(event.data, self._accumulator.texts(event.data.id))
        if event is not None:
            self._accumulator.apply(event)
        if isinstance(event, DoneEvent):
            self._leave()
            self._done = True
        elif isinstance(event, ErrorEvent):
            self._error = event.data
        return event

    def _decoded(self, block: bytes) -> Event | None:
        """The event of a block; an error, and what cannot be read, tell no credential."""
        try:
            event = decode_block(block)
        except StreamError:
            if self._hide(block) == block:
                raise
        else:
            if not isinstance(event, ErrorEvent):
                return event
        return decode_block(self._hide(block))

    def _is_settled(self) -> bool:
        """Whether the run has ended, or pauses, as far as can be told."""
        run = self.run
        if run is None or self._torn:
            return False
        paused = run.status == "requires_action" and run is not self._answered
        return paused or run.status in ENDED_RUN

    def _has_gaps(self) -> bool:
        """Whether the run has ended, and something of it has not: then an event was lost."""
        looks = self._recovers and self._service is not None and not self._closed
        ended = self.run is not None and self.run.status in ENDED_RUN
        return looks and ended and self._accumulator.is_open

    def _is_at_rest(self) -> bool:
        """Whether iterating has nothing to read, and nothing to do."""
        if self._body is not None or self.run is None or not self._is_settled():
            return False
        return self._closed or not self._rounds.due(self.run)

    async def _fill_gaps(self) -> AsyncGenerator[Event, None]:
        """Look once at a run that has ended, and give what has been missed."""
        if self.run is not None and self._service is not None:
            looked = look_back(self._service, self._accumulator, self.run, patience=LINGER)
            for event in await looked:
                self._accumulator.apply(event)
                yield event

    async def _follow(self) -> AsyncGenerator[Event, None]:
        """Look at the run until it has ended or pauses, and give what has been missed."""
        now = asyncio.get_running_loop().time
        pace, patience = Pace(), now() + self._patience
        while not self._is_settled():
            if self._closed or not (self._recovers or self._target):
                raise self._interruption() from self._failure
            looked = await self._look()
            events, pause = looked or ([], None)
            for event in events:
                self._accumulator.apply(event)
                yield event
            if events or (looked and self._target):
                patience = now() + self._patience
            if self._body is not None:
                return  # submit() has opened a stream that goes on from here
            if self._is_settled():
                break
            if self._error is not None or now() > patience:
                raise self._interruption() from self._failure
            async with self._in_time():
                await asyncio.sleep(pace.after(pause))
        if self.run is not None:
            self._rounds.check_refusal(self.run)

    async def _look(self) -> tuple[list[Event], float | None] | None:
        """What has changed, and the seconds to wait for the next look; None without an answer."""
        service = self._service
        if service is None:
            raise self._interruption() from self._failure
        try:
            async with self._in_time():
                target = self._target or self.run or await service.find()
                if target is None:
                    raise self._interruption() from self._failure
                if self.run is None:
                    self._target = target
                events, run, pause = await look(
                    service, self._accumulator, target.thread_id, target.id
                )
        except (RunTimeoutError, StreamInterrupted):
            raise
        except AsyncRunsError as exc:
            self._failure = exc
            if not is_transient(exc):
                raise self._interruption() from exc
            return None
        if run.status in ENDED_RUN or run.status == "requires_action":
            # Seen anew: what it says now counts, even where it says what it said before.
            self._answered = self._target = None
        else:
            self._rounds.forget()
        self._torn = False
        return events, pause

    def _interruption(self) -> StreamInterrupted:
        """The error for a stream that has stopped too early."""
        self._interrupted = True
        assembled: Any = {"run": self.run, "steps": self.steps, "messages": self.messages}
        if self._error is not None:
            return RunStreamError(self._error, **assembled)
        status = self.run.status if self.run is not None else "unknown"
        why = "it was closed here" if self._closed else self._failure or "the server closed it"
        message = f"the stream stopped before the run's end (its status was {status}): {why}"
        return StreamInterrupted(message, **assembled)

    async def _next_round(self) -> bool:
        """Answer the run's tool calls; False where there is nothing to answer, or nobody to."""
        run = self.run
        if self._closed or self._service is None or run is None or not self._rounds.due(run):
            return False
        try:
            async with self._in_time():
                outputs = await self._rounds.outputs(run)
        except (MaxRoundsExceeded, ToolError):
            if (cancelling := self._start_cancel()) is not None:
                await finish(cancelling)
            raise
        try:
            await self._answer({"tool_outputs": outputs})
        except AsyncRunsError as exc:
            if not self._recovers:
                raise
            self._rounds.doubt(exc)
            self._failure = exc
        return True

    def _waiting(self) -> Run:
        """The run, if it waits for an answer; raises AsyncRunsError otherwise."""
        run = self.run
        if run is None or run.status != "requires_action":
            raise AsyncRunsError("there is nothing to answer: the run does not require an action")
        if run is self._answered and self._body is not None:
            raise AsyncRunsError("the run's required action has been answered already")
        return run

    async def _answer(self, answer: Mapping[str, object]) -> None:
        """Submit an answer, and go on with the stream that it opens."""
        run = self._waiting()
        if self._service is None:
            raise AsyncRunsError("a stream of plain bytes has nowhere to submit to")
        if self._chunks is not None and self._watch.task is not None:
            raise AsyncRunsError("another task is reading the stream: submit where it is read")
        if self._closed:
            raise self._interruption()
        self._rounds.check_time(run)
        # The connection goes back first: an answer must not wait for it.
        await self._close_body()
        self._splitter = BlockSplitter()
        self._blocks.clear()
        self._over, self._lingers_until = False, None
        self._failure = self._error = None
        self._answered = run
        async with self._in_time():
            opened = await self._service.submit(run.thread_id, run.id, answer)
        if isinstance(opened, Run):
            self._rounds.forget()
            self._target = opened
        elif self._closed:
            await opened.aclose()
            raise self._interruption()
        else:
            self._take_body(opened)

    def _take_body(self, body: ByteStream) -> None:
        self._body = body
        self.request_id = getattr(body, "request_id", None)
        blots = getattr(body, "blots", None)
        self._hide = bytes if blots is None else blots.data

    def _start_cancel(self) -> asyncio.Task[None] | None:
        """Cancel the run in a task of its own, which no cancellation of ours can reach."""
        run = self.run or self._target
        ended = run is not None and run.status in ENDED_RUN
        if self._service is None or not self._opened or self._cancelled or ended:
            return None
        self._cancelled = True
        if run is not None or self._body is None or self._watch.task is not None:
            return start(cancel_quietly(self._service, run))
        # Which run it is stands in the first events: whoever cancels it reads on until there.
        chunks, body = self._chunks or aiter(self._body), self._body
        self._chunks = self._body = None
        return start(cancel_unseen(self._service, chunks, body, self._splitter))

    def _start_clock(self) -> None:
        self._rounds.start_clock()
        if self._deadline is not None and self._deadline_at is None:
            self._deadline_at = asyncio.get_running_loop().time() + self._deadline

    @asynccontextmanager
    async def _in_time(self) -> AsyncGenerator[None, None]:
        """Bound an await by the deadline of the whole run."""
        with self._trace.current():
            async with Limit(self._deadline_at, self._too_late):
                yield

    def _too_late(self) -> RunTimeoutError:
        status = self.run.status if self.run is not None else "unknown"
        message = f"the run did not end within {self._deadline:g} s (its status is {status})"
        return RunTimeoutError(message, run=self.run)

    async def _text_deltas(self) -> AsyncGenerator[str, None]:
        texts = Texts()
        async for event in self:
            for piece in texts.take(event):
                yield piece

    async def _close_body(self) -> None:
        if self._chunks is None and self._body is None:
            return
        chunks, self._chunks = self._chunks, None
        body, self._body = self._body, None
        try:
            if self._done and chunks is not None:
                self._done = False
                await drain(chunks, body)
        finally:
            self._watch.stop()
            await close(chunks, body)
