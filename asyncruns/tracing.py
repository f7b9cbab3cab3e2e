"""Runs and tool calls to OpenTelemetry spans, by its conventions for generative AI.

A program that has not imported OpenTelemetry has configured none of it: nothing is imported here
then, either, and all that a run pays is a look at `sys.modules`. No span is ever the current one
while a stream waits for its reader, for it would stay so in the reader's own code.

What users, models and tools say is recorded only where the environment asks for it, by
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from asyncruns.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span, Tracer

    from asyncruns.models import Message, RequiredActionFunctionToolCall, Run

__all__ = ["Invocation", "RunTrace", "traced_call"]

CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable that asks for content; read whenever a span begins or ends."""

OUTCOME: Final = "asyncruns.outcome"
"""The attribute that says how a stream has ended; the conventions have none for it."""

_CAPTURES: Final = frozenset({"1", "true", "span_only", "span_and_event"})

_FAILED: Final = frozenset({"failed", "expired"})
"""The outcomes that make a span an error. That a run is incomplete or cancelled was asked for."""

_GOES_ON: Final = frozenset({None, "requires_action"})
"""The outcomes after which the same stream may go on."""

_UNFINISHED: Final = frozenset({"interrupted", "requires_action"})
"""The outcomes that an error may have brought about; the others are the run's own."""

_TEXT: Final = b"thread.message.delta"
_HEAD: Final = 80
"""Within how many bytes of a block its event's name stands."""

_PORTS: Final = {"http": 80, "https": 443}

_PROVIDERS: Final = {
    ".openai.azure.com": "azure.ai.openai",
    ".cognitiveservices.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
}
"""Whose the hosts are that do not belong to `openai`, by their ends."""


class Invocation(msgspec.Struct, frozen=True):
    """What is known of a run before the server answers."""

    base_url: str
    """Where the server is."""
    params: Mapping[str, Any]
    """The parameters of the call that asks for the run."""
    thread_id: str = ""
    """The thread; empty where it is yet to be created."""


class Traced(Protocol):
    """What a span tells of a stream, or of a run that is polled."""

    @property
    def run(self) -> Run | None:
        """The run as it is now."""
        ...

    @property
    def messages(self) -> list[Message]:
        """The run's messages as they are now."""
        ...

    @property
    def outcome(self) -> str | None:
        """How the stream has ended; None while it goes on."""
        ...


class RunTrace:
    """The span of one run, from its first request to its end, over all rounds.

    It ends with the run, with the first error that its stream raises, or when the stream is
    closed. All methods do nothing without a span: before the start, after the end, and where
    nobody traces.
    """

    __slots__ = ("_began", "_failure", "_invocation", "_span", "awaits_text")

    def __init__(self, invocation: Invocation | None) -> None:
        self._invocation = invocation
        self._span: Span | None = None
        self._began = 0.0
        self._failure: BaseException | None = None
        self.awaits_text = False
        """Whether `look_for_text` wants to see what comes."""

    @contextmanager
    def whole(self, polled: Traced) -> Generator[None]:
        """Begin the span, and end it with a block that carries out the run and yields nothing."""
        with self.opening(polled), self.current():
            yield
        self.end(polled)

    @contextmanager
    def opening(self, stream: Traced) -> Generator[None]:
        """Begin the span, and end it if the request that starts the run fails."""
        self._start()
        try:
            yield
        except BaseException as exc:
            self.fail(exc)
            self.end(stream)
            raise

    def _start(self) -> None:
        tracer = _tracer()
        if tracer is None or self._invocation is None:
            return
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 -- imported already, or not at all

        attributes = _attributes_of_request(self._invocation)
        span = tracer.start_span("invoke_agent", kind=SpanKind.CLIENT, attributes=attributes)
        # One that is valid leads the spans of tools to their parent, even if it is not recorded.
        if span.get_span_context().is_valid:
            self._span = span
            self._began = time.perf_counter()
            self.awaits_text = span.is_recording()

    def current(self) -> AbstractContextManager[object]:
        """Make the span the current one, for as long as nothing is yielded."""
        return nullcontext() if self._span is None else _current(self._span)

    def look_for_text(self, blocks: Iterable[bytes]) -> None:
        """Note the time of the first piece of a message among blocks of an event stream."""
        if self._span is not None and any(_TEXT in block[:_HEAD] for block in blocks):
            self.awaits_text = False
            seconds = time.perf_counter() - self._began
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def fail(self, exc: BaseException) -> None:
        """Note what ends the stream before the run's end; that its reader left is no failure."""
        if self._span is not None and not isinstance(exc, GeneratorExit):
            self._failure = self._failure or exc

    def rest(self, stream: Traced) -> None:
        """End the span unless the stream may go on from here."""
        if self._failure is not None or stream.outcome not in _GOES_ON:
            self.end(stream)

    def end(self, stream: Traced) -> None:
        """End the span, with what the stream knows of the run."""
        span, self._span, self.awaits_text = self._span, None, False
        if span is None:
            return
        try:
            if span.is_recording():
                self._tell(span, stream)
        finally:
            self._failure = None  # its traceback leads to the stream, and so back to here
            span.end()

    def _tell(self, span: Span, stream: Traced) -> None:
        run, outcome = stream.run, stream.outcome or "interrupted"
        span.set_attribute(OUTCOME, outcome)
        if run is not None:
            span.set_attributes(_attributes_of_run(run))
            if _captures_content():
                span.set_attributes(_content(run, stream.messages))
        if run is not None and outcome in _FAILED:
            error = run.last_error
            code, message = (error.code, error.message) if error else (None, None)
            _set_error(span, code or outcome, message)
        elif self._failure is not None and outcome in _UNFINISHED:
            _record(span, self._failure, type(self._failure).__qualname__)


@contextmanager
def traced_call(call: RequiredActionFunctionToolCall) -> Generator[Callable[[str], None]]:
    """Carry out a tool call as a span, which is the current one meanwhile.

    Gives a function that wants to be told the call's output. What is raised ends the span as an
    error, named after the tool's own exception or else by the code that the model is told.
    """
    tracer = _tracer()
    if tracer is None:
        yield _not_told
        return
    name, content = call.function.name, _captures_content()
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": call.id,
        "gen_ai.tool.type": "function",
    }
    if content:
        attributes["gen_ai.tool.call.arguments"] = call.function.arguments
    span = tracer.start_span(f"execute_tool {name}", attributes=attributes)

    def tell(output: str) -> None:
        if content:
            span.set_attribute("gen_ai.tool.call.result", output)

    try:
        with _current(span):
            yield tell
    except BaseException as exc:
        _record(span, exc, _error_type_of_call(exc))
        raise
    finally:
        span.end()


def _tracer() -> Tracer | None:
    """Where spans begin; None where the program has not imported OpenTelemetry."""
    return None if sys.modules.get("opentelemetry.trace") is None else _tracer_of_program()


@cache
def _tracer_of_program() -> Tracer:
    from opentelemetry.trace import get_tracer  # noqa: PLC0415 -- imported already, or not at all

    # The package above is there by now, but no room may import it.
    return get_tracer("asyncruns", sys.modules["asyncruns"].__version__)


def _current(span: Span) -> AbstractContextManager[object]:
    """Make a span the current one for a block; the errors of the block are ours to record."""
    from opentelemetry.trace import use_span  # noqa: PLC0415 -- imported already, or not at all

    return use_span(span, record_exception=False, set_status_on_exception=False)


def _captures_content() -> bool:
    return os.environ.get(CAPTURE, "").lower() in _CAPTURES


def _not_told(_: str) -> None:
    """Take an output that nobody records."""


def _record(span: Span, exc: BaseException, error_type: str) -> None:
    said = type(exc).__qualname__
    with suppress(Exception):  # a foreign __str__ may do anything
        said = str(exc)
        span.record_exception(exc)
    _set_error(span, error_type, said)


def _set_error(span: Span, error_type: str, said: str | None) -> None:
    from opentelemetry.trace import (  # noqa: PLC0415 -- imported already, or not at all
        Status,
        StatusCode,
    )

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, said or None))


def _error_type_of_call(exc: BaseException) -> str:
    if isinstance(exc, ToolError) and exc.__cause__ is None:
        return str(msgspec.json.decode(exc.report)["error"]["code"])
    return type(exc.__cause__ or exc).__qualname__


def _attributes_of_request(invocation: Invocation) -> dict[str, str | int | float]:
    from urllib.parse import urlsplit  # noqa: PLC0415 -- only where somebody traces

    url, params = urlsplit(invocation.base_url), invocation.params
    host = url.hostname or ""
    named = (name for end, name in _PROVIDERS.items() if host.endswith(end))
    return _present(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": next(named, "openai"),
            "gen_ai.agent.id": params.get("assistant_id"),
            "gen_ai.conversation.id": invocation.thread_id,
            "gen_ai.request.model": params.get("model"),
            "gen_ai.request.max_tokens": params.get("max_completion_tokens"),
            "gen_ai.request.temperature": params.get("temperature"),
            "gen_ai.request.top_p": params.get("top_p"),
            "server.address": host,
            "server.port": url.port or _PORTS.get(url.scheme),
        }
    )


def _attributes_of_run(run: Run) -> dict[str, str | int | float]:
    usage = run.usage
    return _present(
        {
            "gen_ai.agent.id": run.assistant_id,
            "gen_ai.conversation.id": run.thread_id,
            "gen_ai.request.model": run.model,
            "gen_ai.request.max_tokens": run.max_completion_tokens,
            "gen_ai.request.temperature": run.temperature,
            "gen_ai.request.top_p": run.top_p,
            "gen_ai.response.id": run.id,
            "gen_ai.usage.input_tokens": usage and usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage and usage.completion_tokens,
        }
    )


def _present(attributes: Mapping[str, object]) -> dict[str, str | int | float]:
    """The attributes that have a value: a parameter may be left out, and so may a field."""
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(value, str | int | float) and value != ""
    }


def _content(run: Run, messages: Sequence[Message]) -> dict[str, str]:
    """What the assistant was told and has said, as the JSON of the conventions."""
    said = [
        {
            "role": message.role,
            "parts": [
                _text(text.value)
                for part in message.content
                if (text := getattr(part, "text", None)) is not None
            ],
            "finish_reason": "stop" if message.status == "completed" else str(message.status),
        }
        for message in messages
    ]
    told = [_text(run.instructions)] if run.instructions else []
    content = {"gen_ai.output.messages": said, "gen_ai.system_instructions": told}
    return {name: msgspec.json.encode(value).decode() for name, value in content.items() if value}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}
