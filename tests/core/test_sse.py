"""Bytes to frames: every case is read in chunks of 1, 2, 3 and 7 bytes and whole."""

from __future__ import annotations

from typing import Any

import pytest

from asyncruns.errors import LimitExceededError
from asyncruns.sse import MAX_FRAME, BlockSplitter, Frame, FrameDecoder, parse_block

WHOLE = 1 << 20
SIZES = [1, 2, 3, 7, WHOLE]


def chunks_of(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def frames_of(body: bytes, size: int, **settings: Any) -> tuple[list[Frame], Frame | None]:
    """The frames of a body read in chunks, and the one that its end has cut off."""
    decoder = FrameDecoder(**settings)
    frames = [frame for chunk in chunks_of(body, size) for frame in decoder.feed(chunk)]
    return frames, decoder.close()


def data(*texts: str) -> list[Frame]:
    return [Frame(None, text.encode()) for text in texts]


CASES: dict[str, tuple[bytes, list[Frame]]] = {
    "nothing": (b"", []),
    "LF": (b"event: a\ndata: 1\n\n", [Frame("a", b"1")]),
    "CR": (b"event: a\rdata: 1\r\r", [Frame("a", b"1")]),
    "CRLF": (b"event: a\r\ndata: 1\r\n\r\n", [Frame("a", b"1")]),
    "two frames": (b"data: 1\n\ndata: 2\n\n", data("1", "2")),
    "two frames, CR": (b"data: 1\r\rdata: 2\r\r", data("1", "2")),
    "two frames, CRLF": (b"data: 1\r\n\r\ndata: 2\r\n\r\n", data("1", "2")),
    "mixed line ends": (
        b"event: a\rdata: 1\r\n\ndata: 2\n\r\ndata: 3\n\rdata: 4\r\r\ndata: 5\r\n\r",
        [Frame("a", b"1"), *data("2", "3", "4", "5")],
    ),
    "a separator of LF, then CRLF in the frame": (
        b"data: 1\n\nevent: b\r\ndata: 2\r\n\r\n",
        [Frame(None, b"1"), Frame("b", b"2")],
    ),
    "blank lines first": (b"\n\n\ndata: 1\n\n", data("1")),
    "several blank lines": (b"data: 1\n\n\n\n\ndata: 2\n\n\ndata: 3\n\n", data("1", "2", "3")),
    "several blank lines, CRLF": (b"data: 1\r\n\r\n\r\ndata: 2\r\n\r\n", data("1", "2")),
    "BOM": (b"\xef\xbb\xbfdata: 1\n\n", data("1")),
    "BOM, then a blank line": (b"\xef\xbb\xbf\n\ndata: 1\n\n", data("1")),
    "BOM in the middle is text": (
        b"data: 1\n\n\xef\xbb\xbfdata: 2\n\ndata: \xef\xbb\xbf3\n\n",
        data("1", "\ufeff3"),
    ),
    "only one BOM is dropped": (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\ndata: 2\n\n", data("2")),
    "comment": (b": ping\n\ndata: 1\n\n", data("1")),
    "comment within a frame": (b"event: a\n: ping\ndata: 1\n:\n\n", [Frame("a", b"1")]),
    "id": (b"id: 7\ndata: 1\n\n", [Frame(None, b"1", "7")]),
    "id, empty": (b"id\ndata: 1\n\n", [Frame(None, b"1", "")]),
    "id with NUL is ignored": (b"id: a\0b\ndata: 1\n\n", data("1")),
    "id, the last one wins": (b"id: 7\nid: 8\ndata: 1\n\n", [Frame(None, b"1", "8")]),
    "retry": (b"retry: 1500\ndata: 1\n\n", [Frame(None, b"1", None, 1500)]),
    "retry that is no number": (b"retry: soon\ndata: 1\n\n", data("1")),
    "retry with a sign": (b"retry: -5\ndata: 1\n\n", data("1")),
    "retry in other digits": ("retry: \u0663\ndata: 1\n\n".encode(), data("1")),
    "retry of 10,000 digits": (b"retry: " + b"9" * 10_000 + b"\ndata: 1\n\n", data("1")),
    "event, the last one wins": (b"event: a\nevent: b\ndata: 1\n\n", [Frame("b", b"1")]),
    "event, empty": (b"event:\ndata: 1\n\n", [Frame("", b"1")]),
    "event, invalid UTF-8": (b"event: a\xff\ndata: 1\n\n", [Frame("a\ufffd", b"1")]),
    "event after data": (b"data: 1\nevent: a\n\n", [Frame("a", b"1")]),
    "event without data": (b"event: a\n\ndata: 1\n\n", data("1")),
    "id without data": (b"id: 7\n\ndata: 1\n\n", data("1")),
    "several data lines": (b"data: 1\ndata: 2\ndata\ndata: 3\n\n", data("1\n2\n\n3")),
    "data without a space": (b"event:a\ndata:1\n\n", [Frame("a", b"1")]),
    "data with two spaces": (b"data:  1\n\n", data(" 1")),
    "data with a tab": (b"data:\t1\n\n", data("\t1")),
    "data with colons": (b"data: a:b: c\n\n", data("a:b: c")),
    "data, empty": (b"data:\n\ndata: \n\ndata\n\n", data("", "", "")),
    "fields without a colon": (b"data\nevent\nretry\nnoise\n\n", [Frame("", b"")]),
    "unknown fields": (b"Data: 1\n data: 2\ndata : 3\nx: 4\ndata: 5\n\n", data("5")),
    "no line ends but LF and CR": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        data("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),
    ),
    "NUL in data": (b"data: a\0b\n\n", data("a\0b")),
    "invalid UTF-8 in data stays as it is": (b"data: \xff\xfe\n\n", [Frame(None, b"\xff\xfe")]),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_a_stream_gives_its_frames_however_it_is_cut(case: str, size: int) -> None:
    body, frames = CASES[case]
    assert frames_of(body, size) == (frames, None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_the_bytes_after_the_last_blank_line_wait_for_more(case: str, size: int) -> None:
    body, frames = CASES[case]
    cut_off = Frame("cut", b"off")
    assert frames_of(body + b"event: cut\ndata: off", size) == (frames, cut_off)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("ending", "cut_off"),
    [
        (b"", None),
        (b"data: 1", Frame(None, b"1")),
        (b"data: 1\n", Frame(None, b"1")),
        (b"data: 1\r", Frame(None, b"1")),
        (b"data: 1\r\n", Frame(None, b"1")),
        (b"event: a\ndata: 1\nda", Frame("a", b"1")),
        (b"event: a\n", None),
        (b"\n", None),
        (b": ping", None),
    ],
)
def test_the_end_gives_the_frame_without_its_blank_line(
    ending: bytes, cut_off: Frame | None, size: int
) -> None:
    assert frames_of(b"data: 0\n\n" + ending, size) == (data("0"), cut_off)


@pytest.mark.parametrize("size", SIZES)
def test_a_bom_before_a_frame_that_is_cut_off_is_dropped(size: int) -> None:
    assert frames_of(b"\xef\xbb\xbfdata: 1", size) == ([], Frame(None, b"1"))


def test_a_second_close_gives_nothing() -> None:
    decoder = FrameDecoder()
    decoder.feed(b"data: 1")
    assert decoder.close() == Frame(None, b"1")
    assert decoder.close() is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
class TestWHATWGExamples:
    """The example streams of 9.2.6 in the WHATWG's specification."""

    def test_three_data_lines_make_one_stock_quote(self, size: int, line_end: bytes) -> None:
        lines = [b"data: YHOO", b"data: +2", b"data: 10", b"", b""]
        assert frames_of(line_end.join(lines), size) == (data("YHOO\n+2\n10"), None)

    def test_a_comment_an_id_an_empty_id_and_a_leading_space(
        self, size: int, line_end: bytes
    ) -> None:
        lines = [
            *(b": test stream", b""),
            *(b"data: first event", b"id: 1", b""),
            *(b"data:second event", b"id", b""),
            *(b"data:  third event", b"", b""),
        ]
        first = Frame(None, b"first event", "1")
        second = Frame(None, b"second event", "")
        assert frames_of(line_end.join(lines), size)[0] == [first, second, *data(" third event")]

    def test_data_without_a_value_gives_empty_lines(self, size: int, line_end: bytes) -> None:
        lines = [b"data", b"", b"data", b"data", b"", b"data:"]
        frames, cut_off = frames_of(line_end.join(lines), size)
        assert frames == data("", "\n")
        assert cut_off == Frame(None, b"")  # the specification drops it; ours is to be judged

    def test_the_space_after_the_colon_is_no_part_of_the_data(
        self, size: int, line_end: bytes
    ) -> None:
        lines = [b"data:test", b"", b"data: test", b"", b""]
        assert frames_of(line_end.join(lines), size) == (data("test", "test"), None)


@pytest.mark.parametrize("size", [*SIZES, 4096])
def test_a_frame_may_be_larger_than_a_read(size: int) -> None:
    long = b"x" * 20_000
    body = b"data: " + long + b"\n\ndata: 2\n\n"
    assert frames_of(body, size) == ([Frame(None, long), Frame(None, b"2")], None)


class Watched(bytes):
    """Bytes that count how many of them have been searched for separators."""

    searched = 0

    def split(self, sep: Any = None, maxsplit: Any = -1) -> list[bytes]:
        Watched.searched += len(self)
        return super().split(sep, maxsplit)


def test_no_byte_of_a_large_frame_is_searched_twice_and_the_pieces_are_joined_once() -> None:
    Watched.searched = 0
    splitter = BlockSplitter()
    chunks = [b"data: ", *[b"y" * 100] * 1000]
    for chunk in chunks:
        assert splitter.feed(Watched(chunk)) == []
    assert splitter._pieces == chunks
    assert Watched.searched == sum(map(len, chunks))
    assert splitter.feed(b"\n\n") == [b"".join(chunks)]
    assert splitter._pieces == []


LIMIT = 12
FITS = b"data: abcdef"
assert len(FITS) == LIMIT


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [b"", b"data: 1\n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_a_frame_of_exactly_the_limit_passes(size: int, before: bytes, end: bytes) -> None:
    frames, _ = frames_of(before + FITS + end, size, limit=LIMIT)
    assert frames[-1] == Frame(None, b"abcdef")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [b"", b"data: 1\n\n", b"\xef\xbb\xbf"])
def test_a_frame_of_one_byte_more_than_the_limit_fails(size: int, before: bytes) -> None:
    with pytest.raises(LimitExceededError, match="passes the limit of 12 bytes"):
        frames_of(before + FITS + b"g\n\n", size, limit=LIMIT)


@pytest.mark.parametrize("size", SIZES)
def test_a_second_frame_over_the_limit_fails_behind_one_that_fits(size: int) -> None:
    with pytest.raises(LimitExceededError, match="a frame of 13 bytes or more"):
        frames_of(FITS + b"\n\n" + FITS + b"g\n\n", size, limit=LIMIT)


@pytest.mark.parametrize("size", SIZES)
def test_many_frames_that_fit_may_pass_the_limit_together(size: int) -> None:
    frames, _ = frames_of((FITS + b"\n\n") * 9, size, limit=LIMIT)
    assert len(frames) == 9


def test_a_frame_that_never_ends_fails_as_soon_as_it_passes_the_limit() -> None:
    decoder = FrameDecoder(limit=LIMIT)
    decoder.feed(FITS)
    with pytest.raises(LimitExceededError):
        decoder.feed(b"g")


def test_the_default_limit_is_sixteen_mebibytes() -> None:
    assert BlockSplitter().limit == MAX_FRAME == 16 * 1024 * 1024
    fits = b"data: " + b"x" * (MAX_FRAME - 6)
    assert BlockSplitter().feed(fits + b"\n\n") == [fits]
    with pytest.raises(LimitExceededError, match="the limit of 16,777,216 bytes"):
        BlockSplitter().feed(fits + b"x")


def test_empty_chunks_change_nothing() -> None:
    decoder = FrameDecoder()
    chunks = [b"", b"data: 1\r", b"", b"\n\r", b"", b"\ndata: 2\r\n\r\n", b""]
    assert [frame for chunk in chunks for frame in decoder.feed(chunk)] == data("1", "2")


def test_blocks_have_lf_for_every_line_end() -> None:
    assert BlockSplitter().feed(b"a: 1\rb: 2\r\nc: 3\n\n") == [b"a: 1\nb: 2\nc: 3"]


def test_a_block_without_data_asks_for_nothing() -> None:
    assert parse_block(b"event: a\nid: 7\nretry: 1") is None
