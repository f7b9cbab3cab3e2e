"""What the model and the tools of the web example do where no server is named."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from asyncruns import Toolset
from asyncruns.emulator import Action, Call, Context, Parallel, RunCode, Say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["TOOLS", "script"]

CITIES: Final = {"oslo": ("Oslo", 9, [2.1, 0.6, 0.0]), "rome": ("Rome", 21, [0.0, 0.0, 0.0])}
CODE: Final = """\
rain = {rain}  # mm, from 18:00 on
wet = [hour for hour, mm in enumerate(rain, 18) if mm]
print(f"rain until {{wet[-1] + 1}}:00" if wet else "no rain")
"""


async def get_weather(city: str) -> dict[str, Any]:
    """Forecast tonight's weather in a city."""
    await asyncio.sleep(0.8)
    name, degrees, rain = CITIES.get(city.lower(), (city, 15, [0.0, 0.3, 0.0]))
    return {"city": name, "degrees": degrees, "rain": rain}


async def get_time(city: str) -> str:
    """Tell the local time in a city."""
    await asyncio.sleep(0.5)
    return f"17:40 in {city}"


TOOLS: Final = Toolset(get_weather, get_time)


async def script(context: Context) -> AsyncGenerator[Action, Any]:
    """Ask both functions at once, run code on what they gave, and answer from it all."""
    question = context.input
    city = next((name for key, (name, *_) in CITIES.items() if key in question.lower()), "Oslo")
    yield Say(f"Let me look at tonight's weather in {city}.")
    weather, now = yield Parallel(
        Call("get_weather", {"city": city}), Call("get_time", {"city": city}), interleave=True
    )
    forecast = json.loads(weather)
    wet = [hour for hour, mm in enumerate(forecast["rain"], 18) if mm]
    told = f"rain until {wet[-1] + 1}:00" if wet else "no rain"
    yield RunCode(CODE.format(rain=forecast["rain"]), logs=f"{told}\n")
    advice = "Take an umbrella." if wet else "Leave the umbrella at home."
    yield Say(
        f"You asked: “{question}”\n\nIt is {now}, and {forecast['degrees']} °C; "
        f"the forecast says {told}. {advice} This text grows as the run's events come in: reload "
        "the page, or open its address in a second tab, and nothing of it is lost."
    )
