"""One trust for all clients of these tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def one_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the authorities that the machine names: each client would read their file anew."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
