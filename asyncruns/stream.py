"""Bytes to the events of a whole run: one iterator, and the snapshots that its events build.

A run does not end where its first stream ends. `RunStream` goes on by itself: it answers tool calls
and reads the stream that follows, and where a stream is cut it looks at the run until the run has
ended or pauses, and gives the events that were missed. What it has given, folded, always equals
its snapshots.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypedDict, cast

from asyncruns.accumulator import Accumulator
from asyncruns.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncRunsError,
    BadRequestError,
    MaxRoundsExceeded,
    RunStreamError,
    RunTimeoutError,
    StreamError,
    StreamInterrupted,
)
from asyncruns.events import (
    ORDINARY,
    DoneEvent,
    ErrorEvent,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    decode_block,
)
from asyncruns.follow import Pace, is_transient, look
from asyncruns.handler import Dispatch, RunHandler
from asyncruns.models import (
    DECODE_FAILURES,
    ENDED_RUN,
    Run,
    TextDeltaBlock,
    to_dict,
)
from asyncruns.sse import BlockSplitter
from asyncruns.toolset import ToolErrorPolicy, ToolOutput, Toolset, calls_of, check_outputs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
    from types import TracebackType

    import anyio

    from asyncruns.events import Event
    from asyncruns.models import (
        ErrorObject,
        Message,
        RequiredActionFunctionToolCall,
        RunStep,
        Thread,
    )

__all__ = ["ByteStream", "Outcome", "RunService", "RunStream", "StreamOptions"]

_log: Final = logging.getLogger("asyncruns")

EVENTS_PER_TURN: Final = 128
"""How many events a stream hands out before other tasks of the loop get their turn."""

MAX_DOUBTS: Final = 3
"""How often an answer is sent again where nobody knows whether it got through."""

CANCEL_DEADLINE: Final = 5.0
"""Seconds that cancelling the server's run may take when its stream is left."""

Outcome = Literal[
    "completed",
    "incomplete",
    "failed",
    "cancelled",
    "expired",
    "requires_action",
    "interrupted",
]
"""How a stream can end: as its run's status says, or interrupted before that."""


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

    async def open(self) -> ByteStream | Run:
        """Send the request that starts the stream; gives a run where there is no stream of it."""
        ...

    async def retrieve(self, thread_id: str, run_id: str) -> tuple[Run, float | None]:
        """Look the run up; with it, the seconds that the server asks to wait before the next."""
        ...

    async def list_steps(self, thread_id: str, run_id: str) -> list[RunStep]:
        """Give all steps of the run, oldest first."""
        ...

    async def list_messages(self, thread_id: str, run_id: str) -> list[Message]:
        """Give all messages of the run, oldest first."""
        ...

    async def submit(self, thread_id: str, run_id: str, answer: Mapping[str, object]) -> ByteStream:
        """Submit what the run waits for, and open the stream that goes on from there."""
        ...

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Cancel the run."""
        ...


class StreamOptions(TypedDict, total=False):
    """What every method that gives a RunStream takes beside the endpoint's own parameters."""

    event_handler: RunHandler | None
    """Its hooks are called for each event, before the event is yielded."""
    toolset: Toolset | None
    """Answers the run's tool calls; without one the stream ends at requires_action."""
    max_rounds: int
    """How often the run may ask for tool outputs: 25 unless given."""
    max_parallel_tools: int
    """How many tool calls run at once: 16 unless given."""
    tool_timeout: float | None
    """Seconds that one tool call may take: 300 unless given; None for no limit."""
    on_tool_error: ToolErrorPolicy
    """`report` a failed call to the model, the default, or `raise` it as ToolError."""
    on_interrupt: Literal["recover", "raise"]
    """`recover`, the default, repairs a stream that is cut; `raise` raises StreamInterrupted."""
    recovery_deadline: float
    """Seconds that a repair may go on without progress: 60 unless given."""
    idle_timeout: float | None
    """Seconds without a byte that count as a cut: 300 unless given; None for no limit."""
    deadline: float | None
    """Seconds that the whole run may take, all rounds included; None, the default, for no limit."""
    cancel_on_exit: bool
    """Whether leaving the block before the run's end cancels the run at the server."""


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
    ) -> None:
        self._service: RunService | None = None
        self._body: AsyncIterable[bytes] | None = None
        if isinstance(source, AsyncIterable):
            self._body = source
        else:
            self._service = source
        self._toolset = toolset
        self._max_rounds = max_rounds
        self._max_parallel_tools = max_parallel_tools
        self._tool_timeout = tool_timeout
        self._on_tool_error: ToolErrorPolicy = on_tool_error
        self._recovers = on_interrupt == "recover"
        self._patience = recovery_deadline
        self._deadline = deadline
        self._deadline_at: float | None = None
        self._cancel_on_exit = cancel_on_exit
        self._thread_limiter = thread_limiter

        self._accumulator = Accumulator()
        self._dispatch: Dispatch | None = None
        if event_handler is not None:
            self._dispatch = Dispatch(event_handler, self._accumulator)
        self._idle_timeout = idle_timeout
        self._watch = _Watch(idle_timeout)
        self._blocks = BlockSplitter()
        self._chunks: AsyncIterator[bytes] | None = None
        self._events: AsyncGenerator[Event, None] | None = None

        self._opened = self._body is not None
        self._over = False
        self._interrupted = False
        self._defers = False
        self._torn = False
        self._failure: Exception | None = None
        self._error: ErrorObject | None = None
        # The run of a stream that begins by looking at it: nothing of it has been seen yet.
        self._target: Run | None = None
        # The run as it was when it was last answered: until it is seen anew, it says nothing.
        self._answered: Run | None = None
        self._outputs: dict[str, ToolOutput] = {}
        self._rounds = 0
        # How often the answer to this pause has been sent without knowing what became of it.
        self._doubts = 0
        self._refusal: BadRequestError | None = None
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
        if self._interrupted:
            return "interrupted"
        return "requires_action" if self._body is None and self._is_settled() else None

    def raise_for_status(self) -> None:
        """Raise RunFailedError for a run that failed, expired, was cancelled or is incomplete."""
        if self.run is not None:
            self.run.raise_for_status()

    @property
    def text_deltas(self) -> AsyncIterator[str]:
        """The pieces of text alone, as they come; the stream goes on underneath."""
        return self._text_deltas()

    async def until_done(self) -> None:
        """Read the stream to its end; the snapshots are then those of iteration.

        Costs a fraction of iterating: a delta is decoded only where no finished object replaces it.
        """
        self._defers = self._dispatch is None
        try:
            async for _ in self:
                pass
        finally:
            self._defers = False

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

    async def submit(self, tool_outputs: Iterable[ToolOutput | Mapping[str, str]]) -> None:
        """Answer the tool calls that the run waits for; iterating goes on from there.

        Inside `async for` the same loop goes on; after it, a new one over the same stream does.
        Raises ValueError unless the outputs answer each call exactly once.
        """
        outputs: list[dict[str, str]] = [to_dict(output) for output in tool_outputs]
        check_outputs(calls_of(self.run), outputs)
        await self._answer({"tool_outputs": outputs})

    async def submit_approvals(self, tool_approvals: Iterable[Mapping[str, object]]) -> None:
        """Answer a required action that asks for approvals (Azure's `submit_tool_approval`).

        Each approval names its `tool_call_id` and says `approve: bool`. Iterating goes on as
        after `submit`.
        """
        await self._answer({"tool_approvals": list(tool_approvals)})

    async def __aenter__(self) -> Self:
        if self._deadline is not None and self._deadline_at is None:
            self._deadline_at = asyncio.get_running_loop().time() + self._deadline
        if self._service is not None and not self._opened:
            self._opened = True
            async with self._in_time():
                opened = await self._service.open()
            if isinstance(opened, Run):
                self._target = opened
            else:
                self._body = opened
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back; what has been assembled stays readable.

        With `cancel_on_exit`, a run that has not ended is cancelled at the server.
        """
        self._over = True
        # First of all, because a second cancellation may end any of the awaits below.
        cancelling = self._start_cancel() if self._cancel_on_exit else None
        await self._close_body()
        # Where another task is reading, its own read fails now, and ends the generator there.
        if self._events is not None and not _is_running(self._events):
            await self._events.aclose()
        if cancelling is not None:
            await asyncio.wait({cancelling})

    def __aiter__(self) -> AsyncIterator[Event]:
        # A finished generator yields nothing more: the next segment gets one of its own.
        if self._events is None:
            self._events = self._iterate()
        return self._events

    async def _iterate(  # noqa: C901, PLR0912 -- one layer: a second generator costs every event
        self,
    ) -> AsyncGenerator[Event, None]:
        if not self._opened:
            raise AsyncRunsError("the stream is not open: enter it with `async with` first")
        if self._body is None and (self._over or self._is_settled()):
            return
        dispatch = self._dispatch
        turn = 0
        try:
            while True:
                body = self._body
                while (blocks := await self._read()) is not None:
                    for event in (self._deferred if self._defers else self._folded)(blocks):
                        if dispatch is not None:
                            await dispatch(event)
                        yield event
                        if self._body is not body:  # submit() has opened the next one
                            body = self._body
                            break
                        turn += 1
                        if turn == EVENTS_PER_TURN:
                            turn = 0
                            await asyncio.sleep(0)
                await self._close_body()
                self._fold_deferred()
                if not self._is_settled():
                    async for event in self._follow():
                        if dispatch is not None:
                            await dispatch(event)
                        yield event
                if self._body is None and not await self._next_round():
                    break
            if dispatch is not None:
                await dispatch.end()
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
            with self._watch.over(self._deadline_at):
                chunk = await anext(self._chunks)
            return self._blocks.feed(chunk)
        except StopAsyncIteration:
            self._over = True
            return [self._blocks.close()]
        except TimeoutError as exc:
            if self._deadline_at is not None and self._watch.is_past(self._deadline_at):
                raise self._too_late() from exc
            self._over = True
            self._failure = APITimeoutError(f"no byte came for {self._idle_timeout:g} s")
            return None
        except Exception as exc:  # noqa: BLE001 -- the bytes end here, whatever a transport raises
            self._over = True
            self._failure = exc
            return None

    def _folded(self, blocks: list[bytes]) -> Iterator[Event]:
        """The events of blocks, each folded just before it is given.

        For an ordinary frame this loop stands for `events.decode_block` and `Accumulator.apply`;
        any other takes the way through those rooms.
        """
        accumulator = self._accumulator
        try:
            for block in blocks:
                head, _, data = block.partition(b"\ndata: ")
                ordinary = _ORDINARY.get(head)
                if ordinary is not None:
                    kind, decode, fold = ordinary
                    try:
                        payload = decode(data)
                    except DECODE_FAILURES:
                        ordinary = None
                    else:
                        fold(accumulator, payload)
                        yield kind(payload, data)
                if ordinary is None and (event := self._taken(block)) is not None:
                    yield event
                    if event.__class__ is DoneEvent:
                        return
        except StreamError as exc:
            self._fail(exc)

    def _deferred(self, blocks: list[bytes]) -> Iterator[Event]:
        """The events of blocks but for deltas, which wait undecoded for somebody to ask."""
        for block in blocks:
            head, _, data = block.partition(b"\ndata: ")
            if head not in _DELTAS or not data.startswith(_ID_FIRST):
                yield from self._folded([block])
                continue
            object_id = data[len(_ID_FIRST) : data.find(b'"', len(_ID_FIRST))]
            try:
                self._accumulator.defer(object_id, block)
            except StreamError as exc:
                self._fail(exc)

    def _fold_deferred(self) -> None:
        """Fold what no finished object has replaced; where that fails, a look at the run helps."""
        try:
            self._accumulator.fold_deferred()
        except StreamError as exc:
            self._failure = exc
            self._torn = True

    def _fail(self, exc: StreamError) -> None:
        """Take the stream for cut; of a last block without an end, only whole data counts."""
        if not self._over:
            self._over = True
            self._failure = exc

    def _taken(self, block: bytes) -> Event | None:
        """The event of a block, folded, and what it means for the stream itself."""
        event = decode_block(block)
        if event is not None:
            self._accumulator.apply(event)
        if isinstance(event, DoneEvent):
            self._over = True
        elif isinstance(event, ErrorEvent):
            self._error = event.data
        return event

    def _is_settled(self) -> bool:
        """Whether the run has ended, or pauses, as far as can be told."""
        run = self.run
        if run is None or self._torn:
            return False
        paused = run.status == "requires_action" and run is not self._answered
        return paused or run.status in ENDED_RUN

    async def _follow(self) -> AsyncGenerator[Event, None]:
        """Look at the run until it has ended or pauses, and give what has been missed."""
        if self._service is None or not (self._recovers or self._target):
            raise self._interruption() from self._failure
        now = asyncio.get_running_loop().time
        pace, patience = Pace(), now() + self._patience
        while not self._is_settled():
            looked = await self._look(self._service)
            events, pause = looked or ([], None)
            if events or (looked and self._target):
                patience = now() + self._patience
            for event in events:
                self._accumulator.apply(event)
                yield event
            if self._is_settled():
                break
            if self._error is not None or now() > patience:
                raise self._interruption() from self._failure
            async with self._in_time():
                await asyncio.sleep(pace.after(pause))
        if self._refusal is not None and calls_of(self.run):
            raise self._refusal

    async def _look(self, service: RunService) -> tuple[list[Event], float | None] | None:
        """What has changed, and the seconds to wait for the next look; None without an answer."""
        target = self._target or self.run
        if target is None:
            raise self._interruption() from self._failure
        try:
            async with self._in_time():
                events, run, pause = await look(
                    service, self._accumulator, target.thread_id, target.id
                )
        except APIStatusError as exc:
            self._failure = exc
            if not is_transient(exc):
                raise self._interruption() from exc
            return None
        except APIConnectionError as exc:
            self._failure = exc
            return None
        if run.status in ENDED_RUN or run.status == "requires_action":
            # Seen anew: what it says now counts, even where it says what it said before.
            self._answered = self._target = None
        self._torn = False
        return events, pause

    def _interruption(self) -> StreamInterrupted:
        """The error for a stream that has stopped too early."""
        self._interrupted = True
        assembled: Any = {"run": self.run, "steps": self.steps, "messages": self.messages}
        if self._error is not None:
            return RunStreamError(self._error, **assembled)
        status = self.run.status if self.run is not None else "unknown"
        why = self._failure or "the server closed it"
        message = f"the stream stopped before the run's end (its status was {status}): {why}"
        return StreamInterrupted(message, **assembled)

    async def _next_round(self) -> bool:
        """Answer the run's tool calls; False where there is nothing to answer, or nobody to."""
        run = self.run
        calls = calls_of(run)
        if self._toolset is None or self._service is None or run is None or not calls:
            return False
        unanswered = [call for call in calls if call.id not in self._outputs]
        if unanswered:
            self._rounds += 1
            if self._rounds > self._max_rounds:
                await self._cancel()
                raise MaxRoundsExceeded(
                    f"the run asked for tool outputs more than {self._max_rounds} times"
                )
            self._doubts = 0
            await self._run_tools(run, unanswered)
        outputs = [to_dict(self._outputs[call.id]) for call in calls]
        try:
            await self._answer({"tool_outputs": outputs})
        except AsyncRunsError as exc:
            self._doubt(exc)
        return True

    def _doubt(self, exc: AsyncRunsError) -> None:
        """Go on after an answer that may have got through: the run itself will tell."""
        self._doubts += 1
        if not self._recovers or self._doubts > MAX_DOUBTS:
            raise exc
        if isinstance(exc, BadRequestError):
            self._refusal = exc
        elif not is_transient(exc):
            raise exc
        self._failure = exc

    async def _run_tools(self, run: Run, calls: list[RequiredActionFunctionToolCall]) -> None:
        assert self._toolset is not None  # noqa: S101 -- _next_round has looked
        try:
            async with self._in_time():
                outputs = await self._toolset.answer(
                    run,
                    calls,
                    max_parallel=self._max_parallel_tools,
                    timeout=self._tool_timeout,
                    on_error=self._on_tool_error,
                    limiter=self._thread_limiter,
                )
        except AsyncRunsError:
            await self._cancel()
            raise
        self._outputs.update({output.tool_call_id: output for output in outputs})

    async def _answer(self, answer: Mapping[str, object]) -> None:
        """Submit an answer, and go on with the stream that it opens."""
        run = self.run
        if self._service is None or run is None or run.status != "requires_action":
            raise AsyncRunsError("there is nothing to answer: the run does not require an action")
        if run.expires_at is not None and time.time() > run.expires_at:
            message = f"the run expired before its tool outputs could be submitted ({run.id})"
            raise RunTimeoutError(message, run=run)
        # The connection goes back first: an answer must not wait for it.
        await self._close_body()
        self._blocks = BlockSplitter()
        self._over, self._failure, self._error, self._refusal = False, None, None, None
        self._answered = run
        async with self._in_time():
            self._body = await self._service.submit(run.thread_id, run.id, answer)

    async def _cancel(self) -> None:
        """Cancel the run at the server, whatever becomes of this task meanwhile."""
        cancelling = self._start_cancel()
        if cancelling is not None:
            await asyncio.wait({cancelling})

    def _start_cancel(self) -> asyncio.Task[None] | None:
        """Cancel the run in a task of its own, which no cancellation of ours can reach."""
        run = self.run or self._target
        if self._service is None or run is None or run.status in ENDED_RUN or self._cancelled:
            return None
        self._cancelled = True
        cancelling = asyncio.create_task(_cancel_quietly(self._service, run))
        _CANCELLING.add(cancelling)
        cancelling.add_done_callback(_CANCELLING.discard)
        return cancelling

    @asynccontextmanager
    async def _in_time(self) -> AsyncGenerator[None, None]:
        """Bound an await by the deadline of the whole run."""
        try:
            async with asyncio.timeout_at(self._deadline_at):
                yield
        except TimeoutError as exc:
            if self._deadline_at is None or asyncio.get_running_loop().time() < self._deadline_at:
                raise
            raise self._too_late() from exc

    def _too_late(self) -> RunTimeoutError:
        status = self.run.status if self.run is not None else "unknown"
        message = f"the run did not end within {self._deadline:g} s (its status is {status})"
        return RunTimeoutError(message, run=self.run)

    async def _text_deltas(self) -> AsyncGenerator[str, None]:
        async for event in self:
            if isinstance(event, ThreadMessageDelta):
                for part in event.data.delta.content or ():
                    if isinstance(part, TextDeltaBlock) and part.text and part.text.value:
                        yield part.text.value

    async def _close_body(self) -> None:
        self._watch.stop()
        chunks, self._chunks = self._chunks, None
        body, self._body = self._body, None
        for source in (chunks, body):
            aclose = getattr(source, "aclose", None)
            if aclose is not None and not _is_running(source):
                await aclose()


_ORDINARY: Final = {
    head: (kind, decode, Accumulator.folds[kind])
    for head, (kind, decode, _) in ORDINARY.items()
    if kind in Accumulator.folds
}
"""For the first line of each ordinary frame that is folded: its class, its decode, its fold."""


_DELTAS: Final = {
    b"event: " + kind.event.encode() for kind in (ThreadRunStepDelta, ThreadMessageDelta)
}
_ID_FIRST: Final = b'{"id":"'


def _is_running(source: object) -> bool:
    """Whether another task is inside an async generator, which then cannot be closed from here."""
    return bool(getattr(source, "ag_running", False))


# The loop itself keeps only weak references to tasks.
_CANCELLING: Final[set[asyncio.Task[None]]] = set()


async def _cancel_quietly(service: RunService, run: Run) -> None:
    try:
        async with asyncio.timeout(CANCEL_DEADLINE):
            await service.cancel(run.thread_id, run.id)
    except (AsyncRunsError, TimeoutError) as exc:
        # Over already, or out of reach: the caller's own exception matters more.
        _log.debug("run %s was not cancelled: %s", run.id, exc)


class _Watch:
    """Bounds the time of single reads with one timer, however many reads there are.

    A timer for each read would cost more than the read. This one looks, when it fires, since when
    the current read waits, and is set anew for the rest. A read that waits too long is cancelled
    and raises TimeoutError.
    """

    __slots__ = ("_cancelling", "_due", "_expired", "_limit", "_loop", "_task", "_timer")

    def __init__(self, limit: float | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._expired = False
        self._cancelling = 0

    def over(self, deadline_at: float | None) -> Self:
        """Watch a read that must end at a time of the loop's clock, too."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._limit
        if deadline_at is not None:
            self._due = min(self._due, deadline_at)
        return self

    def __enter__(self) -> None:
        if self._due == math.inf or self._loop is None:
            return
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._expired and task is not None:
            self._expired = False
            if task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
                raise TimeoutError("no byte came in time") from exc

    def is_past(self, when: float) -> bool:
        return self._loop is not None and self._loop.time() >= when

    def stop(self) -> None:
        """Take the timer back: no read is to come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None or self._loop is None:
            return  # nobody reads: the next read sets the timer
        if self._loop.time() >= self._due:
            self._expired = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(self._due, self._look)
