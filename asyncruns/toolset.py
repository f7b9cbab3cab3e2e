"""Python functions to tool definitions; a tool call to its output."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
import threading
from typing import TYPE_CHECKING, Any, TypeVar, overload

import anyio
import msgspec

from asyncruns.calls import ToolErrorPolicy, ToolOutput
from asyncruns.definitions import RunContext, ToolFunction
from asyncruns.errors import ToolError
from asyncruns.models import to_json
from asyncruns.tracing import traced_call

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from asyncruns.models import FunctionTool, RequiredActionFunctionToolCall, Run

__all__ = ["RunContext", "Toolset"]

FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")


class Toolset:
    """Python functions that a model may call.

    ::

        toolset = Toolset(get_weather)

        @toolset.tool
        async def get_time(city: str) -> str:
            \"\"\"Tell the time in a city.\"\"\"

    Each function becomes a tool of its name, with the description from its docstring and a JSON
    schema from its annotations: everything that msgspec has a schema for, such as str, int,
    Literal, Enum, dataclasses, TypedDict, structs, and Annotated with msgspec.Meta. Descriptions
    of the parameters come from the docstring (Google, NumPy or reST) where docstring-parser, the
    extra `tools`, is installed.

    A parameter with a default need not be given. One annotated with RunContext gets the run and
    the call, what a `functools.partial` has bound is settled, and neither is in the schema.

    Registering raises ValueError for a name that is taken, or that the API does not allow, and
    TypeError for a signature that has no schema; both say which function and why.
    """

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self._tools: dict[str, ToolFunction] = {}
        for function in functions:
            self.tool(function)

    @property
    def definitions(self) -> list[FunctionTool]:
        """The tools, to be passed as `tools=` of an assistant or a run."""
        return [tool.definition for tool in self._tools.values()]

    @overload
    def tool(self, function: FunctionT, /) -> FunctionT: ...

    @overload
    def tool(
        self, /, *, name: str | None = None, description: str | None = None
    ) -> Callable[[FunctionT], FunctionT]: ...

    def tool(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Any:
        """Register a function, as a call or as a decorator; the function itself stays as it is."""
        if function is None:
            return functools.partial(self._register, name=name, description=description)
        return self._register(function, name=name, description=description)

    def _register(
        self, function: FunctionT, *, name: str | None, description: str | None
    ) -> FunctionT:
        tool = ToolFunction(function, name=name, description=description)
        if tool.name in self._tools:
            raise ValueError(f"there is a tool named {tool.name!r} already: pass another name=")
        self._tools[tool.name] = tool
        return function

    async def call(
        self,
        call: RequiredActionFunctionToolCall,
        run: Run,
        *,
        limiter: anyio.CapacityLimiter | None = None,
        timeout: float | None = None,
    ) -> str:
        """Carry out one call and give its output: a str as it is, anything else as JSON.

        Sync functions run in a worker thread. One that is still running at the time limit, or
        when the caller is cancelled, is left to itself: its result is dropped, and its place in
        `limiter` is kept until it returns. `timeout` is in seconds.

        Raises ToolError, which says what was wrong, with the cause chained.
        """
        with traced_call(call) as tell:
            tool = self._tools.get(call.function.name)
            if tool is None:
                known = ", ".join(self._tools) or "none"
                raise _failure(
                    "unknown_tool", f"there is no tool {call.function.name!r}, only: {known}"
                )
            with _failing_as("invalid_arguments"):
                keywords = tool.keywords(call.function.arguments, RunContext(run, call.id))
            output: str | None = None
            with anyio.move_on_after(timeout), _failing_as("tool_failed"):
                output = await _output(tool, keywords, limiter)
            if output is None:
                raise _failure("timeout", f"the tool did not answer within {timeout:g} s")
            tell(output)
        return output

    async def answer(
        self,
        run: Run,
        calls: Sequence[RequiredActionFunctionToolCall],
        *,
        max_parallel: int = 16,
        timeout: float | None = None,
        on_error: ToolErrorPolicy = "report",
        limiter: anyio.CapacityLimiter | None = None,
    ) -> list[ToolOutput]:
        """Carry out calls at once, at most `max_parallel` of them at a time.

        With `on_error="report"` a call that fails has as its output a JSON object that tells the
        model what was wrong. With `"raise"` the first failure cancels the other calls and is
        raised as ToolError.
        """
        outputs: dict[str, str] = {}
        failures: list[ToolError] = []
        places = anyio.CapacityLimiter(max_parallel)

        async def carry_out(call: RequiredActionFunctionToolCall) -> None:
            async with places:
                try:
                    with _cancellation_is_a_failure():
                        outputs[call.id] = await self.call(
                            call, run, limiter=limiter, timeout=timeout
                        )
                except ToolError as exc:
                    outputs[call.id] = exc.report
                    failures.append(exc)
                    if on_error == "raise":
                        group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                for call in calls:
                    group.start_soon(carry_out, call, name=f"tool call {call.function.name}")
        except BaseExceptionGroup as exc:
            first = exc.exceptions[0]  # no Exception comes here: it would be a ToolError
            if isinstance(first, KeyboardInterrupt | SystemExit):
                raise  # these have left the loop already, and would disturb its closing
            raise first from first.__cause__
        if failures and on_error == "raise":
            raise failures[0]
        return [ToolOutput(call.id, outputs[call.id]) for call in calls]


async def _output(
    tool: ToolFunction, keywords: dict[str, Any], limiter: anyio.CapacityLimiter | None
) -> str:
    """Call a function and encode its result."""
    call = functools.partial(tool.function, **keywords)
    result = call() if tool.is_async else await _in_thread(call, limiter)
    if inspect.isawaitable(result):  # a sync function may give a coroutine: a decorator's does
        result = await result
    # A subclass of str is text, too, which the JSON of a submission would not take.
    output = str.__str__(result) if isinstance(result, str) else to_json(result).decode()
    output.encode()  # lone surrogates cannot be sent: better to fail here than there
    return output


def _failure(code: str, message: str) -> ToolError:
    message = message.encode("utf-8", "replace").decode()
    error = ToolError(message)
    error.report = msgspec.json.encode({"error": {"code": code, "message": message}}).decode()
    return error


@contextlib.contextmanager
def _failing_as(code: str) -> Generator[None]:
    """Turn every exception of a block into the ToolError that tells the model of it."""
    try:
        yield
    except Exception as exc:
        try:
            reason = f"{type(exc).__name__}: {exc}"
        except Exception:  # noqa: BLE001 -- a foreign __str__ may do anything
            reason = type(exc).__name__
        raise _failure(code, reason) from exc


@contextlib.contextmanager
def _cancellation_is_a_failure() -> Generator[None]:
    """Turn a cancellation that comes out of a tool into a ToolError.

    A task group takes a cancelled child for one that it has cancelled itself, and says nothing.
    """
    try:
        yield
    except asyncio.CancelledError as exc:
        if anyio.current_effective_deadline() == -math.inf:  # a scope around us is cancelled
            raise
        raise _failure("tool_failed", "the tool was cancelled from within") from exc


async def _in_thread(function: Callable[[], Any], limiter: anyio.CapacityLimiter | None) -> Any:
    """Run a function in a worker thread, whose place in the limiter it keeps until it returns."""
    if limiter is None:
        return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)
    borrower = object()
    await limiter.acquire_on_behalf_of(borrower)
    release = functools.partial(limiter.release_on_behalf_of, borrower)
    loop = asyncio.get_running_loop()
    # Whoever gets the gate gives the place back: the thread, or a cancellation that came first.
    gate = threading.Lock()

    def work() -> Any:
        if not gate.acquire(blocking=False):
            return None
        try:
            return function()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(release)

    own = anyio.CapacityLimiter(1)  # the place has been taken already
    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=own)
    finally:
        if gate.acquire(blocking=False):
            release()
