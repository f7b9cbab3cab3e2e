"""Messages to replies: a thread for each conversation, and at most one run on it at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from asyncruns import (
    AsyncRunsError,
    FunctionToolCall,
    Message,
    Run,
    RunHandler,
    Text,
    TextContentBlock,
    TextDelta,
    ToolCall,
)

if TYPE_CHECKING:
    from types import TracebackType

    from asyncruns import Client, Toolset

__all__ = ["Busy", "Conversations", "Reply", "Send", "WhileBusy"]

_log: Final = logging.getLogger(__name__)

MOST_WAITING: Final = 20
"""Messages of one conversation that may wait."""
MOST_KNOWN: Final = 10_000
"""Conversations whose threads are remembered."""
PARTIAL_EVERY: Final = 0.5
"""Seconds between two partial texts of a message: chats limit how often one is edited."""

WhileBusy: TypeAlias = Literal["wait", "cancel"]
"""What a message does that comes while a run is live: wait for its end, or cancel it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Something for a conversation to show."""

    conversation: str
    kind: Literal["typing", "partial", "tool", "text", "stopped", "failed"]
    text: str = ""
    id: str = ""
    """Of a partial text and of the text that takes its place: the message's."""


Send: TypeAlias = Callable[[Reply], Awaitable[None]]
"""Delivers a reply. What it raises is logged, and the run goes on."""


class Busy(Exception):  # noqa: N818 -- an answer, not a failure
    """Too many messages of a conversation are waiting."""


@dataclass(slots=True)
class _Conversation:
    waiting: deque[str] = field(default_factory=deque[str])
    thread_id: str | None = None
    task: asyncio.Task[None] | None = None
    answering: asyncio.Task[None] | None = None


class Conversations:
    """Answers messages, as an async context manager; leaving the block cancels the live runs.

    Messages of one conversation are answered in their order. With `while_busy="cancel"` a message
    that comes while a run is live cancels it, and those that have been waiting are dropped. The
    threads of `remember` conversations are known; those that have been quiet longest go first.
    """

    def __init__(
        self,
        client: Client,
        assistant_id: str,
        send: Send,
        toolset: Toolset | None = None,
        *,
        while_busy: WhileBusy = "wait",
        remember: int = MOST_KNOWN,
    ) -> None:
        if while_busy not in {"wait", "cancel"}:
            raise ValueError(f"while_busy must be wait or cancel, not {while_busy!r}")
        self._client = client
        self._assistant_id = assistant_id
        self._send = send
        self._toolset = toolset
        self._cancels = while_busy == "cancel"
        self._remember = remember
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = [one.task for one in self._conversations.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def take(self, name: str, text: str) -> None:
        """Take a message of a conversation; its replies come by `send`. Raises Busy."""
        conversation = self._conversations.setdefault(name, _Conversation())
        self._conversations.move_to_end(name)
        if self._cancels:
            conversation.waiting.clear()
            if conversation.answering is not None:
                conversation.answering.cancel()
        elif len(conversation.waiting) >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} messages of this conversation are waiting already")
        conversation.waiting.append(text)
        if conversation.task is None:
            conversation.task = asyncio.create_task(self._answer_all(name, conversation))
            self._forget_quiet()

    async def _answer_all(self, name: str, conversation: _Conversation) -> None:
        """Answer what waits, one message after the other, until none does."""
        try:
            while conversation.waiting:
                answer = self._answer(name, conversation, conversation.waiting.popleft())
                # A task of its own: it alone is cancelled by the message that comes next.
                conversation.answering = asyncio.create_task(answer)
                try:
                    await asyncio.wait({conversation.answering})
                finally:
                    conversation.answering.cancel()
                    await asyncio.wait({conversation.answering})
                if conversation.answering.cancelled():
                    await self._deliver(Reply(name, "stopped"))
        finally:
            conversation.task = conversation.answering = None

    async def _answer(self, name: str, conversation: _Conversation, text: str) -> None:
        try:
            if conversation.thread_id is None:
                conversation.thread_id = (await self._client.threads.create()).id
            async with self._client.runs.stream(
                thread_id=conversation.thread_id,
                assistant_id=self._assistant_id,
                additional_messages=[{"role": "user", "content": text}],
                toolset=self._toolset,
                event_handler=_Replies(name, self._deliver),
                # One that was cancelled, or left in its creation, may take a moment to end.
                on_active_run="cancel" if self._cancels else "wait",
                cancel_on_exit=True,
            ) as stream:
                await stream.until_done()
        except AsyncRunsError as exc:
            _log.warning("conversation %s: the run has failed: %s", name, exc)
            await self._deliver(Reply(name, "failed", "Something went wrong; please ask again."))

    async def _deliver(self, reply: Reply) -> None:
        try:
            await self._send(reply)
        except Exception as exc:  # noqa: BLE001 -- whatever a platform's code raises
            _log.warning("conversation %s: a reply was not delivered: %s", reply.conversation, exc)

    def _forget_quiet(self) -> None:
        excess = len(self._conversations) - self._remember
        if excess > 0:
            quiet = [name for name, one in self._conversations.items() if one.task is None]
            for name in quiet[:excess]:
                del self._conversations[name]


class _Replies(RunHandler):
    """The replies to one message."""

    def __init__(self, conversation: str, deliver: Send) -> None:
        self._conversation = conversation
        self._deliver = deliver
        self._message_id = ""
        self._next_partial = 0.0

    async def on_run_created(self, run: Run) -> None:
        """The other side is told at once that somebody is there."""
        del run
        await self._reply("typing")

    async def on_tool_call_created(self, call: ToolCall) -> None:
        """A notice of what is being done."""
        name = call.function.name if isinstance(call, FunctionToolCall) else call.type
        await self._reply("tool", name or "a function")

    def on_message_created(self, message: Message) -> None:
        """The text that follows is this message's."""
        self._message_id = message.id
        self._next_partial = 0.0

    async def on_text_delta(self, delta: TextDelta, text: Text) -> None:
        """The text so far, every now and then."""
        del delta
        now = asyncio.get_running_loop().time()
        if now >= self._next_partial:
            self._next_partial = now + PARTIAL_EVERY
            await self._reply("partial", text.value, self._message_id)

    async def on_message_done(self, message: Message) -> None:
        """The whole text, in the place of the partial ones."""
        texts = [part.text.value for part in message.content if isinstance(part, TextContentBlock)]
        await self._reply("text", "\n".join(texts), message.id)

    async def on_run_done(self, run: Run) -> None:
        """Why there is no more of it, unless that is the end of the answer."""
        if run.status == "failed" and run.last_error is not None:
            await self._reply("failed", run.last_error.message or "")
        elif run.status != "completed":
            await self._reply("failed", f"The answer is {run.status}.")

    async def _reply(
        self,
        kind: Literal["typing", "partial", "tool", "text", "failed"],
        text: str = "",
        reply_id: str = "",
    ) -> None:
        await self._deliver(Reply(self._conversation, kind, text, reply_id))
