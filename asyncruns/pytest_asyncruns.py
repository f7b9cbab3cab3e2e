"""pytest's plugin: the fixture `runs_emulator`, a Runs server for tests of any kind.

It is installed as a module of its own, beside the package: pytest imports its plugins in every
suite, and must not import asyncruns, or anything heavy, where nobody uses the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncruns.emulator import EmulatorThread

MARKER = "runs_emulator(script, **options): what the fixture of this name makes its emulator with"


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def runs_emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorThread]:
    """A Runs server in a thread of its own, new for each test: `runs_emulator.base_url`.

    It is the same for plain tests and for those of pytest-asyncio, anyio and others. The marker
    `@pytest.mark.runs_emulator(script, faults=[…], …)` passes options to its `Emulator`.
    """
    from asyncruns.emulator import EmulatorThread  # noqa: PLC0415 -- see above

    marker = request.node.get_closest_marker("runs_emulator")
    args, options = (marker.args, marker.kwargs) if marker else ((), {})
    with EmulatorThread(*args, **options) as emulator:
        yield emulator
