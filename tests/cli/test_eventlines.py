"""Events as lines of JSON: what the server sent, on one line, and harmless on a terminal."""

from __future__ import annotations

import json

import pytest

from asyncruns import EventDecoder, Run, events_for
from asyncruns.cli.eventlines import line_of


def lines_of(body: bytes, *, for_terminal: bool = False) -> list[str]:
    decoder = EventDecoder()
    return [line_of(event, for_terminal=for_terminal) for event in decoder.feed(body)]


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (
            b'event: thread.run.queued\ndata: {"id":"r",  "status":"queued","n":1.50}\n\n',
            '{"event":"thread.run.queued","data":{"id":"r",  "status":"queued","n":1.50}}',
        ),
        (b'event: news\ndata: {"a":\ndata: 1}\n\n', '{"event":"news","data":{"a": 1}}'),
        (b'data: {"event":"news","data":[1]}\n\n', '{"event":"news","data":[1]}'),
        (b'event: news\ndata: some "text"\n\n', '{"event":"news","data":"some \\"text\\""}'),
        (b"event: news\ndata: a\ndata: b\n\n", '{"event":"news","data":"a\\nb"}'),
        (b'event: a"b\ndata: \xff\n\n', '{"event":"a\\"b","data":"\ufffd"}'),
        (b"event: done\ndata: [DONE]\n\n", '{"event":"done","data":"[DONE]"}'),
    ],
)
def test_the_data_are_as_they_came(frame: bytes, line: str) -> None:
    assert lines_of(frame) == [line]


def test_what_the_library_put_together_is_marked() -> None:
    (created, *_) = events_for(Run(id="r", status="queued"))
    assert json.loads(line_of(created))["recovered"] is True


def test_for_a_terminal_what_it_would_obey_is_escaped_and_says_the_same() -> None:
    frame = b'event: n\xc2\x9bews\ndata: {"a":"\xc2\x9b2J\xe2\x80\xae\x7f\xc3\xa9"}\n\n'
    (plain,), (safe,) = lines_of(frame), lines_of(frame, for_terminal=True)
    assert safe == '{"event":"n\\u009bews","data":{"a":"\\u009b2J\\u202e\\u007fé"}}'
    assert json.loads(plain) == json.loads(safe)
