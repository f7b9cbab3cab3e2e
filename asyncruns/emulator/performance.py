"""A script at work: the actions it yields to the events of its run."""

from __future__ import annotations

import logging
from contextlib import aclosing
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from asyncruns.emulator.actions import (
    Activities,
    Call,
    CallMcp,
    Fail,
    Incomplete,
    Parallel,
    RunCode,
    Say,
    SearchFiles,
    Wait,
)
from asyncruns.emulator.drafts import call_deltas, part_deltas
from asyncruns.emulator.records import encode
from asyncruns.emulator.scripts import Context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from asyncruns.emulator.actions import Action
    from asyncruns.emulator.life import LiveRun
    from asyncruns.emulator.records import Json
    from asyncruns.emulator.scripts import Script

logger = logging.getLogger(__name__)


async def perform(run: LiveRun, script: Script) -> None:
    """Take a run from its creation to its end. A script that raises fails the run, saying why."""
    run.begin()
    try:
        await _play(run, script)
    except Exception as error:
        logger.exception("The script of %s raised", run.record["id"])
        run.end("failed", error={"code": "server_error", "message": f"The script raised {error!r}"})
    else:
        run.end("completed")


async def _play(run: LiveRun, script: Script) -> None:
    result: Any = None
    async with aclosing(script(Context(run))) as actions:
        while True:
            try:
                action = await actions.asend(result)
            except StopAsyncIteration:
                return
            if not run.performing:
                return
            result = await _do(run, action)


async def _do(run: LiveRun, action: Action) -> Any:
    try:
        do = _ACTIONS[type(action)]
    except KeyError:
        raise TypeError(f"A script cannot yield {action!r}") from None
    return await do(run, action)


async def _say(run: LiveRun, say: Say) -> None:
    message_id = say.id or run.stage.ids.new("msg")
    run.begin_step(
        {"type": "message_creation", "message_creation": {"message_id": message_id}}, say.step_id
    )
    draft = run.begin_message(message_id)
    for index, part in enumerate(say.parts):
        for delta in part_deltas(draft, index, part):
            await run.emit_delta(draft, {"content": [delta]})
    if say.ending is not None:
        await _do(run, say.ending)
    run.end_message()
    run.end_step()


async def _use_tools(run: LiveRun, parallel: Parallel) -> list[str]:
    draft = run.begin_step({"type": "tool_calls", "tool_calls": []}, parallel.step_id)
    writings = [
        call_deltas(draft, index, call, call.id or run.stage.ids.new("call"))
        for index, call in enumerate(parallel.calls)
    ]
    ordered = _take_turns(writings) if parallel.interleave else chain.from_iterable(writings)
    for delta in ordered:
        details = {"type": "tool_calls", "tool_calls": [delta]}
        await run.emit_delta(draft, {"step_details": details})
    if parallel.ending is not None:
        await _do(run, parallel.ending)
        return []
    calls = draft.record["step_details"]["tool_calls"]
    functions = [call for call in calls if call["type"] == "function"]
    if functions:
        return await run.ask(functions)
    run.end_step()
    return []


def _take_turns(writings: Iterable[Iterator[Json]]) -> Iterator[Json]:
    for turn in zip_longest(*writings):
        yield from filter(None, turn)


async def _use_tool(run: LiveRun, call: Call | RunCode | SearchFiles) -> str | None:
    outputs = await _use_tools(run, Parallel(call))
    return outputs[0] if outputs else None


async def _call_mcp(run: LiveRun, mcp: CallMcp) -> bool:
    """Call a tool of a server of the server; whether it was approved."""
    draft = run.begin_step({"type": "tool_calls", "tool_calls": []}, None)
    call = {
        "id": mcp.id or run.stage.ids.new("call"),
        "type": "mcp",
        "server_label": mcp.server_label,
        "name": mcp.name,
        "arguments": encode(mcp.arguments).decode(),
        "output": None,
    }
    await run.emit_delta(draft, _calls_delta({"index": 0, **call}))
    draft.record["step_details"]["tool_calls"].append(call)
    approved = (await run.ask_approval([call]))[0] if mcp.approval else True
    run.end_step()
    if approved:
        call["output"] = mcp.output
        late = {"index": 0, "id": call["id"], "type": "mcp", "output": mcp.output}
        await run.emit_delta(draft, _calls_delta(late))
    return approved


def _calls_delta(piece: Json) -> Json:
    return {"step_details": {"type": "tool_calls", "tool_calls": [piece]}}


async def _show(run: LiveRun, shown: Activities) -> None:
    activities = [dict(activity) for activity in shown.activities]
    run.begin_step({"type": "activities", "activities": activities}, None)
    run.end_step()


async def _fail(run: LiveRun, fail: Fail) -> None:
    run.end("failed", error={"code": fail.code, "message": fail.message})


async def _leave_incomplete(run: LiveRun, incomplete: Incomplete) -> None:
    run.end("incomplete", reason=incomplete.reason)


async def _wait(run: LiveRun, wait: Wait) -> None:
    await run.wait(wait.seconds)


_ACTIONS: Mapping[type, Callable[[LiveRun, Any], Awaitable[Any]]] = {
    Say: _say,
    Parallel: _use_tools,
    Call: _use_tool,
    RunCode: _use_tool,
    SearchFiles: _use_tool,
    CallMcp: _call_mcp,
    Activities: _show,
    Fail: _fail,
    Incomplete: _leave_incomplete,
    Wait: _wait,
}
