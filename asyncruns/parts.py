"""Deltas to parts: what a step or a message consists of, folded piece by piece.

One small class for each kind of part, found by the struct of its delta. The numbers of rules are
those of `accumulator`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import msgspec

from asyncruns.errors import LimitExceededError, StreamError
from asyncruns.models import (
    CodeInterpreter,
    CodeInterpreterLogs,
    CodeInterpreterOutputImage,
    CodeInterpreterToolCall,
    CodeInterpreterToolCallDelta,
    CodeOutputImage,
    CodeOutputLogs,
    FileCitationAnnotation,
    FileCitationDeltaAnnotation,
    FilePathAnnotation,
    FilePathDeltaAnnotation,
    FileSearchToolCall,
    FileSearchToolCallDelta,
    Function,
    FunctionToolCall,
    FunctionToolCallDelta,
    ImageFileContentBlock,
    ImageFileDeltaBlock,
    ImageURLContentBlock,
    ImageURLDeltaBlock,
    MessageCreationStepDetails,
    RefusalContentBlock,
    RefusalDeltaBlock,
    RunStepDeltaMessageDelta,
    Text,
    TextContentBlock,
    TextDeltaBlock,
    Unknown,
    UnknownAnnotation,
    UnknownAnnotationDelta,
    UnknownCodeOutput,
    UnknownCodeOutputDelta,
    UnknownContentBlock,
    UnknownContentDelta,
    UnknownStepDetails,
    UnknownStepDetailsDelta,
    UnknownToolCall,
    UnknownToolCallDelta,
    decode_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "CALLS",
    "CONTENT",
    "MAX_INDEX",
    "MAX_NESTING",
    "MessageCreationPart",
    "Part",
    "Parts",
    "UnknownDetailsPart",
]

MAX_INDEX: Final = 65_535
"""The highest index that a delta may name."""

MAX_NESTING: Final = 64
"""How deep the JSON of an unknown variant may be nested."""


class Part(ABC):
    """A part of an object, as its deltas have made it so far."""

    __slots__ = ()

    piece: ClassVar[Any]
    """The struct of the part's deltas."""
    whole: ClassVar[Any]
    """The struct of the part in a snapshot."""

    @classmethod
    @abstractmethod
    def of(cls, whole: Any, *, complete: bool = False) -> Self:
        """Go on from a part that came whole; its strings are `complete` if its object had ended."""

    @abstractmethod
    def apply(self, piece: Any) -> None:
        """Fold one delta."""

    @abstractmethod
    def build(self) -> Any:
        """The part as it is now."""

    def said(self) -> str:
        """The text that the part is; empty for parts that are none."""
        return ""


class Parts:
    """A list that deltas build: a map from index to part (rule 2)."""

    __slots__ = ("_end", "_index_of_id", "_kinds", "by_index")

    def __init__(self, kinds: dict[type, type[Part]]) -> None:
        self._kinds = kinds
        self._end = 0
        self._index_of_id: dict[str, int] = {}
        self.by_index: dict[Any, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.by_index)

    def apply(self, pieces: Sequence[Any]) -> None:
        """Fold the deltas of some parts; raises LimitExceededError for an index out of bounds."""
        find = self.by_index.get
        for place, piece in enumerate(pieces):
            part = find(piece.index)
            if part is not None and part.piece is type(piece):
                part.apply(piece)
            else:
                self._apply_at(self._index_of(piece, place), piece)

    def seed(self, wholes: Iterable[msgspec.Struct], *, complete: bool) -> None:
        """Take the parts of an object that came whole, unless deltas have made some already."""
        if not self.by_index:
            parts = [self._kinds[type(whole)].of(whole, complete=complete) for whole in wholes]
            for index, part in enumerate(parts):
                self._put(index, part)

    def __iter__(self) -> Iterator[Any]:
        """The parts by rising index."""
        return map(self.by_index.__getitem__, sorted(self.by_index))

    def build(self) -> list[Any]:
        """The parts as they are now, by rising index."""
        return [part.build() for part in self]

    def located(self, pieces: Sequence[Any]) -> Iterator[tuple[Any, int, Part]]:
        """For deltas that have been folded: each, its index, and the part that it went to."""
        for place, piece in enumerate(pieces):
            index = self._index_of(piece, place)
            part = self.by_index.get(index)
            # A later piece of the same delta may have put another part in the place of this one.
            if part is not None and part.piece is type(piece):
                yield piece, index, part

    def _apply_at(self, index: int, piece: Any) -> None:
        """Fold a delta into the part of an index, which may be there or not."""
        if not 0 <= index <= MAX_INDEX:
            raise LimitExceededError(f"the index {index} of a delta is not in 0 to {MAX_INDEX}")
        part = self.by_index.get(index)
        if part is None or part.piece is not type(piece):
            part = self._kinds[type(piece)]()
        part.apply(piece)
        # Only now: a piece that cannot be read leaves no empty part behind.
        self._put(index, part)

    def _index_of(self, piece: Any, place: int) -> int:
        """The index of the part that a delta belongs to (rule 2)."""
        if piece.index is not None:
            return int(piece.index)
        part_id = getattr(piece, "id", None)
        if part_id is None:
            return place
        index = self._index_of_id.get(part_id, self._end)
        part = self.by_index.get(index)
        return index if part is None or getattr(part, "id", None) == part_id else self._end

    def _put(self, index: int, part: Part) -> None:
        self.by_index[index] = part
        self._end = max(self._end, index + 1)
        part_id = getattr(part, "id", None)
        if part_id:  # texts and logs have none
            self._index_of_id[part_id] = index


class Pieces:
    """A string as the list of its pieces (rule 3); `complete` ones take no more (rule 7)."""

    __slots__ = ("_pieces", "append", "complete")

    def __init__(self, text: str = "", *, complete: bool = False) -> None:
        self._pieces = [text] if text else []
        self.complete = complete and bool(text)
        # Bound once: it is the hot path's only call.
        self.append: Callable[[str], Any] = str if self.complete else self._pieces.append

    def is_all(self, text: str) -> bool:
        """Whether the text is all that has come (rule 4); costs no more than reading the text."""
        position = 0
        for piece in self._pieces:
            if not text.startswith(piece, position):
                return False
            position += len(piece)
        return position == len(text)

    def join(self) -> str:
        pieces = self._pieces
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""


class _FunctionCall(Part):
    __slots__ = ("arguments", "id", "name", "output")

    piece = FunctionToolCallDelta
    whole = FunctionToolCall

    def __init__(self) -> None:
        self.id = ""
        self.name: str | None = None
        self.output: str | None = None
        self.arguments = Pieces()

    @classmethod
    def of(cls, whole: FunctionToolCall, *, complete: bool = False) -> Self:
        part = cls()
        part.id, function = whole.id, whole.function
        part.name, part.output = function.name, function.output
        part.arguments = Pieces(function.arguments, complete=complete)
        return part

    def apply(self, piece: FunctionToolCallDelta) -> None:
        function = piece.function
        if function is not None:
            arguments = function.arguments
            if arguments and (piece.id is None or not self._repeats(piece.id, arguments)):
                self.arguments.append(arguments)
            if function.name is not None:
                self.name = function.name
            if function.output is not None:
                self.output = function.output
        if piece.id is not None:
            self.id = piece.id

    def _repeats(self, call_id: str, arguments: str) -> bool:
        """Whether a delta tells the whole call once more (rule 4)."""
        return call_id == self.id and self.arguments.is_all(arguments)

    def build(self) -> FunctionToolCall:
        function = Function(arguments=self.arguments.join(), name=self.name, output=self.output)
        return FunctionToolCall(id=self.id, function=function)


class _CodeCall(Part):
    __slots__ = ("id", "input", "outputs")

    piece = CodeInterpreterToolCallDelta
    whole = CodeInterpreterToolCall

    def __init__(self) -> None:
        self.id = ""
        self.input = Pieces()
        self.outputs = Parts(_OUTPUTS)

    @classmethod
    def of(cls, whole: CodeInterpreterToolCall, *, complete: bool = False) -> Self:
        part = cls()
        part.id, code = whole.id, whole.code_interpreter
        part.input = Pieces(code.input, complete=complete)
        part.outputs.seed(code.outputs, complete=complete)
        return part

    def apply(self, piece: CodeInterpreterToolCallDelta) -> None:
        code = piece.code_interpreter
        if code is not None:
            if code.input:
                if piece.id is None or not self._repeats(piece.id, code.input):
                    self.input.append(code.input)
                elif code.outputs and not self.input.complete:
                    self.outputs = Parts(_OUTPUTS)
            if code.outputs:
                self.outputs.apply(code.outputs)
        if piece.id is not None:
            self.id = piece.id

    def _repeats(self, call_id: str, code: str) -> bool:
        """Whether a delta tells the whole call once more (rule 4)."""
        return call_id == self.id and self.input.is_all(code)

    def build(self) -> CodeInterpreterToolCall:
        code = CodeInterpreter(input=self.input.join(), outputs=self.outputs.build())
        return CodeInterpreterToolCall(id=self.id, code_interpreter=code)


class _Logs(Part):
    __slots__ = ("logs",)

    piece = CodeInterpreterLogs
    whole = CodeOutputLogs

    def __init__(self) -> None:
        self.logs = Pieces()

    @classmethod
    def of(cls, whole: CodeOutputLogs, *, complete: bool = False) -> Self:
        part = cls()
        part.logs = Pieces(whole.logs, complete=complete)
        return part

    def apply(self, piece: CodeInterpreterLogs) -> None:
        if piece.logs:
            self.logs.append(piece.logs)

    def build(self) -> CodeOutputLogs:
        return CodeOutputLogs(logs=self.logs.join())


class _Text(Part):
    __slots__ = ("annotations", "value")

    piece = TextDeltaBlock
    whole = TextContentBlock

    def __init__(self) -> None:
        self.value = Pieces()
        self.annotations = Parts(_ANNOTATIONS)

    @classmethod
    def of(cls, whole: TextContentBlock, *, complete: bool = False) -> Self:
        part = cls()
        part.value = Pieces(whole.text.value, complete=complete)
        part.annotations.seed(whole.text.annotations, complete=complete)
        return part

    def apply(self, piece: TextDeltaBlock) -> None:
        text = piece.text
        if text is not None:
            if text.value:
                self.value.append(text.value)
            if text.annotations:
                self.annotations.apply(text.annotations)

    def said(self) -> str:
        return self.value.join()

    def build(self) -> TextContentBlock:
        text = Text(value=self.value.join(), annotations=self.annotations.build())
        return TextContentBlock(text=text)


class _Refusal(Part):
    __slots__ = ("refusal",)

    piece = RefusalDeltaBlock
    whole = RefusalContentBlock

    def __init__(self) -> None:
        self.refusal = Pieces()

    @classmethod
    def of(cls, whole: RefusalContentBlock, *, complete: bool = False) -> Self:
        part = cls()
        part.refusal = Pieces(whole.refusal, complete=complete)
        return part

    def apply(self, piece: RefusalDeltaBlock) -> None:
        if piece.refusal:
            self.refusal.append(piece.refusal)

    def build(self) -> RefusalContentBlock:
        return RefusalContentBlock(refusal=self.refusal.join())


class _Merged(Part):
    """A part without concatenated strings: what came, merged as plain JSON types.

    Such parts are rare and small, so that going through plain types costs nothing that counts.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}

    @classmethod
    def of(cls, whole: Any, *, complete: bool = False) -> Self:  # noqa: ARG003 -- no strings to complete
        part = cls()
        part.apply(whole)
        return part

    @property
    def id(self) -> str | None:
        return _text_or_none(self.value.get("id"))

    def apply(self, piece: Any) -> None:
        self.value = _merged(self.value, msgspec.to_builtins(piece))

    def build(self) -> Any:
        return msgspec.convert(self.value, self.whole)


class _SearchCall(_Merged):
    __slots__ = ()
    piece = FileSearchToolCallDelta
    whole = FileSearchToolCall


class MessageCreationPart(_Merged):
    """The details of a step that writes a message."""

    __slots__ = ()
    piece = RunStepDeltaMessageDelta
    whole = MessageCreationStepDetails


class _Image(_Merged):
    __slots__ = ()
    piece = CodeInterpreterOutputImage
    whole = CodeOutputImage


class _ImageFile(_Merged):
    __slots__ = ()
    piece = ImageFileDeltaBlock
    whole = ImageFileContentBlock


class _ImageURL(_Merged):
    __slots__ = ()
    piece = ImageURLDeltaBlock
    whole = ImageURLContentBlock


class _FileCitation(_Merged):
    __slots__ = ()
    piece = FileCitationDeltaAnnotation
    whole = FileCitationAnnotation


class _FilePath(_Merged):
    __slots__ = ()
    piece = FilePathDeltaAnnotation
    whole = FilePathAnnotation


class _UnknownPart(_Merged):
    """A variant that has no struct: its JSON, merged."""

    __slots__ = ()

    def apply(self, piece: Unknown) -> None:
        value = _object_of(piece)
        if self.value and value.get("type") in (None, self.value.get("type")):
            self.value = _merged(self.value, value)
        else:
            self._start(value)

    def _start(self, value: dict[str, Any]) -> None:
        self.value = value

    def build(self) -> Any:
        return self._built(self.value)

    def _built(self, value: dict[str, Any]) -> Any:
        plain = {name: item for name, item in value.items() if name != "index"}
        kind = _text_or_none(plain.get("type")) or ""
        return self.whole(unknown_type=kind, id=self.id, raw=msgspec.json.encode(plain))


class _UnknownCall(_UnknownPart):
    """An unknown call may still have a function whose arguments come in pieces."""

    __slots__ = ("arguments",)
    piece = UnknownToolCallDelta
    whole = UnknownToolCall

    def __init__(self) -> None:
        super().__init__()
        self.arguments = Pieces()

    @classmethod
    def of(cls, whole: UnknownToolCall, *, complete: bool = False) -> Self:
        part = cls()
        part.apply(whole)
        part.arguments = Pieces(part.arguments.join(), complete=complete)
        return part

    def apply(self, piece: Unknown) -> None:
        told_before = piece.id is not None and piece.id == self.id
        super().apply(piece)
        function = self.value.get("function")
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            arguments, function["arguments"] = function["arguments"], ""
            if arguments and not (told_before and self.arguments.is_all(arguments)):
                self.arguments.append(arguments)

    def _start(self, value: dict[str, Any]) -> None:
        super()._start(value)
        self.arguments = Pieces()

    def build(self) -> Any:
        arguments = self.arguments.join()
        pieced = {"function": {"arguments": arguments}} if arguments else {}
        return self._built(_merged(self.value, pieced))


class _UnknownOutput(_UnknownPart):
    __slots__ = ()
    piece = UnknownCodeOutputDelta
    whole = UnknownCodeOutput


class _UnknownContent(_UnknownPart):
    __slots__ = ()
    piece = UnknownContentDelta
    whole = UnknownContentBlock


class _UnknownNote(_UnknownPart):
    __slots__ = ()
    piece = UnknownAnnotationDelta
    whole = UnknownAnnotation


class UnknownDetailsPart(_UnknownPart):
    """The details of a step of an unknown kind."""

    __slots__ = ()
    piece = UnknownStepDetailsDelta
    whole = UnknownStepDetails


def _object_of(piece: Unknown) -> dict[str, Any]:
    try:
        value = decode_json(piece.raw)
    except ValueError as exc:
        raise StreamError(f"a {piece.type} delta cannot be read: {exc}") from exc
    if not isinstance(value, dict):
        raise StreamError(f"a {piece.type} delta is no object")
    _check_nesting(value, MAX_NESTING)
    return value


def _check_nesting(value: Any, room: int) -> None:
    if not room:
        raise LimitExceededError(f"a delta is nested deeper than {MAX_NESTING} levels")
    inner = value.values() if isinstance(value, dict) else value
    for item in inner:
        if isinstance(item, dict | list):
            _check_nesting(item, room - 1)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The old value with every value of the new one that is not null (rule 3)."""
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            result[name] = _merged(before, value)
        elif value is not None and not (value == [] and before):
            result[name] = value
    return result


def _table(*parts: type[Part]) -> dict[type, type[Part]]:
    """The part for each struct, be it a delta's or a whole object's."""
    return {struct: part for part in parts for struct in (part.piece, part.whole)}


_OUTPUTS: Final = _table(_Logs, _Image, _UnknownOutput)
_ANNOTATIONS: Final = _table(_FileCitation, _FilePath, _UnknownNote)
CALLS: Final = _table(_FunctionCall, _CodeCall, _SearchCall, _UnknownCall)
"""The parts of a step that calls tools."""
CONTENT: Final = _table(_Text, _Refusal, _ImageFile, _ImageURL, _UnknownContent)
"""The parts of a message."""
