"""The check for what tests leave behind sees what there is to see."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import threading

import pytest

from tests import leaks
from tests.leaks import (
    Complaints,
    closed,
    open_sockets,
    open_tasks,
    sockets_beyond,
    sockets_left,
)


@pytest.mark.anyio
async def test_a_socket_that_is_open_is_seen_until_it_is_closed() -> None:
    before = open_sockets()
    with socket.socket():
        assert open_sockets() - before == 1
    assert open_sockets() == before


@pytest.mark.anyio
async def test_the_other_side_has_its_time_to_notice() -> None:
    before, made = open_sockets(), socket.socket()
    asyncio.get_running_loop().call_later(0.05, made.close)
    assert open_sockets() - before == 1
    assert await sockets_beyond(before) == 0


def test_a_socket_is_seen_without_a_loop() -> None:
    before, made = open_sockets(), socket.socket()
    closing = threading.Timer(0.05, made.close)
    closing.start()
    assert open_sockets() - before == 1
    assert sockets_left(before) == 0
    closing.join()
    with socket.socket():
        assert sockets_left(before) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("resets", [True, False], ids=["resets", "reads nothing"])
async def test_a_connection_is_closed_however_the_other_side_behaves(
    resets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.05)
    left, served = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=served)
    writer.write(bytes(2**24))
    if resets:
        left.close()
    await closed(writer)
    await asyncio.sleep(0)  # an aborted transport is closed in the next turn
    assert served.fileno() == -1
    left.close()


@pytest.mark.anyio
async def test_a_task_that_goes_on_is_seen() -> None:
    before = open_tasks()
    task = asyncio.ensure_future(asyncio.sleep(3600))
    assert open_tasks() - before == {task}
    task.cancel()
    await asyncio.wait({task})
    assert open_tasks() == before


def test_a_task_that_is_destroyed_while_it_waits_is_a_complaint() -> None:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    task = loop.create_task(wait_for_ever())
    loop.run_until_complete(asyncio.sleep(0))
    complaints, log = Complaints(), logging.getLogger("asyncio")
    handlers, alone = log.handlers, [complaints]
    log.handlers = [*alone]
    try:
        del task
        gc.collect()
    finally:
        log.handlers = handlers
        loop.close()
    assert complaints.said
    assert complaints.said[0].startswith("Task was destroyed but it is pending!")
