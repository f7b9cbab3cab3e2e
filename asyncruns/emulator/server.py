"""HTTP: a request to its endpoint, and the answer or the refusal back.

Every request passes `Server._dispatch`, where a fault may take it.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from asyncruns.emulator.endpoints import ROUTES, Asked
from asyncruns.emulator.errors import ApiError, bad_request
from asyncruns.emulator.failing import Exchange, act, reset
from asyncruns.emulator.faults import Faults
from asyncruns.emulator.ids import Ids
from asyncruns.emulator.records import encode
from asyncruns.emulator.streams import EVENT_STREAM, framed, send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from asyncruns.emulator.clock import Clock, Timer
    from asyncruns.emulator.dialects import Dialect
    from asyncruns.emulator.endpoints import Answer, Endpoints
    from asyncruns.emulator.faults import Fault

HOST = "127.0.0.1"
PREFIXES = ("openai/v1", "openai", "v1")
"""What may stand before the paths of the API; nothing may, too."""
LARGEST_BODY = 16 * 1024 * 1024
BACKLOG = 4096
"""How many connections may wait to be accepted."""
SHUTDOWN_SECONDS = 0.2
"""How long handlers may take to end once the runs have been stopped."""


ACCEPT_TURNS = 3
"""How many turns of the loop a connection takes from the kernel's queue to its handler."""


@dataclass(slots=True)
class Request:
    """A request that has arrived, as `Emulator.requests` lists it."""

    method: str
    path: str
    """As it was sent, prefix included and quoted."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Their names in any case."""
    request_id: str
    """The `x-request-id` of the answer."""
    body: bytes = b""
    status: int | None = None
    """The answer's status; None until it is sent."""
    fault: Fault | None = None
    """The fault that has taken it."""


_RECORD = web.RequestKey("record", Request)


class Server:
    """The endpoints behind a listening socket."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        api_key: str | None,
        port: int,
        ssl_context: ssl.SSLContext | None,
        seed: int,
        clock: Clock,
        dialect: Dialect,
        on_shutdown: Callable[[], None],
    ) -> None:
        self.requests: list[Request] = []
        self._endpoints = endpoints
        self._api_key = api_key
        self._port = port
        self._ssl_context = ssl_context
        self._clock = clock
        self._dialect = dialect
        self._on_shutdown = on_shutdown
        self._ids = Ids(f"requests {seed}")
        self._faults = Faults(())
        self._listener: asyncio.Server | None = None
        self._reopening: Timer | None = None
        self._listening: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._dispatch)
        app.on_response_prepare.append(_label)
        app.on_shutdown.append(self._shut_down)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    @property
    def faults(self) -> Faults:
        """What goes wrong from now on; their counts begin anew when they are set."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        if self._runner.server is not None:
            self._fail_at_once()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        server = self._runner.server
        return 0 if server is None else len(server.connections)

    async def start(self) -> int:
        """Listen; return the port. Raises OSError when the port is taken."""
        await self._runner.setup()
        try:
            await self._listen()
        except OSError:
            await self.stop()
            raise
        self._fail_at_once()
        return self._port

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._reopening is not None:
            self._reopening.cancel()
        if self._listening is not None:
            self._listening.cancel()
        # asyncio loses, unclosed, what it has accepted and not yet attached to its server.
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    async def _listen(self) -> None:
        assert self._runner.server is not None  # noqa: S101 -- `start` has set it up
        self._listener = await asyncio.get_running_loop().create_server(
            self._runner.server, HOST, self._port, ssl=self._ssl_context, backlog=BACKLOG
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    def _fail_at_once(self) -> None:
        for fault in self._faults.all:
            if fault.comes_at_once:
                self._take_down(fault.seconds)

    def _take_down(self, seconds: float | None) -> None:
        """Close the port for so many seconds, and reset every connection."""
        if self._listener is None or self._runner.server is None:
            return
        self._listener.close()
        for connection in self._runner.server.connections:
            reset(connection.transport)
        if self._reopening is not None:
            self._reopening.cancel()
        if seconds is not None:
            self._reopening = self._clock.call_at(self._clock.now() + seconds, self._reopen)

    def _reopen(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def _shut_down(self, _app: web.Application) -> None:
        self._stopping.set()
        self._on_shutdown()

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        """Record a request and answer it."""
        record = Request(
            request.method,
            request.rel_url.raw_path,
            request.query,
            request.headers,
            self._ids.new("req"),
        )
        request[_RECORD] = record
        self.requests.append(record)
        try:
            record.body = await _read(request)
            _, segments = _below_prefix(record.path)
            record.fault = self._faults.take(request.method, segments, record.body)
            if record.fault is not None:
                return await act(record.fault, self._exchange(request, record.body))
            answer = self._answer(request, record.body)
        except ApiError as error:
            return web.Response(
                status=error.status, body=encode(error.body), content_type="application/json"
            )
        if answer.stream is not None:
            pieces = framed(self._dialect.stream(answer.stream), self._dialect.framing)
            return await send(request, pieces, web.StreamResponse(headers=EVENT_STREAM))
        return web.Response(
            body=answer.body, headers=answer.headers, content_type="application/json"
        )

    def _exchange(self, request: web.Request, body: bytes) -> Exchange:
        return Exchange(
            request,
            carry_out=lambda: self._answer(request, body),
            dialect=self._dialect,
            clock=self._clock,
            stopping=self._stopping,
            take_down=self._take_down,
        )

    def _answer(self, request: web.Request, body: bytes) -> Answer:
        """Return what the endpoint says. Raises ApiError."""
        prefix, segments = _below_prefix(request.rel_url.raw_path)
        self._authenticate(request)
        azure = (
            prefix.startswith("openai")
            or "api-version" in request.query
            or "api-key" in request.headers
        )
        if not azure:
            _require_beta(request)
        endpoint, ids = _find(request.method, segments, request.path)
        if body:
            _require_json(request)
        include = request.query.getall("include[]", []) + request.query.getall("include", [])
        plain = endpoint(self._endpoints, Asked(request.query, include, body), *ids)
        if plain.stream is not None:
            return plain
        return replace(plain, body=self._dialect.body(plain.body))

    def _authenticate(self, request: web.Request) -> None:
        if self._api_key is None:
            return
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = request.headers.get("api-key") or bearer
        if not given:
            raise ApiError(
                401, "No API key was given: send it as a Bearer token or as the api-key header."
            )
        if not hmac.compare_digest(_bytes(given), _bytes(self._api_key)):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ApiError(413, f"The body is larger than {LARGEST_BODY} bytes.") from error


async def _label(request: web.Request, response: web.StreamResponse) -> None:
    """Put the request id on an answer that is about to be sent, and its status on the record."""
    record = request[_RECORD]
    record.status = response.status
    response.headers["x-request-id"] = record.request_id


def _below_prefix(raw_path: str) -> tuple[str, list[str]]:
    """Split a path into its prefix and the unquoted segments below it."""
    path = raw_path.removeprefix("/")
    for prefix in PREFIXES:
        if path.startswith(f"{prefix}/"):
            return prefix, [unquote(part) for part in path[len(prefix) + 1 :].split("/")]
    return "", [unquote(part) for part in path.split("/")]


def _find(method: str, segments: list[str], path: str) -> tuple[Callable[..., Answer], list[str]]:
    """Return the endpoint for a path, and the ids in it."""
    for pattern, methods in ROUTES.items():
        ids = _match(pattern.split("/"), segments)
        if ids is None:
            continue
        if method not in methods:
            raise ApiError(405, f"Not allowed to {method} on {path}.")
        return methods[method], ids
    raise ApiError(404, f"Invalid URL ({method} {path}).")


def _match(pattern: list[str], segments: list[str]) -> list[str] | None:
    """Return the ids in a path that fits the pattern."""
    if len(pattern) != len(segments):
        return None
    ids: list[str] = []
    for wanted, segment in zip(pattern, segments, strict=True):
        if wanted == "{}" and segment:
            ids.append(segment)
        elif wanted != segment:
            return None
    return ids


def _bytes(text: str) -> bytes:
    """Return a header's bytes as they were sent."""
    return text.encode("utf-8", "surrogateescape")


def _require_beta(request: web.Request) -> None:
    if "assistants=v2" not in request.headers.get("OpenAI-Beta", "").replace(" ", "").split(","):
        raise bad_request(
            "This API needs the header 'OpenAI-Beta: assistants=v2'.", code="invalid_beta"
        )


def _require_json(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise bad_request(
            f"Invalid Content-Type header ({request.content_type}), expected application/json."
        )
