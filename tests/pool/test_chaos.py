"""A pool against a server that fails at random: every job has its one run, and its result."""

from __future__ import annotations

import pytest

from tests.pool.chaos import Chaos, Model, carry_out, check
from tests.stream.house import opened
from tests.stream.proxy import CREATE

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_job_has_one_run_and_one_result_whatever_the_server_does(seed: int) -> None:
    model, chaos = Model(seed), Chaos(0.02, seed)
    async with opened(model.script, poll_after_ms=50) as house:
        house.proxy.plan("", chaos, times=float("inf"))
        results = await carry_out(house, 200, 60)
        check(house, results, 200)
        assert sum(chaos.counts.values()) >= 5
        assert model.limits >= 1
        assert house.proxy.count(CREATE) >= 200 + model.limits
