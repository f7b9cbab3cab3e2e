"""What the model does: the scripts' view of a run, and the script that is used by default."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncruns.emulator.actions import (
    Action,
    Call,
    Citation,
    Found,
    Parallel,
    RunCode,
    Say,
    SearchFiles,
    Text,
)
from asyncruns.emulator.records import encode, text_of
from asyncruns.emulator.schemas import example

if TYPE_CHECKING:
    from asyncruns.emulator.life import LiveRun
    from asyncruns.emulator.records import Json


class Context:
    """The run as its script sees it. All objects are copies of what the API shows."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    @property
    def run(self) -> Json:
        """The run."""
        return copy.deepcopy(self._run.record)

    @property
    def assistant(self) -> Json:
        """The assistant."""
        return copy.deepcopy(self._run.assistant)

    @property
    def tools(self) -> list[Json]:
        """The tools of the run: its own, or the assistant's."""
        return copy.deepcopy(self._run.record["tools"])

    @property
    def messages(self) -> list[Json]:
        """The messages of the thread, oldest first."""
        return copy.deepcopy(list(self._run.thread.messages.values()))

    @property
    def input(self) -> str:
        """The text of the newest message of the user; empty when there is none."""
        asked = [one for one in self._run.thread.messages.values() if one["role"] == "user"]
        return text_of(asked[-1]) if asked else ""


Script: TypeAlias = Callable[[Context], AsyncGenerator[Action, Any]]
"""An async generator function that yields actions and receives what they bring."""


async def use_every_tool(context: Context) -> AsyncGenerator[Action, Any]:
    """Use each tool that the run has and may use, then answer from what they gave.

    Functions are called with arguments made from their schemas, all in one step unless the run
    has `parallel_tool_calls` off.
    """
    run = context.run
    tools = _allowed(run["tools"], run["tool_choice"])
    kinds = {tool["type"] for tool in tools}
    calls = [
        Call(tool["function"]["name"], example(tool["function"]["parameters"]))
        for tool in tools
        if tool["type"] == "function"
    ]
    sentences: list[str] = []
    annotations: list[Citation] = []
    rounds = [calls] if run["parallel_tool_calls"] else [[call] for call in calls]
    for round_ in filter(None, rounds):
        outputs = yield Parallel(*round_)
        sentences += [
            f"{call.name} gave {output}." for call, output in zip(round_, outputs, strict=True)
        ]
    question = context.input
    if "code_interpreter" in kinds:
        length = str(len(question))
        yield RunCode(f"question = {question!r}\nprint(len(question))", logs=length)
        sentences.append(f"The question has {length} characters.")
    if "file_search" in kinds:
        found = Found("file-notes", "notes.txt", score=0.75, text=f"Notes about: {question}")
        yield SearchFiles([found])
        citation = Citation(f"【0:0†{found.file_name}】", found.file_id, quote=found.text)
        sentences.append(f"The notes say more{citation.text}.")
        annotations.append(citation)
    answer = " ".join([f"You asked: {question}", *sentences])
    structured = _structured(run["response_format"], answer)
    yield Say(Text(answer, annotations) if structured is None else structured)


def _allowed(tools: list[Json], choice: str | Json) -> list[Json]:
    """Return the tools that the run's tool_choice lets the model use."""
    if choice == "none":
        return []
    if isinstance(choice, str):
        return tools
    return [tool for tool in tools if _matches(tool, choice)]


def _matches(tool: Json, choice: Json) -> bool:
    if tool["type"] != choice["type"]:
        return False
    return "function" not in choice or choice["function"]["name"] == tool["function"]["name"]


def _structured(response_format: str | Json, answer: str) -> str | None:
    """Return the answer as JSON where the run's response_format asks for it."""
    if isinstance(response_format, str) or response_format["type"] == "text":
        return None
    if response_format["type"] == "json_object":
        return encode({"answer": answer}).decode()
    return encode(example(response_format["json_schema"].get("schema", {}))).decode()
