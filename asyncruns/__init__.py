"""An asyncio client for the Runs protocol."""

__version__ = "0.1.0"
