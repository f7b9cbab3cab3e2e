"""One `async for` over all tool rounds of a run."""

from __future__ import annotations

import pytest

from tests.stream.house import Follower, Tools, opened

pytestmark = pytest.mark.anyio


async def test_one_loop_goes_over_three_rounds_of_two_calls() -> None:
    tools = Tools()
    async with opened() as house:
        async with house.stream(toolset=tools.set) as stream:
            seen = await Follower(stream).follow()
        assert stream.outcome == "completed"
        truth = await house.truth_of(stream)
        truth.assert_is(stream)
        truth.assert_is(seen.accumulator)
        assert "".join(seen.texts) == truth.text
        assert sorted(tools.asked) == [f"{city} {n}" for city in ("Oslo", "Rome") for n in range(3)]
        assert seen.names.count("thread.run.requires_action") == 3
        assert not any(event.recovered for event in seen.events)
