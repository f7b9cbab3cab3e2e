"""The public face: what `asyncruns` exports, and what importing it costs."""

from __future__ import annotations

import gc
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import asyncruns

if TYPE_CHECKING:
    from types import ModuleType

ROOMS = (
    "accumulator",
    "calls",
    "errors",
    "events",
    "handler",
    "jobs",
    "models",
    "service",
    "stream",
    "unfold",
)
LATE = {
    "AzureClient": "asyncruns.azure",
    "Client": "asyncruns.client",
    "RawResponse": "asyncruns.raw",
    "RetryPolicy": "asyncruns.retries",
    "PoolCounts": "asyncruns.pool",
    "RunContext": "asyncruns.toolset",
    "RunPool": "asyncruns.pool",
    "StreamOptions": "asyncruns.options",
    "Toolset": "asyncruns.toolset",
    "RateLimits": "asyncruns.hooks",
    "RequestInfo": "asyncruns.hooks",
    "ResponseInfo": "asyncruns.hooks",
    "RetryInfo": "asyncruns.hooks",
    "Timeout": "asyncruns.timeouts",
    "should_retry": "asyncruns.retries",
}


def test_the_top_level_is_the_union_of_the_rooms() -> None:
    names = [name for room in ROOMS for name in import_module(f"asyncruns.{room}").__all__]
    assert len(names) == len(set(names)), "two rooms export one name"
    assert {*names, *LATE, "__version__"} <= set(asyncruns.__all__)
    for name in asyncruns.__all__:
        assert getattr(asyncruns, name) is not None


@pytest.mark.parametrize("name", LATE)
def test_a_late_name_is_the_thing_itself(name: str) -> None:
    assert getattr(asyncruns, name) is getattr(import_module(LATE[name]), name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"asyncruns.*'Cleint'"):
        _ = asyncruns.Cleint


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


def test_importing_asyncruns_imports_no_http_client_and_no_extra() -> None:
    modules = imported_by("import asyncruns")
    assert "asyncruns.stream" in modules
    assert modules.isdisjoint(
        {"aiohttp", "anyio", "click", "rich", "docstring_parser", "jiter", "openai"}
    )


def test_reaching_for_the_client_imports_its_transport_at_once() -> None:
    assert {"aiohttp", "asyncruns.transport"} <= imported_by("from asyncruns import Client")


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_after_a_late_import_as_before(
    monkeypatch: pytest.MonkeyPatch, *, collects: bool
) -> None:
    seen: list[bool] = []

    def importing(_: str) -> ModuleType:
        seen.append(gc.isenabled())
        raise ImportError("no such module today")

    monkeypatch.setattr(asyncruns, "import_module", importing)
    monkeypatch.delitem(vars(asyncruns), "Client", raising=False)
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with pytest.raises(ImportError, match="today"):
            _ = asyncruns.Client
        after = gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()
    assert (seen, after) == ([False], collects)
