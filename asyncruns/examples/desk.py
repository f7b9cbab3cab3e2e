"""Questions to broadcasts: what the web apps share, whatever their framework.

A question becomes a run on a thread of its own, and its run a `Broadcast` with an address that
nobody can guess. Tabs watch it, leave it, and come back to it; when the last one has been away for
a while, the run is cancelled.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Final, Self

from asyncruns import APIConnectionError, APIStatusError, BadRequestError
from asyncruns.relay import Broadcast

if TYPE_CHECKING:
    from types import TracebackType

    from asyncruns import Client, Toolset

__all__ = ["PAGE", "PAGE_HEADERS", "Answer", "Desk", "Refusal"]

LONGEST_QUESTION: Final = 4000
"""Characters that a question may have."""
STOPPING: Final = "the server is about to stop"
MOST_ANSWERS: Final = 100
"""How many answers are kept."""
PATIENCE: Final = 10.0
"""Seconds after which a run that nobody watches is cancelled."""

PAGE: Final = files(__package__ or "asyncruns.examples").joinpath("page.html").read_bytes()
"""The page: one file, nothing to build."""


def _sources(tag: bytes) -> str:
    """The hashes of the page's own scripts or styles: the browser runs no others."""
    found = re.findall(b"<%b>(.*?)</%b>" % (tag, tag), PAGE, re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(one).digest()).decode() for one in found)
    return " ".join(f"'sha256-{one}'" for one in hashes)


PAGE_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; base-uri 'none'; "
    f"form-action 'none'; script-src {_sources(b'script')}; style-src {_sources(b'style')}",
    "Referrer-Policy": "no-referrer",  # the address of an answer is its key
}
"""The headers of the page."""


class Refusal(Exception):  # noqa: N818 -- an answer, not a failure of ours
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Answer:
    """A question, and the run that answers it."""

    question: str
    broadcast: Broadcast


class Desk:
    """Takes questions and keeps their answers; leaving its block leaves the runs.

    `patience` is how many seconds a run goes on that nobody watches, `keep` how many answers are
    kept: the oldest of those that have ended go first.
    """

    def __init__(
        self,
        client: Client,
        assistant_id: str,
        toolset: Toolset | None = None,
        *,
        patience: float = PATIENCE,
        keep: int = MOST_ANSWERS,
    ) -> None:
        self._client = client
        self._assistant_id = assistant_id
        self._toolset = toolset
        self._patience = patience
        self._keep = keep
        self._answers: dict[str, Answer] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the runs, which cancels them, and end the answers that are being watched."""
        self._closed = True
        for answer in self._answers.values():
            await answer.broadcast.aclose()

    async def ask(self, asked: object) -> str:
        """Take the body of a request, create the run, and give the answer's key.

        Raises Refusal for a body without a question, and where the run cannot be created.
        """
        question = asked.get("question") if isinstance(asked, dict) else None
        if not isinstance(question, str) or not 0 < len(question.strip()) <= LONGEST_QUESTION:
            raise Refusal(
                400, f'send {{"question": "…"}} with a text of 1 to {LONGEST_QUESTION} characters'
            )
        if self._closed:
            raise Refusal(503, STOPPING)
        self._make_room()
        try:
            thread = await self._client.threads.create(
                messages=[{"role": "user", "content": question}]
            )
            stream = self._client.runs.stream(
                thread_id=thread.id,
                assistant_id=self._assistant_id,
                toolset=self._toolset,
                cancel_on_exit=True,
            )
            broadcast = await Broadcast(stream, abandon_after=self._patience).open()
        except (APIConnectionError, APIStatusError) as exc:
            raise Refusal(502, f"the run could not be created: {exc}") from exc
        if self._closed:  # meanwhile
            await broadcast.aclose()
            raise Refusal(503, STOPPING)
        key = token_urlsafe(16)
        self._answers[key] = Answer(question, broadcast)
        return key

    def answer(self, key: str) -> Answer:
        """Give an answer; raises Refusal where it is not, or no longer, here."""
        answer = self._answers.get(key)
        if answer is None:
            raise Refusal(404, "there is no such answer, or no longer")
        return answer

    async def stop(self, key: str) -> None:
        """Cancel the run of an answer; its tabs see it end. Raises Refusal where it has ended."""
        run = self.answer(key).broadcast.stream.run
        if run is None:
            raise Refusal(409, "the run has not begun yet")
        try:
            await self._client.runs.cancel(run.id, thread_id=run.thread_id)
        except BadRequestError as exc:
            raise Refusal(409, "the run has ended already") from exc

    def _make_room(self) -> None:
        while len(self._answers) >= self._keep:
            ended = (key for key, one in self._answers.items() if one.broadcast.is_over)
            key = next(ended, None)
            if key is None:
                raise Refusal(503, f"{self._keep} runs are going on: try again later")
            del self._answers[key]
