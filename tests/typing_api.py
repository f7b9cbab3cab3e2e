"""What the type checkers must know of the public API; checked by them, never run."""

from __future__ import annotations

from typing import assert_type

from asyncruns import (
    Accumulator,
    Assistant,
    Client,
    EventDecoder,
    FunctionTool,
    FunctionToolCall,
    Message,
    MessageDeltaEvent,
    Run,
    RunHandler,
    RunJob,
    RunPool,
    RunResult,
    RunStep,
    RunStream,
    TextContentBlock,
    Thread,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    ToolCallsStepDetails,
    Toolset,
    UnknownToolCall,
)


async def resources(client: Client) -> None:
    assert_type(await client.assistants.create(model="m"), Assistant)
    assert_type(await client.threads.create(), Thread)
    run = await client.runs.create("thread_1", assistant_id="asst_1")
    assert_type(run, Run)
    assert_type(await client.runs.create("thread_1", assistant_id="asst_1", stream=True), RunStream)
    assert_type(await client.runs.create_and_poll(thread_id="t", assistant_id="a"), Run)
    assert_type(await client.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=[]), Run)
    page = await client.runs.list("thread_1", limit=3)
    assert_type(page.data, list[Run])
    async for step in client.runs.steps.list("run_1", thread_id="t"):
        assert_type(step, RunStep)
    await client.runs.create("t", assistant_id="a", temprature=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue] -- a misspelt keyword is an error
    await client.runs.create("t")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue] -- so is a missing one


async def streams(client: Client, toolset: Toolset) -> None:
    assert_type(toolset.definitions, list[FunctionTool])
    async with client.runs.stream(thread_id="t", assistant_id="a", toolset=toolset) as stream:
        assert_type(stream, RunStream)
        async for event in stream:
            if isinstance(event, ThreadMessageDelta):
                assert_type(event.data, MessageDeltaEvent)
            elif isinstance(event, ThreadRunStepDelta):
                assert_type(event.raw, bytes)
        async for piece in stream.text_deltas:
            assert_type(piece, str)
    assert_type(stream.run, Run | None)
    assert_type(await stream.get_final_run(), Run)
    assert_type(stream.messages, list[Message])


async def pools(client: Client, toolset: Toolset) -> None:
    job = RunJob(assistant_id="a", thread_id="t", message="Hello!", params={"model": "m"})
    async with RunPool(client, concurrency=5, toolset=toolset, deadline=60) as pool:
        async for result in pool.map(job for _ in range(3)):
            assert_type(result, RunResult)
            assert_type(result.run, Run | None)
        assert_type(await pool.run(job), RunResult)
        assert_type(pool.counts.done, int)
    RunPool(client, concurency=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- a misspelt keyword is an error


def core(decoder: EventDecoder, accumulator: Accumulator) -> None:
    for event in decoder.feed(b""):
        accumulator.apply(event)
    for step in accumulator.steps:
        if isinstance(step.step_details, ToolCallsStepDetails):
            for call in step.step_details.tool_calls:
                if isinstance(call, FunctionToolCall):
                    assert_type(call.function.arguments, str)
                elif isinstance(call, UnknownToolCall):
                    assert_type(call.raw, bytes)
    for message in accumulator.messages:
        for part in message.content:
            if isinstance(part, TextContentBlock):
                assert_type(part.text.value, str)


class Handler(RunHandler):
    """Hooks may be async where the base is not."""

    async def on_run_done(self, run: Run) -> None:
        self.status: str = run.status
