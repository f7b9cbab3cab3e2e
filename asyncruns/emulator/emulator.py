"""The Runs server as a block: start it, use it, look at what it was asked."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from asyncruns.emulator import requests
from asyncruns.emulator.clock import Clock
from asyncruns.emulator.dialects import dialect_of
from asyncruns.emulator.endpoints import Endpoints
from asyncruns.emulator.faults import Faults
from asyncruns.emulator.ids import Ids
from asyncruns.emulator.records import Json, encode
from asyncruns.emulator.scripts import Script, use_every_tool
from asyncruns.emulator.server import HOST, Server
from asyncruns.emulator.stage import Stage
from asyncruns.emulator.store import Store

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from asyncruns.emulator.faults import Fault
    from asyncruns.emulator.server import Request

RUN_LIFETIME = 600
"""After how many seconds a run expires."""
T = TypeVar("T")

DEFAULT_MODEL = "gpt-4o"
"""The model of an assistant that is added without one."""


class Emulator:
    """A Runs server on 127.0.0.1, open within an `async with` block.

    `script` is what the model does (see `Script`). `api_key` is the key that every request must
    bring; without it any key, or none, will do. `port` 0 takes a free one. With `ssl_context` it
    speaks TLS. `token_rate` is the deltas per second of each run; None is as fast as possible.
    `clock` is the time of the server's objects, expiry and waits. `poll_after_ms` is sent as
    `openai-poll-after-ms` when a run is retrieved. The same `seed` gives the same ids. `faults` is
    what goes wrong with requests (see `Fault`), `dialect` whose server it speaks like: `plain`,
    `reference`, `azure`, `litellm`, `open-assistant-api`, `astra` or `v1`.

    Runs go on in tasks of the block's event loop; leaving the block stops them and closes every
    connection.
    """

    def __init__(
        self,
        script: Script = use_every_tool,
        *,
        api_key: str | None = None,
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        token_rate: float | None = None,
        clock: Clock | None = None,
        poll_after_ms: int | None = None,
        run_lifetime: float = RUN_LIFETIME,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        dialect: str = "plain",
    ) -> None:
        self._dialect = dialect_of(dialect)
        self.clock = clock or Clock()
        self._stage = Stage(clock=self.clock, ids=Ids(seed), token_rate=token_rate)
        self._store = Store(self._stage, run_lifetime=run_lifetime)
        self._endpoints = Endpoints(self._store, script, poll_after_ms, self._dialect.script)
        self._server = Server(
            self._endpoints,
            api_key=api_key,
            port=port,
            ssl_context=ssl_context,
            seed=seed,
            clock=self.clock,
            dialect=self._dialect,
            on_shutdown=self._stop_runs,
        )
        self.faults = tuple(faults)
        self._scheme = "http" if ssl_context is None else "https"
        self._port = port

    async def __aenter__(self) -> Self:
        self._port = await self._server.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._server.stop()
        finally:
            self._stop_runs()
            await self._stage.wait_closed()

    @property
    def origin(self) -> str:
        """The address without a path; known once the block is entered."""
        return f"{self._scheme}://{HOST}:{self._port}"

    @property
    def base_url(self) -> str:
        """The address below which the API is; known once the block is entered."""
        return f"{self.origin}/v1"

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in the order of their arrival; the list may be cleared."""
        return self._server.requests

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        return self._server.connections

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong with requests from now on; setting it counts them from 0."""
        return self._server.faults.all

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._server.faults = Faults(faults)

    @property
    def script(self) -> Script:
        """What runs do that are created from now on."""
        return self._endpoints.script

    @script.setter
    def script(self, script: Script) -> None:
        self._endpoints.script = script

    @property
    def token_rate(self) -> float | None:
        """Deltas per second of each run, from the next delta on; None is as fast as possible."""
        return self._stage.token_rate

    @token_rate.setter
    def token_rate(self, token_rate: float | None) -> None:
        self._stage.token_rate = token_rate

    @property
    def poll_after_ms(self) -> int | None:
        """What `openai-poll-after-ms` says when a run is retrieved; None leaves it out."""
        return self._endpoints.poll_after_ms

    @poll_after_ms.setter
    def poll_after_ms(self, milliseconds: int | None) -> None:
        self._endpoints.poll_after_ms = milliseconds

    def add_assistant(self, *, id: str | None = None, **fields: Any) -> Json:  # noqa: A002 -- the API's word
        """Add an assistant as a request with these fields would; return a copy of it."""
        body = _body({"model": DEFAULT_MODEL, **fields}, requests.CreateAssistant)
        return copy.deepcopy(self._store.new_assistant(body, id))

    def add_thread(self, *, id: str | None = None, **fields: Any) -> Json:  # noqa: A002 -- the API's word
        """Add a thread as a request with these fields would; return a copy of it."""
        body = _body(fields, requests.CreateThread)
        return copy.deepcopy(self._store.new_thread(body, id).record)

    def add_message(
        self,
        thread_id: str,
        content: str | list[Json],
        *,
        id: str | None = None,  # noqa: A002 -- the API's word
        role: str = "user",
        **fields: Any,
    ) -> Json:
        """Add a message to a thread as a request would; return a copy of it."""
        body = _body({"role": role, "content": content, **fields}, requests.CreateMessage)
        thread = self._store.thread(thread_id)
        return copy.deepcopy(self._store.new_message(thread, body, id))

    async def add_run(
        self,
        thread_id: str,
        assistant_id: str,
        *,
        id: str | None = None,  # noqa: A002 -- the API's word
        script: Script | None = None,
        **fields: Any,
    ) -> Json:
        """Add a run and return a copy of it once it has ended, or waits for outputs or the clock.

        So the script decides in which state it is found: one that yields `Call(...)` leaves it
        requiring action, one that yields `Wait(...)` in progress, one that ends completed.
        """
        body = _body({"assistant_id": assistant_id, **fields}, requests.CreateRun)
        thread = self._store.thread(thread_id)
        run = self._store.new_run(thread, self._store.assistant(assistant_id), body, id)
        run.start(self._endpoints.performance(run, script))
        await run.settled.wait()
        return copy.deepcopy(run.record)

    def _stop_runs(self) -> None:
        for thread in self._store.threads.values():
            for run in thread.runs.values():
                run.abandon()
        self._stage.close()


def _body(fields: Json, kind: type[T]) -> T:
    return requests.decode(encode(fields), kind)
