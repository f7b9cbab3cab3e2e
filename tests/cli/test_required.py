"""What a run waits for, and the commands that a shell can run to answer it."""

from __future__ import annotations

import shlex
from typing import Any

from asyncruns import (
    Function,
    RequiredActionFunctionToolCall,
    RequiredActionSubmitToolOutputs,
    Run,
    SubmitToolOutputs,
    UnknownRequiredAction,
)
from asyncruns.cli.connection import Connection
from asyncruns.cli.required import command, explain


def told(action: Any, **options: Any) -> str:
    run = Run(id="run_1", status="requires_action", required_action=action)
    return "\n".join(explain(run, "thread_1", Connection(options)))


def test_ids_that_a_shell_would_take_for_something_else_are_quoted() -> None:
    line = command(Connection({"base_url": "http://x/?a&b"}), "watch", {"run_id": "$(rm 'x')"})
    assert shlex.split(line) == [
        "asyncruns", "runs", "watch", "--base-url", "http://x/?a&b", "--run-id", "$(rm 'x')"
    ]  # fmt: skip


def test_the_command_names_its_server_and_gives_no_key_away() -> None:
    options = {"base_url": "http://here", "api_key": "secret", "project": "p", "max_retries": 1}
    assert command(Connection(options), "watch", {"run_id": "r"}) == (
        "asyncruns runs watch --base-url http://here --project p --run-id r "
        '--api-key "$OPENAI_API_KEY"'
    )


def test_each_call_is_on_one_line_and_harmless() -> None:
    function: Any = Function(name="f\x1b[2J", arguments='{\n"a": 1}')
    call = RequiredActionFunctionToolCall(id="call_'1'", function=function)
    action = RequiredActionSubmitToolOutputs(
        submit_tool_outputs=SubmitToolOutputs(tool_calls=[call])
    )
    text = told(action, timeout=3.0)
    assert text.startswith(
        "The run waits for the output of 1 tool call:\n"
        "  call_'1'  f\ufffd[2J { \"a\": 1}\n\nThis submits them"
    )
    (line,) = [line for line in text.splitlines() if line.startswith("  --tool-output ")]
    assert shlex.split(line) == [
        "--tool-output", '{"tool_call_id": "call_\'1\'", "output": "OUTPUT"}'
    ]  # fmt: skip
    assert "timeout" not in text


def test_an_action_that_no_command_answers_is_named() -> None:
    approval = UnknownRequiredAction(unknown_type="submit_tool_approval", raw=b"{}")
    assert told(approval) == (
        "The run waits for an action of the type submit_tool_approval, which no command of "
        "asyncruns answers."
    )
    assert (
        told(None)
        == "The run waits for nothing that it names, which no command of asyncruns answers."
    )
