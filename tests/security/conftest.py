"""The spans of the tests of tracing, here too."""

from tests.tracing.conftest import no_content, spans

__all__ = ["no_content", "spans"]
