"""The accumulator in any state: it and a slow folder of plain dicts are told the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asyncruns.accumulator import Accumulator
from asyncruns.errors import StreamError
from asyncruns.models import ENDED_MESSAGE, ENDED_RUN, ENDED_STEP, Message, RunStep, to_json
from asyncruns.parts import MAX_INDEX
from tests.core.reference import (
    SlowFolder,
    assert_messages_agree,
    assert_steps_agree,
    call_pieces,
    content_pieces,
    with_one_id_each,
    without_index,
)
from tests.core.shapes import (
    ASSISTANT,
    RUN,
    THREAD,
    JSONObject,
    decode,
    frame,
    function,
    message,
    message_delta,
    run,
    step,
    step_delta,
    text,
)

steps_ids = st.sampled_from(["step_1", "step_2"])
messages_ids = st.sampled_from(["msg_1", "msg_2"])
step_statuses = st.sampled_from(["in_progress", "completed", "failed"])
message_statuses = st.sampled_from(["in_progress", "completed", "incomplete"])
run_statuses = st.sampled_from(["queued", "in_progress", "requires_action", "completed", "failed"])
bad_indexes = st.sampled_from([-1, -(10**20), MAX_INDEX + 1, 10**9])
datas = st.data()


class States(RuleBasedStateMachine):
    """One accumulator folds at once, one as late as it can, and dicts tell what is right."""

    def __init__(self) -> None:
        super().__init__()
        self.eager, self.lazy = Accumulator(), Accumulator()
        self.steps: dict[str, SlowFolder] = {}
        self.messages: dict[str, SlowFolder] = {}
        self.run_status: str | None = None
        self.kept: list[tuple[Any, bytes]] = []
        self.indexed = True

    @initialize(indexed=st.booleans())
    def choose(self, indexed: bool) -> None:
        self.indexed = indexed

    def tell(self, raw: bytes) -> None:
        (event,) = decode(raw)
        self.eager.apply(event)
        self.lazy.apply(event)

    def tell_delta(self, object_id: str, raw: bytes) -> None:
        (event,) = decode(raw)
        self.eager.apply(event)
        self.lazy.defer(object_id.encode(), raw.removesuffix(b"\n\n"))

    @rule(status=run_statuses)
    def take_run(self, status: str) -> None:
        if self.run_status not in ENDED_RUN or status in ENDED_RUN:
            self.run_status = status
        self.tell(frame(f"thread.run.{status}", run(status)))

    @rule(step_id=steps_ids, status=step_statuses, data=datas)
    def take_step(self, step_id: str, status: str, data: st.DataObject) -> None:
        pieces = data.draw(st.lists(call_pieces(indexed=self.indexed), max_size=3))
        wholes = with_one_id_each(without_index(pieces))
        folder = self.steps.setdefault(step_id, SlowFolder("tool_calls", ENDED_STEP))
        folder.take(status, wholes)
        made = self.nameless(step(step_id, status, calls=wholes), data)
        self.tell(frame("thread.run.step.in_progress", made))

    @rule(step_id=steps_ids, data=datas)
    def change_step(self, step_id: str, data: st.DataObject) -> None:
        pieces = data.draw(st.lists(call_pieces(indexed=self.indexed), max_size=3))
        folder = self.steps.setdefault(step_id, SlowFolder("tool_calls", ENDED_STEP))
        folder.status = folder.status or "in_progress"
        folder.change(pieces)
        self.tell_delta(step_id, step_delta(*pieces, step_id=step_id))

    @rule(message_id=messages_ids, status=message_statuses, data=datas)
    def take_message(self, message_id: str, status: str, data: st.DataObject) -> None:
        pieces = data.draw(st.lists(content_pieces(indexed=self.indexed), max_size=3))
        wholes = without_index(pieces)
        folder = self.messages.setdefault(message_id, SlowFolder("content", ENDED_MESSAGE))
        folder.take(status, wholes)
        made = self.nameless(message(message_id, status, *wholes), data)
        self.tell(frame("thread.message.in_progress", made))

    @rule(message_id=messages_ids, data=datas)
    def change_message(self, message_id: str, data: st.DataObject) -> None:
        pieces = data.draw(st.lists(content_pieces(indexed=self.indexed), max_size=3))
        folder = self.messages.setdefault(message_id, SlowFolder("content", ENDED_MESSAGE))
        folder.status = folder.status or "in_progress"
        folder.change(pieces)
        self.tell_delta(message_id, message_delta(*pieces, message_id=message_id))

    def nameless(self, made: JSONObject, data: st.DataObject) -> JSONObject:
        """The object, perhaps without the ids of its parents."""
        if data.draw(st.booleans()):
            return made
        names = ("run_id", "thread_id", "assistant_id")
        return {name: value for name, value in made.items() if name not in names}

    @rule(index=bad_indexes, object_id=st.sampled_from(["step_1", "step_9", "msg_1", "msg_9"]))
    def refuse(self, index: int, object_id: str) -> None:
        """A delta that nothing can take leaves all as it was, and no empty object behind."""
        raw = message_delta(text(index, "x"), message_id=object_id)
        if object_id.startswith("step"):
            raw = step_delta(function(index, "x"), step_id=object_id)
        with pytest.raises(StreamError):
            self.apply_all(raw)

    def apply_all(self, raw: bytes) -> None:
        for event in decode(raw):
            self.eager.apply(event)

    @rule()
    def keep(self) -> None:
        for made in (*self.eager.steps, *self.eager.messages, self.eager.run):
            self.kept.append((made, to_json(made)))

    @rule()
    def compare(self) -> None:
        assert_steps_agree(self.eager, self.steps)
        assert_messages_agree(self.eager, self.messages)

    @rule()
    def compare_what_was_folded_late(self) -> None:
        assert self.lazy.steps == self.eager.steps
        assert self.lazy.messages == self.eager.messages
        assert self.lazy.run == self.eager.run

    @invariant()
    def the_run_is_the_last_that_counts(self) -> None:
        assert (self.eager.run and self.eager.run.status) == self.run_status

    @invariant()
    def what_was_handed_out_never_changes(self) -> None:
        assert all(to_json(made) == before for made, before in self.kept)

    def teardown(self) -> None:
        self.compare()
        self.compare_what_was_folded_late()
        if self.run_status is not None:
            made: list[RunStep | Message] = [*self.eager.steps, *self.eager.messages]
            for one in made:
                assert (one.run_id, one.thread_id, one.assistant_id) == (RUN, THREAD, ASSISTANT)


TestStates = States.TestCase
TestStates.settings = settings(deadline=None, max_examples=50, stateful_step_count=25)
