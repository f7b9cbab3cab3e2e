"""A Runs server in this process, for tests and demonstrations.

It speaks real HTTP on 127.0.0.1, keeps what it is given, and lets a script play the model:

    async def script(context):
        output = yield Call("get_weather", {"city": "Oslo"})
        yield Say(f"In Oslo it is {output}.")

    async with Emulator(script) as emulator:
        ...  # any client of the Runs protocol, with emulator.base_url
"""

from asyncruns.emulator.actions import (
    Action,
    Activities,
    Call,
    CallMcp,
    Citation,
    Fail,
    FilePath,
    Found,
    ImageFile,
    ImageURL,
    Incomplete,
    Parallel,
    Refusal,
    RunCode,
    Say,
    SearchFiles,
    Text,
    URLCitation,
    Wait,
)
from asyncruns.emulator.clock import Clock, ManualClock
from asyncruns.emulator.dialects import DIALECTS
from asyncruns.emulator.emulator import Emulator
from asyncruns.emulator.errors import ApiError
from asyncruns.emulator.faults import ENDPOINTS, Fault
from asyncruns.emulator.scripts import Context, Script, use_every_tool
from asyncruns.emulator.server import Request
from asyncruns.emulator.thread import EmulatorThread

__all__ = [
    "DIALECTS",
    "ENDPOINTS",
    "Action",
    "Activities",
    "ApiError",
    "Call",
    "CallMcp",
    "Citation",
    "Clock",
    "Context",
    "Emulator",
    "EmulatorThread",
    "Fail",
    "Fault",
    "FilePath",
    "Found",
    "ImageFile",
    "ImageURL",
    "Incomplete",
    "ManualClock",
    "Parallel",
    "Refusal",
    "Request",
    "RunCode",
    "Say",
    "Script",
    "SearchFiles",
    "Text",
    "URLCitation",
    "Wait",
    "use_every_tool",
]
