"""What may stand in a body: any mapping and any iterable, at any depth."""

from __future__ import annotations

import enum
import json
from collections import deque
from types import MappingProxyType
from typing import Any

import pytest

from asyncruns import (
    Client,
    FileSearch,
    FileSearchRankingOptions,
    FileSearchResources,
    FileSearchTool,
    FunctionDefinition,
    FunctionTool,
    ToolResources,
    to_json,
)
from asyncruns.emulator import Emulator

pytestmark = pytest.mark.anyio


class Name(str):
    __slots__ = ()


class Model(enum.StrEnum):
    SMALL = "gpt-4o-mini"


TOOL = FunctionTool(function=FunctionDefinition(name="weather"))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (MappingProxyType({"colour": Name("blue")}), {"colour": "blue"}),
        (deque([TOOL]), [{"type": "function", "function": {"name": "weather"}}]),
        ({1: "one"}.values(), ["one"]),
        (({"parts": (letter for letter in "ab")},), [{"parts": ["a", "b"]}]),
        (Model.SMALL, "gpt-4o-mini"),
    ],
    ids=["mapping", "deque", "view", "nested generator", "enum"],
)
def test_json_takes_any_mapping_and_any_iterable(value: Any, plain: Any) -> None:
    assert json.loads(to_json(value)) == plain


async def test_a_body_takes_what_the_annotations_promise() -> None:
    async with Emulator() as server, Client(base_url=server.base_url, api_key="any") as client:
        assistant = await client.assistants.create(
            model=Model.SMALL, tools=deque([TOOL]), metadata=MappingProxyType({"kind": "test"})
        )
        assert assistant.metadata == {"kind": "test"}
        thread = await client.threads.create(
            messages=(
                {"role": "user", "content": iter([{"type": "text", "text": n}])} for n in "ab"
            )
        )
        assert [m.role async for m in client.messages.list(thread.id)] == ["user", "user"]


async def test_what_a_struct_must_bring_stands_in_a_body_even_where_nobody_set_it() -> None:
    search = FileSearch(ranking_options=FileSearchRankingOptions())
    async with Emulator() as server, Client(base_url=server.base_url, api_key="any") as client:
        await client.assistants.create(
            model=Model.SMALL,
            tools=[FileSearchTool(file_search=search)],
            tool_resources=ToolResources(file_search=FileSearchResources()),
        )
        body = json.loads(server.requests[0].body)
    assert body["tools"][0]["file_search"] == {"ranking_options": {"score_threshold": 0.0}}
    assert body["tool_resources"] == {"file_search": {"vector_store_ids": []}}


@pytest.mark.parametrize("key", ["", "k" * 513])
async def test_a_dedupe_key_that_metadata_cannot_hold_is_refused_before_any_request(
    key: str,
) -> None:
    async with Emulator() as server, Client(base_url=server.base_url, api_key="any") as client:
        with pytest.raises(ValueError, match="dedupe_key must have 1 to 512 characters"):
            await client.runs.create("thread_1", assistant_id="asst_1", dedupe_key=key)
        assert server.requests == []
