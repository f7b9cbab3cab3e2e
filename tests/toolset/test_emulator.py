"""Definitions as a server takes them: its model calls each tool by the schema that it was sent."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest

from asyncruns import Client, RunContext, Toolset
from asyncruns.emulator import Emulator
from asyncruns.models import FunctionTool

pytestmark = pytest.mark.anyio


class Color(enum.Enum):
    RED = "red"


class Place(msgspec.Struct):
    city: str
    country: str | None


class Tree(msgspec.Struct):
    label: str
    children: list[Tree]


@dataclass
class Point:
    x: float
    y: float = 0.0


async def test_a_model_that_keeps_to_the_schema_gives_arguments_that_validate() -> None:
    taken: dict[str, Any] = {}
    toolset = Toolset()

    @toolset.tool
    def everything(  # noqa: PLR0917 -- one of each
        context: RunContext,
        name: str,
        count: Annotated[int, msgspec.Meta(ge=3)],
        place: Annotated[Place, msgspec.Meta(description="Where.")],
        tree: Tree | None,
        points: list[Point],
        color: Color = Color.RED,
        unit: Literal["C", "F"] = "C",
        extra: Place = Place("Oslo", None),  # noqa: B008 -- never changed
    ) -> Place:
        """Take one of each."""
        taken.update(locals())
        return place

    @toolset.tool
    async def nothing() -> None:
        taken["nothing"] = True

    async with Emulator() as emulator, Client(base_url=emulator.base_url, api_key="k") as client:
        assistant = await client.assistants.create(model="m", tools=toolset.definitions)
        async with client.threads.create_and_run_stream(
            assistant_id=assistant.id, toolset=toolset
        ) as stream:
            final = await stream.get_final_run()
            said = await stream.get_final_messages()
    assert final.status == "completed"
    sent = [tool.function.parameters for tool in toolset.definitions]
    kept = [
        tool.function.parameters for tool in final.tools or [] if isinstance(tool, FunctionTool)
    ]
    assert kept == sent
    context = taken.pop("context")
    assert (context.run.id, context.run.status) == (final.id, "requires_action")
    assert taken.pop("nothing")
    assert taken["count"] >= 3
    kinds = {name: type(taken[name]) for name in ("place", "points", "color", "extra")}
    assert kinds == {"place": Place, "points": list, "color": Color, "extra": Place}
    assert "error" not in str(said)


async def test_a_model_that_does_not_is_told_why_and_the_run_goes_on() -> None:
    toolset = Toolset()

    @toolset.tool
    def impossible(value: Annotated[str, msgspec.Meta(pattern="^[0-9]+$")]) -> str:
        return value

    async with Emulator() as emulator, Client(base_url=emulator.base_url, api_key="k") as client:
        assistant = await client.assistants.create(model="m", tools=toolset.definitions)
        async with client.threads.create_and_run_stream(
            assistant_id=assistant.id, toolset=toolset
        ) as stream:
            final = await stream.get_final_run()
            said = await stream.get_final_messages()
    assert final.status == "completed"
    assert "Expected `str` matching regex" in str(said)
