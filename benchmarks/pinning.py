"""Processes to cores: clients on one, servers on the other, where there are two."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["pin", "pinned"]


def pin(role: Literal["client", "server"]) -> None:
    """Keep this process, and those that it starts, on the core of its role."""
    if not hasattr(os, "sched_setaffinity"):  # macOS and Windows choose by themselves
        return
    cores = sorted(os.sched_getaffinity(0)) if role == "client" else range(os.cpu_count() or 1)
    os.sched_setaffinity(0, {cores[0] if role == "client" else cores[-1]})


@contextmanager
def pinned() -> Generator[None]:
    """Keep this process on the clients' core, for a block."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    pin("client")
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
