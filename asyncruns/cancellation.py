"""Cancelling a run at the server, in tasks that no cancellation of ours can reach."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from asyncruns.events import decode_block
from asyncruns.models import Run
from asyncruns.service import close

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from asyncruns.service import RunService
    from asyncruns.sse import BlockSplitter

__all__ = ["cancel_quietly", "cancel_run", "cancel_unseen", "finish", "start"]

_log: Final = logging.getLogger("asyncruns")

CANCEL_DEADLINE: Final = 5.0
"""Seconds that cancelling the server's run may take when its stream is left."""

# The loop itself keeps only weak references to tasks.
_CANCELLING: Final[set[asyncio.Task[None]]] = set()


async def cancel_run(service: RunService, run: Run) -> None:
    """Cancel a run at the server, as far as that goes, whatever becomes of this task meanwhile."""
    await finish(start(cancel_quietly(service, run)))


def start(cancelling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin a cancelling in a task of its own, which lives until it is done."""
    task = asyncio.create_task(cancelling)
    _CANCELLING.add(task)
    task.add_done_callback(_CANCELLING.discard)
    return task


async def finish(cancelling: asyncio.Task[None]) -> None:
    """Wait for a task that ends soon by itself, however often this one is cancelled meanwhile."""
    import anyio  # noqa: PLC0415 -- a client has imported it; a stream of plain bytes needs none

    cancelled: asyncio.CancelledError | None = None
    # The shield keeps anyio's scopes out, and the loop a task's own cancel().
    with anyio.CancelScope(shield=True):
        while not cancelling.done():
            try:
                await asyncio.wait({cancelling})
            except asyncio.CancelledError as exc:
                cancelled = exc
    if cancelled is not None:
        raise cancelled


async def cancel_unseen(
    service: RunService, chunks: AsyncIterator[bytes], body: object, blocks: BlockSplitter
) -> None:
    """Cancel a run of which no event has been taken yet."""
    run: Run | None = None
    try:
        async with asyncio.timeout(CANCEL_DEADLINE):
            run = await _first_run(chunks, blocks)
    except Exception as exc:  # noqa: BLE001 -- whatever it is, the run may still be found
        _log.debug("the stream of a run to be cancelled broke off: %s", exc)
    await close(chunks, body)
    await cancel_quietly(service, run)


async def _first_run(chunks: AsyncIterator[bytes], blocks: BlockSplitter) -> Run | None:
    async for chunk in chunks:
        for block in blocks.feed(chunk):
            event = decode_block(block)
            if event is not None and isinstance(event.data, Run):
                return event.data
    return None


async def cancel_quietly(service: RunService, run: Run | None) -> None:
    """Cancel a run, or the one that the service can find, within CANCEL_DEADLINE."""
    try:
        async with asyncio.timeout(CANCEL_DEADLINE):
            run = run or await service.find()
            if run is not None:
                await service.cancel(run.thread_id, run.id)
    except Exception as exc:  # noqa: BLE001 -- the caller's own exception matters more
        # Over already, or out of reach.
        _log.debug("run %s was not cancelled: %s", run.id if run else "unknown", exc)
