"""What the demo's run does: the tools that it may use, and the script of its model."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asyncruns import Toolset
from asyncruns.emulator import (
    Action,
    Call,
    Citation,
    Context,
    FilePath,
    Found,
    Parallel,
    RunCode,
    Say,
    SearchFiles,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

__all__ = ["QUESTION", "Tools", "script"]

QUESTION: Final = "I land in Oslo tonight. Do I need an umbrella, and where is dinner?"

NOTES: Final = Found("file-notes", "notes.txt", score=0.87, text="Dinner: 20:30, Café Sør.")
CITED: Final = "【4:0†notes.txt】"
CHART: Final = "sandbox:/mnt/data/rain.png"
CODE: Final = """\
rain = {18: 1.4, 19: 0.6, 20: 0.0, 21: 0.0}  # mm
dry = min(hour for hour in rain if not rain[hour])
print(f"dry from {dry}:00")
"""


@dataclass(slots=True)
class Tools:
    """Two Python functions, one async and one sync, that take their time and note when."""

    spans: list[tuple[str, float, float]] = field(default_factory=list)
    """Of each call: the function's name, and when it began and ended, in seconds."""

    @property
    def toolset(self) -> Toolset:
        """The functions as a run's tools."""
        return Toolset(self.get_weather, self.get_time)

    def summary(self) -> str:
        """Say how long the calls took, each alone and all together."""
        each = " and ".join(f"{name} ({end - start:.2f} s)" for name, start, end in self.spans)
        starts = [start for _, start, _ in self.spans]
        ends = [end for _, _, end in self.spans]
        how = "at once" if max(starts) < min(ends) else "one after the other"
        return f"{each} ran {how}: {max(ends) - min(starts):.2f} s in all"

    async def get_weather(self, city: str, units: str) -> dict[str, Any]:
        """Tell tonight's weather in a city."""
        with self._timed("get_weather"):
            await asyncio.sleep(0.6)
        return {"city": city, "units": units, "sky": "rain, then clear", "temperature": 9}

    def get_time(self, city: str) -> str:
        """Tell the local time in a city."""
        with self._timed("get_time"):
            time.sleep(0.5)
        return f"17:40 in {city}"

    @contextmanager
    def _timed(self, name: str) -> Generator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.spans.append((name, start, time.monotonic()))


async def script(_context: Context) -> AsyncGenerator[Action, Any]:
    """Ask for the functions and a file search at once, run code, and answer from it all."""
    yield Say("Let me look at the weather and the time in Oslo, and at your notes.")
    weather, now = yield Parallel(
        Call("get_weather", ['{"city": ', '"Oslo", ', '"units": ', '"metric"}']),
        Call("get_time", ['{"city": ', '"Oslo"}']),
        SearchFiles([NOTES]),
        interleave=True,
    )
    yield RunCode(CODE, logs=["dry from ", "20:00\n"], image="file-rain-chart")
    sky = json.loads(weather)["sky"]
    answer = (
        f"It is {now}, and tonight's sky is: {sky}. Take an umbrella if you go out before 20:00; "
        f"see {CHART}. Dinner is at 20:30 at Café Sør {CITED}, and it will be dry by then."
    )
    annotations: list[FilePath | Citation] = [
        FilePath(CHART, "file-rain-chart"),
        Citation(CITED, NOTES.file_id, quote=NOTES.text),
    ]
    yield Say(Text(answer, annotations))
