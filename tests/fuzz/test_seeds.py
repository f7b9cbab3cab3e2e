"""What the fuzzers begin with keeps the promises, and the targets see where one is broken."""

from __future__ import annotations

import pytest

from asyncruns.sse import BlockSplitter
from tests.fuzz.harness import DECODERS, TARGETS, take_stream
from tests.fuzz.seeds import SEEDS, WORDS


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_is_taken(target: str) -> None:
    assert len(SEEDS[target]) > 30
    for seed in SEEDS[target]:
        TARGETS[target](seed)
        for cut in (0, 1, len(seed) // 2, len(seed) - 1):
            TARGETS[target](seed[:cut])


@pytest.mark.parametrize("target", TARGETS)
def test_every_word_is_taken_alone_and_doubled(target: str) -> None:
    for word in WORDS:
        for first in range(len(DECODERS)):
            TARGETS[target](bytes([first]) + word + word)


def test_a_target_sees_a_chunk_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = BlockSplitter.feed
    monkeypatch.setattr(BlockSplitter, "feed", lambda self, chunk: feed(self, chunk[:4000]))
    longest = max(SEEDS["stream"], key=len)
    with pytest.raises(AssertionError):
        take_stream(longest)
