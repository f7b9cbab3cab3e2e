"""The emulator in a thread and an event loop of its own: for code that has no loop, or any."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from asyncruns.emulator.emulator import Emulator
from asyncruns.emulator.scripts import use_every_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType
    from typing import Self

    from asyncruns.emulator.faults import Fault
    from asyncruns.emulator.records import Json
    from asyncruns.emulator.scripts import Script
    from asyncruns.emulator.server import Request

T = TypeVar("T")


class EmulatorThread:
    """An Emulator as a plain `with` block; it takes the same options.

    Every method returns when the emulator's thread has done what it says, in milliseconds; scripts
    run in that thread, and may call all of them but `add_run`. Outside of the block they raise
    RuntimeError. Raises, on entering, what starting the server raises: OSError for a port
    that is taken. Leaving the block ends the server and the thread.
    """

    def __init__(self, script: Script = use_every_tool, **options: Any) -> None:
        self._emulator = Emulator(script, **options)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="runs emulator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._ending.set)
        self._thread.join()

    @property
    def origin(self) -> str:
        """The address without a path."""
        return self._emulator.origin

    @property
    def base_url(self) -> str:
        """The address below which the API is: a client's `base_url`."""
        return self._emulator.base_url

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in the order of their arrival; the list may be cleared."""
        return self._emulator.requests

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        return self._do(lambda: self._emulator.connections)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong with requests from now on; setting it counts them from 0."""
        return self._emulator.faults

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._do(lambda: setattr(self._emulator, "faults", faults))

    @property
    def script(self) -> Script:
        """What runs do that are created from now on."""
        return self._emulator.script

    @script.setter
    def script(self, script: Script) -> None:
        self._do(lambda: setattr(self._emulator, "script", script))

    def advance(self, seconds: float) -> None:
        """Move the emulator's clock ahead."""
        self._do(lambda: self._emulator.clock.advance(seconds))

    def add_assistant(self, **fields: Any) -> Json:
        """Add an assistant as a request with these fields would; return a copy of it."""
        return self._do(lambda: self._emulator.add_assistant(**fields))

    def add_thread(self, **fields: Any) -> Json:
        """Add a thread as a request with these fields would; return a copy of it."""
        return self._do(lambda: self._emulator.add_thread(**fields))

    def add_message(self, thread_id: str, content: str | list[Json], **fields: Any) -> Json:
        """Add a message to a thread as a request would; return a copy of it."""
        return self._do(lambda: self._emulator.add_message(thread_id, content, **fields))

    def add_run(self, thread_id: str, assistant_id: str, **fields: Any) -> Json:
        """Add a run and return a copy of it once it has ended, or waits for somebody."""
        return self._await(lambda: self._emulator.add_run(thread_id, assistant_id, **fields))

    @property
    def _is_here(self) -> bool:
        """Whether this is the emulator's own thread, which cannot wait for itself."""
        return threading.current_thread() is self._thread

    def _do(self, act: Callable[[], T]) -> T:
        """Do something in the emulator's thread, and give what it gives."""

        async def do() -> T:
            return act()

        return act() if self._is_here else self._await(do)

    def _await(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._is_here:
            raise RuntimeError("a script cannot wait for a run of its own emulator")
        if not self._thread.is_alive():
            raise RuntimeError("the emulator is not running: use it within its `with` block")
        loop = self._started.result()
        return asyncio.run_coroutine_threadsafe(make(), loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:  # noqa: BLE001 -- whoever started the thread gets it
            self._started.set_exception(exc)

    async def _serve(self) -> None:
        async with self._emulator:
            self._started.set_result(asyncio.get_running_loop())
            await self._ending.wait()
