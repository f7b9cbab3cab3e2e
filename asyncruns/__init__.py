"""An asyncio client for the Runs protocol: threads, runs, run steps, streaming.

Everything public is here. Names that need aiohttp or anyio are imported when they are first asked
for, so that `import asyncruns` stays light. Extras, and what anyio needs for tools and for cancels,
are imported at their first use.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

from asyncruns.accumulator import *  # noqa: F403 -- each room's __all__ is its public face
from asyncruns.calls import *  # noqa: F403
from asyncruns.dedupe import DEDUPE_KEY
from asyncruns.errors import *  # noqa: F403
from asyncruns.events import *  # noqa: F403
from asyncruns.handler import *  # noqa: F403
from asyncruns.jobs import *  # noqa: F403
from asyncruns.models import *  # noqa: F403
from asyncruns.service import *  # noqa: F403
from asyncruns.stream import *  # noqa: F403
from asyncruns.unfold import *  # noqa: F403

from . import (
    accumulator,
    calls,
    errors,
    events,
    handler,
    jobs,
    models,
    service,
    stream,
    unfold,
)

if TYPE_CHECKING:
    from types import ModuleType

    from asyncruns.azure import AzureClient
    from asyncruns.client import Client
    from asyncruns.hooks import RateLimits, RequestInfo, ResponseInfo, RetryInfo
    from asyncruns.options import StreamOptions
    from asyncruns.pool import PoolCounts, RunPool
    from asyncruns.raw import RawResponse
    from asyncruns.retries import RetryPolicy, should_retry
    from asyncruns.timeouts import Timeout
    from asyncruns.toolset import RunContext, Toolset

__version__ = "0.1.0"

_LATE = {
    "AzureClient": "asyncruns.azure",
    "Client": "asyncruns.client",
    "PoolCounts": "asyncruns.pool",
    "RateLimits": "asyncruns.hooks",
    "RawResponse": "asyncruns.raw",
    "RequestInfo": "asyncruns.hooks",
    "ResponseInfo": "asyncruns.hooks",
    "RetryInfo": "asyncruns.hooks",
    "RetryPolicy": "asyncruns.retries",
    "RunContext": "asyncruns.toolset",
    "RunPool": "asyncruns.pool",
    "StreamOptions": "asyncruns.options",
    "Timeout": "asyncruns.timeouts",
    "Toolset": "asyncruns.toolset",
    "should_retry": "asyncruns.retries",
}

__all__ = [
    "DEDUPE_KEY",
    "AzureClient",
    "Client",
    "PoolCounts",
    "RateLimits",
    "RawResponse",
    "RequestInfo",
    "ResponseInfo",
    "RetryInfo",
    "RetryPolicy",
    "RunContext",
    "RunPool",
    "StreamOptions",
    "Timeout",
    "Toolset",
    "__version__",
    "should_retry",
]
__all__ += accumulator.__all__
__all__ += calls.__all__
__all__ += errors.__all__
__all__ += events.__all__
__all__ += handler.__all__
__all__ += jobs.__all__
__all__ += models.__all__
__all__ += service.__all__
__all__ += stream.__all__
__all__ += unfold.__all__


def __getattr__(name: str) -> Any:
    if name in _LATE:
        value = getattr(_imported(_LATE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _imported(name: str) -> ModuleType:
    """Import a module, and look for no garbage meanwhile: what an import makes is there to stay.

    Looking takes a sixteenth of the time that the client needs with aiohttp.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if collects:
            gc.enable()
