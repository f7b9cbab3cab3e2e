"""Python functions to tool definitions; a tool call to its output."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
import threading
import typing
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import anyio
import anyio.to_thread
import msgspec

from asyncruns.errors import ToolError
from asyncruns.models import (
    DECODE_FAILURES,
    FunctionDefinition,
    FunctionTool,
    RequiredActionSubmitToolOutputs,
    Run,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from asyncruns.models import RequiredActionFunctionToolCall

__all__ = ["RunContext", "ToolErrorPolicy", "ToolOutput", "Toolset"]

ToolErrorPolicy = Literal["report", "raise"]
"""What becomes of a tool call that fails: reported to the model, or raised as ToolError."""

FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")


class RunContext(msgspec.Struct, frozen=True):
    """What a tool may know of the run that calls it.

    A parameter annotated with this class gets it, and stays out of the tool's schema.
    """

    run: Run
    """The run, as it asked for the call."""
    call_id: str
    """The tool call's id; with the run's id a key that names this call for ever."""


class ToolOutput(msgspec.Struct):
    """The output of one tool call, as it is submitted."""

    tool_call_id: str
    """The id of the call."""
    output: str
    """What the model gets to read."""


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

    Registering raises ValueError for a name that is taken, and TypeError for a signature that
    has no schema; both say which function and why.
    """

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self._tools: dict[str, _Tool] = {}
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
        tool = _Tool(function, name, description)
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
        tool = self._tools.get(call.function.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise _failure(
                "unknown_tool", f"there is no tool {call.function.name!r}, only: {known}"
            )
        arguments = tool.decode(call.function.arguments, RunContext(run, call.id))
        output: str | None = None
        with anyio.move_on_after(timeout):
            output = await tool.run(arguments, limiter)
        if output is None:
            raise _failure("timeout", f"the tool did not answer within {timeout:g} s")
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
                    outputs[call.id] = await self.call(call, run, limiter=limiter, timeout=timeout)
                except ToolError as exc:
                    outputs[call.id] = exc.report
                    failures.append(exc)
                    if on_error == "raise":
                        group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(carry_out, call, name=f"tool call {call.function.name}")
        if failures and on_error == "raise":
            raise failures[0]
        return [ToolOutput(call.id, outputs[call.id]) for call in calls]


def calls_of(run: Run | None) -> list[RequiredActionFunctionToolCall]:
    """The tool calls that a run waits for; empty where it waits for none."""
    if run is None or run.status != "requires_action":
        return []
    action = run.required_action
    if not isinstance(action, RequiredActionSubmitToolOutputs):
        return []
    return action.submit_tool_outputs.tool_calls


def check_outputs(
    calls: Iterable[RequiredActionFunctionToolCall], outputs: Iterable[Mapping[str, Any]]
) -> None:
    """Raise ValueError unless the outputs answer each call exactly once."""
    wanted = {call.id for call in calls}
    given = Counter(str(output.get("tool_call_id")) for output in outputs)
    faults = {
        "missing": wanted - given.keys(),
        "unknown": given.keys() - wanted,
        "doubled": {call_id for call_id, count in given.items() if count > 1},
    }
    if any(faults.values()):
        said = "; ".join(
            f"{fault}: {', '.join(sorted(ids))}" for fault, ids in faults.items() if ids
        )
        raise ValueError(f"the tool outputs must answer each call exactly once ({said})")


class _Tool:
    """One function: its definition, the struct of its arguments, and how it is run."""

    def __init__(
        self, function: Callable[..., Any], name: str | None, description: str | None
    ) -> None:
        self.function = function
        self.name = str(name or getattr(function, "__name__", type(function).__name__))
        documented = _documentation(function)
        fields, self.context_names = _fields(function, self.name)
        try:
            self.arguments = msgspec.defstruct(
                self.name, fields, kw_only=True, forbid_unknown_fields=True
            )
            schema = _schema(self.arguments)
        except (TypeError, ValueError) as exc:
            raise TypeError(f"the signature of tool {self.name!r} has no schema: {exc}") from exc
        for parameter, text in documented.parameters.items():
            described = schema.get("properties", {}).get(parameter)
            if described is not None and "$ref" not in described:
                described.setdefault("description", text)
        self.decoder = msgspec.json.Decoder(self.arguments)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            type(function).__call__
        )
        self.definition = FunctionTool(
            function=FunctionDefinition(
                name=self.name,
                description=description or documented.text or None,
                parameters=schema,
                strict=True if _is_strict(schema) else None,
            )
        )

    def decode(self, arguments: str, context: RunContext) -> dict[str, Any]:
        """The keyword arguments of a call; raises ToolError where they do not validate."""
        try:
            decoded = self.decoder.decode(arguments.encode("utf-8", "replace") or b"{}")
        except DECODE_FAILURES as exc:
            raise _failure("invalid_arguments", str(exc)) from exc
        keywords = msgspec.structs.asdict(decoded)
        return keywords | dict.fromkeys(self.context_names, context)

    async def run(self, keywords: dict[str, Any], limiter: anyio.CapacityLimiter | None) -> str:
        """Call the function and encode its result; raises ToolError where it fails."""
        call = functools.partial(self.function, **keywords)
        try:
            result = await (call() if self.is_async else _in_thread(call, limiter))
            return result if isinstance(result, str) else to_json(result).decode()
        except Exception as exc:
            raise _failure("tool_failed", f"{type(exc).__name__}: {exc}") from exc


def _failure(code: str, message: str) -> ToolError:
    error = ToolError(message)
    error.report = msgspec.json.encode({"error": {"code": code, "message": message}}).decode()
    return error


_UNBOUNDED: Final = anyio.CapacityLimiter(math.inf)


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

    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=_UNBOUNDED)
    finally:
        if gate.acquire(blocking=False):
            release()


class _Documentation(msgspec.Struct):
    text: str = ""
    parameters: dict[str, str] = {}


def _documentation(function: Callable[..., Any]) -> _Documentation:
    """What a docstring says of a function, and of its parameters if a parser is installed."""
    docstring = inspect.getdoc(function) or ""
    try:
        import docstring_parser  # noqa: PLC0415 -- an extra, imported only where it is used
    except ImportError:
        return _Documentation(docstring.partition("\n\n")[0])
    parsed = docstring_parser.parse(docstring)
    paragraphs = [part for part in (parsed.short_description, parsed.long_description) if part]
    parameters = {item.arg_name: item.description for item in parsed.params if item.description}
    return _Documentation("\n\n".join(paragraphs), parameters)


def _fields(
    function: Callable[..., Any], name: str
) -> tuple[list[tuple[str, Any] | tuple[str, Any, Any]], list[str]]:
    """The fields of a function's arguments, and the parameters that take the run's context."""
    try:
        hints = typing.get_type_hints(_annotated(function), include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as exc:
        raise TypeError(f"the signature of tool {name!r} cannot be read: {exc}") from exc
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    context_names: list[str] = []
    for parameter in parameters:
        hint = hints.get(parameter.name)
        if hint is RunContext:
            context_names.append(parameter.name)
            continue
        if parameter.kind not in _BY_NAME:
            fault = "cannot be passed by name"
        elif hint is None:
            fault = "has no annotation"
        else:
            default = parameter.default
            unset = default is parameter.empty
            fields.append((parameter.name, hint, *(() if unset else (_default(default),))))
            continue
        raise TypeError(f"the parameter {parameter.name!r} of tool {name!r} {fault}")
    return fields, context_names


_BY_NAME: Final = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def _annotated(function: Callable[..., Any]) -> Any:
    """The object that carries the annotations of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _default(value: Any) -> Any:
    """A default as msgspec takes it: containers come from a factory."""
    if isinstance(value, list | dict | set | bytearray):
        return msgspec.field(default_factory=functools.partial(type(value), value))
    return value


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a struct, with what it refers to under `$defs`."""
    _, components = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop(arguments.__name__)
    del schema["title"]
    for component in components.values():
        if "properties" in component:
            component["additionalProperties"] = False
    return {**schema, "$defs": components} if components else schema


_STRICT_KEYWORDS: Final = {
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "description",
    "enum",
    "items",
    "properties",
    "required",
    "title",
    "type",
}


def _is_strict(schema: Any) -> bool:
    """Whether a schema keeps to the subset that strict function calling takes.

    Every property is required, no object takes others, and only plain keywords are used.
    """
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if not schema.keys() <= _STRICT_KEYWORDS:
        return False
    if schema.get("type") == "object":
        names = schema.get("properties", {})
        if set(schema.get("required", ())) != set(names) or schema.get("additionalProperties", 1):
            return False
    nested = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    return all(map(_is_strict, [*nested, schema.get("items"), schema.get("anyOf")]))
