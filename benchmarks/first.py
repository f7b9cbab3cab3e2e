"""A fresh process to the end of its first run: `python benchmarks/first.py PEER URL`.

Prints the text. Each peer imports what it needs and nothing else: that is what is measured.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["PEERS", "main"]


async def _asyncruns(url: str) -> str:
    from asyncruns import Client, TextContentBlock  # noqa: PLC0415 -- see the module

    async with (
        Client(base_url=url, api_key="any") as client,
        client.runs.stream(thread_id="short", assistant_id="asst_1") as stream,
    ):
        async for event in stream:
            _ = event.data
        content = stream.messages[0].content[0]
        return content.text.value if isinstance(content, TextContentBlock) else ""


async def _openai(url: str) -> str:
    import openai  # noqa: PLC0415 -- see the module
    from openai.types.beta.threads import TextContentBlock  # noqa: PLC0415 -- the same

    warnings.simplefilter("ignore", DeprecationWarning)  # about the whole protocol
    async with openai.AsyncOpenAI(api_key="any", base_url=url) as client:
        opened = client.beta.threads.runs.stream(  # pyright: ignore[reportDeprecated]
            thread_id="short", assistant_id="asst_1"
        )
        async with opened as handler:
            async for event in handler:
                _ = event.data
            content = (await handler.get_final_messages())[0].content[0]
            return content.text.value if isinstance(content, TextContentBlock) else ""


async def _naive(url: str) -> str:
    import json  # noqa: PLC0415 -- see the module

    import aiohttp  # noqa: PLC0415 -- see the module

    text, name = "", b""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/threads/short/runs", json={"assistant_id": "asst_1"}) as response,
    ):
        async for line in response.content:
            if line.startswith(b"event: "):
                name = line
            elif line.startswith(b"data: {"):
                data = json.loads(line[6:])
                if name == b"event: thread.message.delta\n":
                    text += data["delta"]["content"][0]["text"]["value"]
    return text


PEERS: Final[dict[str, Callable[[str], Coroutine[None, None, str]]]] = {
    "openai": _openai,
    "naive json": _naive,
    "asyncruns": _asyncruns,
}
"""Whose first run there is, by the name in the table."""


def main() -> None:
    """Carry out one run."""
    _, peer, url = sys.argv
    print(asyncio.run(PEERS[peer](url)))


if __name__ == "__main__":
    main()
