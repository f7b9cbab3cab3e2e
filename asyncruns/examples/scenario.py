"""Whom the examples ask: an assistant that is named, or the emulator playing one with two tools."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from asyncruns import Client, Toolset
from asyncruns.emulator import Action, Call, Context, Emulator, Parallel, RunCode, Say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["TOKEN_RATE", "open_assistant"]

TOKEN_RATE: Final = 25.0
"""Deltas per second at which a reader can follow the emulator."""

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


@asynccontextmanager
async def open_assistant(
    assistant_id: str | None, token_rate: float
) -> AsyncGenerator[tuple[Client, str, Toolset | None], None]:
    """Give a client, the assistant's id, and the tools that answer its calls.

    The server is that of OPENAI_BASE_URL where an assistant is named, and else the emulator, with
    `token_rate` deltas per second; 0 is as fast as possible.
    """
    if assistant_id is not None:
        async with Client() as client:
            yield client, assistant_id, None
        return
    async with (
        Emulator(_script, token_rate=token_rate or None) as emulator,
        Client(base_url=emulator.base_url, api_key="any") as client,
    ):
        assistant = await client.assistants.create(
            model="gpt-4o", tools=[*TOOLS.definitions, {"type": "code_interpreter"}]
        )
        yield client, assistant.id, TOOLS


async def _script(context: Context) -> AsyncGenerator[Action, Any]:
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
        f"the forecast says {told}. {advice} Dinner by the water will be fine after that, but "
        "bring a jacket: it gets cold there once the sun is gone."
    )
