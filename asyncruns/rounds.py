"""Required actions to outputs: the rounds in which the tool calls of a run are answered.

An answer may have to be sent more than once, because nobody knows whether it got through. Each
call is carried out once all the same: its output is kept until the run has gone on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from asyncruns.calls import calls_of
from asyncruns.errors import AsyncRunsError, BadRequestError, MaxRoundsExceeded, RunTimeoutError
from asyncruns.follow import is_transient
from asyncruns.models import to_dict

if TYPE_CHECKING:
    import anyio

    from asyncruns.calls import ToolErrorPolicy, ToolOutput
    from asyncruns.models import RequiredActionFunctionToolCall, Run
    from asyncruns.toolset import Toolset

__all__ = ["Rounds"]

MAX_DOUBTS: Final = 3
"""How often an answer is sent again where nobody knows whether it got through."""


class Rounds:
    """Answers the tool calls of one run with a toolset; without one there is nothing to answer."""

    def __init__(
        self,
        toolset: Toolset | None,
        *,
        max_rounds: int = 25,
        max_parallel_tools: int = 16,
        tool_timeout: float | None = 300.0,
        on_tool_error: ToolErrorPolicy = "report",
        thread_limiter: anyio.CapacityLimiter | None = None,
    ) -> None:
        if on_tool_error not in {"report", "raise"}:
            raise ValueError(f"on_tool_error must be report or raise, not {on_tool_error!r}")
        self._toolset = toolset
        self._max_rounds = max_rounds
        self._max_parallel = max_parallel_tools
        self._timeout = tool_timeout
        self._on_error: ToolErrorPolicy = on_tool_error
        self._limiter = thread_limiter
        self._since: float | None = None
        self._count = 0
        self._outputs: dict[str, ToolOutput] = {}
        self._doubts = 0
        self._refusal: BadRequestError | None = None

    def start_clock(self) -> None:
        """Take now for the earliest moment that the run can have been created; once."""
        if self._since is None:
            self._since = time.monotonic()

    def check_time(self, run: Run) -> None:
        """Raise RunTimeoutError for a run whose `expires_at` has passed: it takes no answer.

        The time that has gone by here is held against the run's own lifetime: the server's clock
        need not agree with ours. An older run is for the server to refuse.
        """
        if self._since is None or run.expires_at is None or run.created_at is None:
            return
        if time.monotonic() - self._since > run.expires_at - run.created_at:
            message = f"run {run.id} expired before its required action could be answered"
            raise RunTimeoutError(message, run=run)

    def due(self, run: Run) -> list[RequiredActionFunctionToolCall]:
        """The calls that the run waits for and that can be answered here."""
        return [] if self._toolset is None else calls_of(run)

    async def outputs(self, run: Run) -> list[dict[str, str]]:
        """Carry out the calls that are due, and give the outputs of all of them.

        Raises MaxRoundsExceeded, and ToolError with `on_tool_error="raise"`.
        """
        calls = self.due(run)
        new = [call for call in calls if call.id not in self._outputs]
        if new and self._toolset is not None:
            self._count += 1
            if self._count > self._max_rounds:
                raise MaxRoundsExceeded(
                    f"the run asked for tool outputs more than {self._max_rounds} times"
                )
            self._doubts, self._refusal = 0, None
            outputs = await self._toolset.answer(
                run,
                new,
                max_parallel=self._max_parallel,
                timeout=self._timeout,
                on_error=self._on_error,
                limiter=self._limiter,
            )
            self._outputs |= {output.tool_call_id: output for output in outputs}
        return [to_dict(self._outputs[call.id]) for call in calls]

    def doubt(self, exc: AsyncRunsError) -> None:
        """Take note of an answer that failed; raises it where looking at the run is no use.

        A refusal is no failure yet: an earlier attempt may have got through.
        """
        self._doubts += 1
        if isinstance(exc, BadRequestError):
            self._refusal = exc
        elif not is_transient(exc):
            raise exc
        if self._doubts > MAX_DOUBTS:
            raise exc

    def check_refusal(self, run: Run) -> None:
        """Raise the refusal of an answer that the run, seen again, still waits for."""
        if self._refusal is not None and self.due(run):
            raise self._refusal

    def forget(self) -> None:
        """Drop the outputs: the run has gone on. Servers may use the ids of calls again."""
        self._outputs.clear()
        self._refusal = None
