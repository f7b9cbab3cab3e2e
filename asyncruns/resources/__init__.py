"""The endpoints, as methods: encode a body, decode an answer, open a stream."""

from asyncruns.resources.assistants import Assistants
from asyncruns.resources.messages import Messages
from asyncruns.resources.runs import Runs
from asyncruns.resources.steps import Steps
from asyncruns.resources.threads import Threads

__all__ = ["Assistants", "Messages", "Runs", "Steps", "Threads"]
