"""One tracer provider for the process, as programs have it, that records in these tests only."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from tests.tracing.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from opentelemetry.sdk.trace.sampling import SamplingResult


class Switch(Sampler):
    """Samples everything while it is on, and nothing while it is off."""

    def __init__(self) -> None:
        self.on = False

    def should_sample(self, *args: Any, **keywords: Any) -> SamplingResult:
        sampler = ALWAYS_ON if self.on else ALWAYS_OFF
        return sampler.should_sample(*args, **keywords)

    def get_description(self) -> str:
        return "Switch"


@cache
def configured() -> tuple[Switch, InMemorySpanExporter]:
    """Configure the process; it can be done only once."""
    switch, exporter = Switch(), InMemorySpanExporter()
    provider = TracerProvider(sampler=switch, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return switch, exporter


@pytest.fixture
def spans() -> Iterator[Spans]:
    switch, exporter = configured()
    exporter.clear()
    switch.on = True
    yield Spans(exporter)
    switch.on = False
    assert not trace.get_current_span().get_span_context().is_valid, "a span has leaked"


@pytest.fixture
def unsampled() -> Spans:
    switch, exporter = configured()
    exporter.clear()
    switch.on = False
    return Spans(exporter)


@pytest.fixture(autouse=True)
def no_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", raising=False)
