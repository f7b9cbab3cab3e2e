"""Tool calls to outputs that survive their worker: a call that was answered is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncruns import Toolset

if TYPE_CHECKING:
    import anyio

    from asyncruns import FunctionTool, RequiredActionFunctionToolCall, Run
    from asyncruns.workers.lease import Lease
    from asyncruns.workers.sections import Sections

__all__ = ["KeptToolset"]


class KeptToolset(Toolset):
    """A toolset whose outputs are kept in the database until their round is over.

    A round is answered in one request. Where its worker dies before that, the next one carries
    out only those calls that had not returned.
    """

    def __init__(self, toolset: Toolset, lease: Lease, sections: Sections) -> None:
        super().__init__()
        self._toolset = toolset
        self._lease = lease
        self._sections = sections
        self._keeps = True  # a delivery before this one may have kept some

    @property
    def definitions(self) -> list[FunctionTool]:
        """The tools, as the toolset has them."""
        return self._toolset.definitions

    async def call(
        self,
        call: RequiredActionFunctionToolCall,
        run: Run,
        *,
        limiter: anyio.CapacityLimiter | None = None,
        timeout: float | None = None,
    ) -> str:
        """Give the output that was kept, or carry out the call and keep its output."""
        async with self._sections.enter():
            output = await self._lease.output(call)
            if output is None:
                self._keeps = True
                output = await self._toolset.call(call, run, limiter=limiter, timeout=timeout)
                await self._lease.keep_output(call, output)
        return output

    async def end_round(self) -> None:
        """Drop what was kept."""
        if self._keeps:
            self._keeps = False
            await self._lease.forget_outputs()
