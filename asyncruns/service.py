"""What a stream needs of a server: the requests of one run, and the bytes that answer them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncruns.models import Message, Run, RunStep

__all__ = ["ByteStream", "RunService"]

DRAIN: Final = 0.02
"""Seconds that a body may take to end once its `done` has come."""


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

    async def find(self) -> Run | None:
        """Find the run whose stream was opened and broke off before its first event.

        None where nothing tells which run it is.
        """
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

    async def submit(
        self, thread_id: str, run_id: str, answer: Mapping[str, object]
    ) -> ByteStream | Run:
        """Submit what the run waits for, and open the stream that goes on from there.

        Gives the run where there is no stream of it.
        """
        ...

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Cancel the run."""
        ...


def is_running(source: object) -> bool:
    """Whether another task is inside an async generator, which then cannot be closed from here."""
    return bool(getattr(source, "ag_running", False))


async def drain(chunks: AsyncIterator[bytes], body: object) -> None:
    """Read a body's end, which for many servers comes a moment after the last that counts.

    Then its connection can be used again, for the next tool round first of all.
    """
    if getattr(body, "is_over", False):
        return  # its end came with the last that counts
    with suppress(Exception):  # after `done` nothing that a connection does is an error
        async with asyncio.timeout(DRAIN):
            while True:
                await anext(chunks)


async def close(*sources: object) -> None:
    """Close what can be closed, from the inside out; a body may be its own iterator."""
    closed: object = None
    for source in sources:
        aclose = getattr(source, "aclose", None)
        if aclose is not None and source is not closed and not is_running(source):
            await aclose()
        closed = source
