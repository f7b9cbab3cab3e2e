"""The README's example of workers, run as it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import Toolset
from tests.test_readme import README, run

if TYPE_CHECKING:
    from tests.workers.house import House

pytestmark = [pytest.mark.anyio, pytest.mark.database]

(EXAMPLE,) = re.findall(
    r"^```python database\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE
)


async def test_the_example_runs(
    house: House,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ASYNCRUNS_DATABASE", address)
    guide = await house.client.assistants.create(model="gpt-4o")
    names: dict[str, Any] = {"client": house.client, "guide": guide, "toolset": Toolset()}
    await run(EXAMPLE, names)
    assert capsys.readouterr().out.startswith("completed thread_")
