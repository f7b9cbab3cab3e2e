"""The spans of runs and of tool calls: their tree, their attributes, their ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from asyncruns import (
    Client,
    NotFoundError,
    RunHandler,
    StreamInterrupted,
    ToolError,
    Toolset,
)
from asyncruns.emulator import Action, Call, Context, Emulator, Fail, Parallel, Say
from asyncruns.tracing import Invocation, RunTrace
from tests.stream.house import one_call, opened, say_hello
from tests.stream.proxy import STREAMS, Cut
from tests.tracing.spans import attributes_of, error_of, id_of, parent_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncruns.models import Run
    from tests.stream.house import House
    from tests.tracing.spans import Spans

pytestmark = pytest.mark.anyio

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


async def two_rounds(_: Context) -> AsyncGenerator[Action, Any]:
    yield Parallel(Call("weather", {"city": "Oslo"}), Call("clock", {"city": "Oslo"}))
    output = yield Call("weather", {"city": "Rome"})
    yield Say(f"It is {output}.")


async def fail(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say("One moment.")
    yield Fail("rate_limit_exceeded", "Too many tokens.")


async def weather(city: str) -> str:
    """Tell the weather in a city."""
    with trace.get_tracer("app").start_as_current_span("look outside"):
        await asyncio.sleep(0)
    return f"sunny in {city}"


def clock(city: str) -> str:
    """Tell the time in a city."""
    trace.get_current_span().set_attribute("app.clock", city)
    return "noon"


def address_of(house: House) -> dict[str, object]:
    host, port = house.proxy.url.removeprefix("http://").split("/")[0].split(":")
    return {"server.address": host, "server.port": int(port)}


async def test_a_run_of_two_rounds_is_one_span_with_its_calls_below(spans: Spans) -> None:
    async with opened(two_rounds) as house:
        with trace.get_tracer("app").start_as_current_span("request") as request:
            async with house.stream(
                toolset=Toolset(weather, clock), temperature=0.5, max_completion_tokens=900
            ) as stream:
                async for _ in stream:
                    assert trace.get_current_span() is request
        run = stream.run
        assert run is not None
        assert run.usage is not None
        span = spans.run()
        assert parent_of(span) == request.get_span_context().span_id
        assert span.kind is SpanKind.CLIENT
        seen = attributes_of(span)
        assert 0 < seen.pop("gen_ai.response.time_to_first_chunk") < 60
        assert seen == {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.agent.id": house.assistant,
            "gen_ai.conversation.id": run.thread_id,
            "gen_ai.request.model": run.model,
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.request.max_tokens": 900,
            "gen_ai.response.id": run.id,
            "gen_ai.usage.input_tokens": run.usage.prompt_tokens,
            "gen_ai.usage.output_tokens": run.usage.completion_tokens,
            "asyncruns.outcome": "completed",
            **address_of(house),
        }
        assert error_of(span) == (None, None, [])
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == "asyncruns"

    calls = spans.calls()
    assert sorted(call.name for call in calls) == [
        "execute_tool clock",
        "execute_tool weather",
        "execute_tool weather",
    ]
    assert {parent_of(call) for call in calls} == {id_of(span)}
    assert {call.kind for call in calls} == {SpanKind.INTERNAL}
    assert len({attributes_of(call)["gen_ai.tool.call.id"] for call in calls}) == 3
    inner = [one for one in spans.ended() if one.name == "look outside"]
    assert {parent_of(one) for one in inner} == {
        id_of(call) for call in calls if call.name == "execute_tool weather"
    }
    (timed,) = (call for call in calls if call.name == "execute_tool clock")
    call_id = attributes_of(timed)["gen_ai.tool.call.id"]
    assert attributes_of(timed) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "clock",
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.type": "function",
        "app.clock": "Oslo",  # the span is the current one in the thread of a sync tool, too
    }


async def test_reading_only_the_end_gives_the_same_span(spans: Spans) -> None:
    async with opened(say_hello) as house, house.stream() as stream:
        await stream.until_done()
        # The run has ended, and so has its span: what the block does now is not of the run.
        assert "gen_ai.response.time_to_first_chunk" in attributes_of(spans.run())


async def test_answers_by_hand_are_of_the_same_span(spans: Spans) -> None:
    async with opened(one_call) as house:
        async with house.stream() as stream:
            async for _ in stream:
                pass
            assert stream.outcome == "requires_action"
            assert spans.ended() == []
            assert stream.run is not None
            action: Any = stream.run.required_action
            (call,) = action.submit_tool_outputs.tool_calls
            await stream.submit([{"tool_call_id": call.id, "output": "sunny"}])
            await stream.until_done()
        assert attributes_of(spans.run())["asyncruns.outcome"] == "completed"


async def test_a_run_that_nobody_answers_ends_its_span_with_the_block(spans: Spans) -> None:
    async with opened(one_call) as house, house.stream() as stream:
        await stream.until_done()
    assert attributes_of(spans.run())["asyncruns.outcome"] == "requires_action"
    assert error_of(spans.run()) == (None, None, [])


async def test_a_failed_run_is_an_error_with_its_code(spans: Spans) -> None:
    async with opened(fail) as house, house.stream() as stream:
        await stream.until_done()
    assert error_of(spans.run()) == ("rate_limit_exceeded", "Too many tokens.", [])
    assert attributes_of(spans.run())["asyncruns.outcome"] == "failed"


async def test_a_request_that_fails_is_an_error_with_its_class(spans: Spans) -> None:
    async with opened() as house:
        with pytest.raises(NotFoundError):
            async with house.stream("thread_gone"):
                pass
        span = spans.run()
        error_type, description, exceptions = error_of(span)
        assert error_type == "NotFoundError"
        assert description
        assert exceptions == ["asyncruns.errors.NotFoundError"]
        assert attributes_of(span) == {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.agent.id": house.assistant,
            "gen_ai.conversation.id": "thread_gone",
            "asyncruns.outcome": "interrupted",
            "error.type": "NotFoundError",
            **address_of(house),
        }


async def test_an_interruption_is_an_error_even_where_the_block_catches_it(spans: Spans) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(STREAMS, Cut(events=4))
        async with house.stream(on_interrupt="raise") as stream:
            with pytest.raises(StreamInterrupted):
                await stream.until_done()
            assert error_of(spans.run())[0] == "StreamInterrupted"
        assert attributes_of(spans.run())["asyncruns.outcome"] == "interrupted"


async def test_leaving_early_is_no_error(spans: Spans) -> None:
    async with opened(say_hello) as house:
        async with house.stream(cancel_on_exit=True) as stream:
            async for _ in stream:
                break
            assert spans.ended() == []
        assert error_of(spans.run()) == (None, None, [])
        assert attributes_of(spans.run())["asyncruns.outcome"] == "interrupted"


async def test_an_error_of_the_blocks_own_is_the_spans(spans: Spans) -> None:
    async with opened(say_hello) as house:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 -- where it is raised is the point
            async with house.stream() as stream:
                async for _ in stream:
                    raise ZeroDivisionError
        assert error_of(spans.run())[0] == "ZeroDivisionError"


async def test_an_error_after_the_end_is_not_the_runs(spans: Spans) -> None:
    class Broken(RunHandler):
        def on_run_done(self, run: Run) -> None:
            del run
            raise ZeroDivisionError

    async with opened(say_hello) as house:
        with pytest.raises(ZeroDivisionError):
            async with house.stream(event_handler=Broken()) as stream:
                await stream.until_done()
        assert error_of(spans.run()) == (None, None, [])
        assert attributes_of(spans.run())["asyncruns.outcome"] == "completed"


@pytest.mark.parametrize("place", ["reading", "in a tool", "in the block"])
async def test_cancellation_ends_every_span(place: str, spans: Spans) -> None:
    there = asyncio.Event()

    async def rest() -> str:
        there.set()
        await asyncio.Event().wait()
        return ""

    async def stall(_: Context) -> AsyncGenerator[Action, Any]:
        if place == "in a tool":
            yield Call("rest", {})
        yield Say("Hello")
        await rest()

    async def read(house: House) -> None:
        async with house.stream(toolset=Toolset(rest)) as stream:
            async for _ in stream:
                if place == "in the block":
                    await rest()

    async with opened(stall) as house:
        task = asyncio.create_task(read(house))
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [error_of(span)[0] for span in spans.ended()] == ["CancelledError"] * (
        2 if place == "in a tool" else 1
    )
    assert attributes_of(spans.run())["asyncruns.outcome"] != "completed"


async def test_an_error_that_cannot_be_told_stays_itself(spans: Spans) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    async with opened(say_hello) as house:
        with pytest.raises(MuteError):
            async with house.stream():
                raise MuteError
        assert error_of(spans.run()) == (
            "test_an_error_that_cannot_be_told_stays_itself.<locals>.MuteError",
            "test_an_error_that_cannot_be_told_stays_itself.<locals>.MuteError",
            [],
        )


async def broken(city: str) -> str:
    raise LookupError(f"no {city} here")


async def slow(city: str) -> str:
    await asyncio.sleep(60)
    return city


@pytest.mark.parametrize(
    ("tool", "arguments", "error_type"),
    [
        (broken, {"city": "Oslo"}, "LookupError"),
        (broken, {"city": 7}, "ValidationError"),
        (slow, {"city": "Oslo"}, "timeout"),
        (None, {"city": "Oslo"}, "unknown_tool"),
    ],
)
async def test_a_failed_call_is_an_error_of_its_own_span(
    tool: Any, arguments: dict[str, Any], error_type: str, spans: Spans
) -> None:
    name = "nobody" if tool is None else tool.__name__

    async def ask(_: Context) -> AsyncGenerator[Action, Any]:
        yield Call(name, arguments)
        yield Say("So be it.")

    toolset = Toolset() if tool is None else Toolset(tool)
    async with opened(ask) as house, house.stream(toolset=toolset, tool_timeout=0.05) as stream:
        await stream.until_done()
    (call,) = spans.calls()
    assert error_of(call)[0] == error_type
    assert error_of(call)[2] == ["asyncruns.errors.ToolError"]
    assert error_of(spans.run()) == (None, None, [])


async def test_a_failed_call_that_is_raised_is_the_runs_error_too(spans: Spans) -> None:
    async def ask(_: Context) -> AsyncGenerator[Action, Any]:
        yield Call("broken", {"city": "Oslo"})

    async with opened(ask) as house:
        with pytest.raises(ToolError):
            async with house.stream(toolset=Toolset(broken), on_tool_error="raise") as stream:
                await stream.until_done()
    assert error_of(spans.run())[0] == "ToolError"
    assert error_of(spans.calls()[0])[0] == "LookupError"


def everything_in(spans: Spans) -> str:
    """All that the spans say."""
    return json.dumps([json.loads(span.to_json()) for span in spans.ended()])


async def test_content_is_not_told_unless_it_is_asked_for(spans: Spans) -> None:
    toolset = Toolset(weather)
    async with opened(one_call) as house:
        stream = house.stream(toolset=toolset, instructions="Be brief.", model="gpt-4o")
        async with stream:
            await stream.until_done()
    told = everything_in(spans)
    assert "gpt-4o" in told
    for content in ("Oslo", "sunny", "In Oslo it is", "Be brief.", "Well?"):
        assert content not in told


@pytest.mark.parametrize("value", ["true", "SPAN_ONLY"])
async def test_content_that_is_asked_for_is_told(
    value: str, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CAPTURE, value)
    async with opened(one_call) as house:
        stream = house.stream(toolset=Toolset(weather), instructions="Be brief.")
        async with stream:
            await stream.until_done()
    told = attributes_of(spans.run())
    assert json.loads(told["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Be brief."}
    ]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "In Oslo it is sunny in Oslo."}],
            "finish_reason": "stop",
        }
    ]
    call = attributes_of(spans.calls()[0])
    assert json.loads(call["gen_ai.tool.call.arguments"]) == {"city": "Oslo"}
    assert call["gen_ai.tool.call.result"] == "sunny in Oslo"


async def test_a_run_that_is_not_sampled_keeps_its_calls_from_being_roots(unsampled: Spans) -> None:
    seen: list[trace.SpanContext] = []

    async def weather(city: str) -> str:
        seen.append(trace.get_current_span().get_span_context())
        return city

    async with opened(one_call) as house, house.stream(toolset=Toolset(weather)) as stream:
        assert not stream._trace.awaits_text
        await stream.until_done()
    assert [context.is_valid for context in seen] == [True]
    assert unsampled.ended() == []


async def test_an_attached_run_and_a_created_thread_have_spans(spans: Spans) -> None:
    async with Emulator(say_hello, poll_after_ms=1) as server:
        assistant = server.add_assistant()["id"]
        async with Client(base_url=server.base_url, api_key="any") as client:
            async with client.threads.create_and_run_stream(assistant_id=assistant) as stream:
                await stream.until_done()
            assert stream.run is not None
            told = attributes_of(spans.run())
            assert told["gen_ai.conversation.id"] == stream.run.thread_id
            run = await client.runs.create(stream.run.thread_id, assistant_id=assistant)
            async with client.runs.attach(run.id, thread_id=run.thread_id) as stream:
                await stream.until_done()
    told = attributes_of(spans.ended()[-1])
    assert told["gen_ai.response.id"] == run.id
    assert told["asyncruns.outcome"] == "completed"


async def test_a_run_that_is_polled_is_one_span_too(spans: Spans) -> None:
    async with opened(two_rounds) as house:
        run = await house.client.runs.create_and_poll(
            thread_id=house.thread(), assistant_id=house.assistant, toolset=Toolset(weather, clock)
        )
        told = attributes_of(spans.run())
        assert told["asyncruns.outcome"] == "completed"
        assert told["gen_ai.response.id"] == run.id
        assert {parent_of(call) for call in spans.calls()} == {id_of(spans.run())}
        assert len(spans.calls()) == 3


async def test_polling_that_fails_is_an_error(spans: Spans) -> None:
    async with opened(one_call) as house:
        with pytest.raises(NotFoundError):
            await house.client.runs.create_and_poll(
                thread_id="thread_gone", assistant_id=house.assistant
            )
        assert error_of(spans.run())[0] == "NotFoundError"


async def test_polling_to_a_pause_and_from_there_to_the_end(spans: Spans) -> None:
    async with opened(one_call) as house:
        run = await house.client.threads.create_and_run_poll(assistant_id=house.assistant)
        action: Any = run.required_action
        (call,) = action.submit_tool_outputs.tool_calls
        await house.client.runs.submit_tool_outputs_and_poll(
            tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
            run_id=run.id,
            thread_id=run.thread_id,
        )
    outcomes = [attributes_of(span)["asyncruns.outcome"] for span in spans.ended()]
    assert outcomes == ["requires_action", "completed"]
    assert {attributes_of(span)["gen_ai.response.id"] for span in spans.ended()} == {run.id}


@pytest.mark.parametrize(
    ("url", "provider", "port"),
    [
        ("https://api.openai.com/v1", "openai", 443),
        ("http://10.0.0.7/v1", "openai", 80),
        ("https://mine.openai.azure.com/openai", "azure.ai.openai", 443),
        ("https://mine.services.ai.azure.com:8443/api/projects/p", "azure.ai.inference", 8443),
    ],
)
async def test_the_address_tells_the_provider(
    url: str, provider: str, port: int, spans: Spans
) -> None:
    run_trace = RunTrace(Invocation(url, {}))
    with pytest.raises(ZeroDivisionError), run_trace.opening(Nothing()):
        raise ZeroDivisionError
    told = attributes_of(spans.run())
    assert (told["gen_ai.provider.name"], told["server.port"]) == (provider, port)


class Nothing:
    """A stream that nothing is known of."""

    run = None
    outcome = None
    messages: list[Any] = []  # noqa: RUF012 -- nobody adds to it
