"""One target under atheris, with libFuzzer's own arguments; `python -m tests.fuzz` starts it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

atheris: Any = import_module("atheris")  # what it says of its types is not what it has

with atheris.instrument_imports(include=["asyncruns"]):
    from tests.fuzz.harness import TARGETS
    from tests.fuzz.seeds import SEEDS, WORDS


def main() -> None:
    """Fuzz until the time is up; never returns."""
    target, corpus = os.environ["FUZZ_TARGET"], Path(sys.argv[1])
    if target not in TARGETS:
        sys.exit(f"there is no target {target!r}: {' and '.join(TARGETS)} are there")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    words = corpus.with_suffix(".words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    atheris.Setup([*sys.argv, f"-dict={words}", "-timeout=20"], TARGETS[target])
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    main()
