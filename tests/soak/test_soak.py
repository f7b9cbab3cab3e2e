"""The soak itself, for as long as one wave."""

from __future__ import annotations

import pytest

from tests.soak.soak import soak

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(300)
async def test_runs_through_faults_are_all_accounted_for_and_leave_nothing() -> None:
    told: list[str] = []
    report = await soak(seconds=1, streams=20, tell=told.append)
    report.check()
    assert report.account.started >= 20
    assert len(told) == len(report.left) == 2
    assert "completed" in report.account.outcomes
