"""What the fuzzers do with an input: two targets, and the promises that each of them checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from asyncruns import models
from asyncruns.accumulator import Accumulator
from asyncruns.errors import StreamError, error_from_response
from asyncruns.events import EventDecoder, ThreadMessageDelta, ThreadRunStepDelta
from asyncruns.models import ObjectDecoder, to_dict, to_json
from asyncruns.pages import MESSAGE_PAGE, RUN_PAGE, RUN_STEP_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncruns.events import Event

__all__ = ["TARGETS", "take_object", "take_stream"]


def take_stream(data: bytes) -> None:
    """Decode bytes as a stream and fold its events: snapshots or errors of our tree, nothing else.

    The first byte says where the stream is cut: that makes no difference.
    """
    if not data:
        return
    size, body = data[0] + 1, data[1:]
    whole = list(_told([body]))
    assert whole == list(_told([body[at : at + size] for at in range(0, len(body), size)]))
    _fold(body)


def _told(chunks: Sequence[bytes]) -> Iterator[object]:
    """The events and errors of a stream, in their order."""
    decoder = EventDecoder()
    for events in (*map(decoder.feed, chunks), decoder.close()):
        yield from _each(events)


def _each(events: Iterator[Event]) -> Iterator[Event | str]:
    while True:
        try:
            yield next(events)
        except StopIteration:
            return
        except StreamError as exc:
            yield str(exc)


def _fold(body: bytes) -> None:
    """Fold a stream, and again without decoding what can wait: both agree where all is well."""
    folded = Accumulator()
    for event in _each(EventDecoder().feed(body)):
        if isinstance(event, str):
            continue
        try:
            folded.apply(event)
        except StreamError:
            continue
        if isinstance(event, ThreadRunStepDelta | ThreadMessageDelta):
            list(folded.changed_parts(event.data))
    before = _read(folded)
    # Reading changes nothing.
    assert before == _read(folded)


def _read(folded: Accumulator) -> list[bytes]:
    """All snapshots as JSON that can be read."""
    read = [to_json(part) for part in (folded.run, folded.thread, folded.steps, folded.messages)]
    for part in read:
        json.loads(part.decode("utf-8", "replace"), strict=False)
    return read


DECODERS: Final[tuple[Callable[[bytes], Any], ...]] = (
    *map(
        ObjectDecoder,
        (
            models.Run,
            models.RunStep,
            models.RunStepDeltaEvent,
            models.Message,
            models.MessageDeltaEvent,
            models.Thread,
            models.Assistant,
            models.ErrorObject,
        ),
    ),
    RUN_PAGE,
    RUN_STEP_PAGE,
    MESSAGE_PAGE,
)


def take_object(data: bytes) -> None:
    """Decode bytes as an object of the API: one that can be written again, or ValueError."""
    if not data:
        return
    decode, body = DECODERS[data[0] % len(DECODERS)], data[1:]
    error_from_response(500, {}, body)
    try:
        made = decode(body)
    except (ValueError, StreamError):
        return
    again = to_json(made)
    json.loads(again.decode("utf-8", "replace"), strict=False)
    assert to_json(decode(again)) == again
    to_dict(made)
    repr(made)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"stream": take_stream, "object": take_object}
