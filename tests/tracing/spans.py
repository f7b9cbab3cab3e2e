"""What the tests of tracing look at: the spans that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """The spans that a test has made."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def ended(self) -> list[ReadableSpan]:
        """All that have ended, in this order."""
        return list(self._exporter.get_finished_spans())

    def run(self) -> ReadableSpan:
        """The span of the one run."""
        (span,) = (span for span in self.ended() if span.name == "invoke_agent")
        return span

    def calls(self) -> list[ReadableSpan]:
        """The spans of tool calls."""
        return [span for span in self.ended() if span.name.startswith("execute_tool ")]


def parent_of(span: ReadableSpan) -> int | None:
    """The id of a span's parent; None for a root."""
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    """The id of a span."""
    assert span.context is not None
    span_id: int = span.context.span_id
    return span_id


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})


def error_of(span: ReadableSpan) -> tuple[str | None, str | None, list[str]]:
    """The error type, the description, and the exceptions; the status says whether it is one."""
    error_type = attributes_of(span).get("error.type")
    assert (span.status.status_code is StatusCode.ERROR) is (error_type is not None)
    exceptions = [str((event.attributes or {})["exception.type"]) for event in span.events]
    return error_type, span.status.description, exceptions
