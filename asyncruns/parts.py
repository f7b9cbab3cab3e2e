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
    from collections.abc import Callable, Iterable

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
"""How deep the JSON of an unknown variant is merged; below, the last value wins whole."""


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


class Parts:
    """A list that deltas build: a map from index to part (rule 2)."""

    __slots__ = ("_by_index", "_kinds")

    def __init__(self, kinds: dict[type, type[Part]]) -> None:
        self._kinds = kinds
        self._by_index: dict[Any, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._by_index)

    def apply(self, pieces: Iterable[Any]) -> None:
        """Fold the deltas of some parts; raises LimitExceededError for an index out of bounds."""
        for position, piece in enumerate(pieces):
            part = self._by_index.get(piece.index)
            if part is None or part.piece is not piece.__class__:
                part = self._opened(piece, position)
            part.apply(piece)

    def seed(self, wholes: Iterable[msgspec.Struct], *, complete: bool) -> None:
        """Take the parts of an object that came whole, unless deltas have made some already."""
        if not self._by_index:
            for index, whole in enumerate(wholes):
                kind = self._kinds[whole.__class__]
                self._by_index[index] = kind.of(whole, complete=complete)

    def build(self) -> list[Any]:
        """The parts as they are now, by rising index."""
        return [self._by_index[index].build() for index in sorted(self._by_index)]

    def _opened(self, piece: Any, position: int) -> Part:
        """The part that a delta belongs to, where its index alone does not tell."""
        index = piece.index
        if index is None:
            index = self._index_of(getattr(piece, "id", None), position)
        if not 0 <= index <= MAX_INDEX:
            raise LimitExceededError(f"the index {index} of a delta is not in 0 to {MAX_INDEX}")
        part = self._by_index.get(index)
        if part is None or part.piece is not piece.__class__:
            part = self._by_index[index] = self._kinds[piece.__class__]()
        return part

    def _index_of(self, part_id: str | None, position: int) -> int:
        if part_id is None:
            return position
        known: dict[str, int] = {part.id: index for index, part in self._by_index.items()}
        return known.get(part_id, max(self._by_index, default=-1) + 1)


class Pieces:
    """A string as the list of its pieces (rule 3); `complete` ones take no more (rule 7)."""

    __slots__ = ("_pieces", "append")

    def __init__(self, text: str = "", *, complete: bool = False) -> None:
        self._pieces = [text] if text else []
        # Bound once: it is the hot path's only call.
        self.append: Callable[[str], Any] = str if text and complete else self._pieces.append

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
            if arguments and (piece.id is None or self._is_new(piece.id, arguments)):
                self.arguments.append(arguments)
            if function.name is not None:
                self.name = function.name
            if function.output is not None:
                self.output = function.output
        if piece.id is not None:
            self.id = piece.id

    def _is_new(self, call_id: str, arguments: str) -> bool:
        """Whether a delta does not just tell the whole call once more (rule 4)."""
        return call_id != self.id or arguments != self.arguments.join()

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
            if code.input and (piece.id is None or self._is_new(piece.id, code.input)):
                self.input.append(code.input)
            if code.outputs:
                self.outputs.apply(code.outputs)
        if piece.id is not None:
            self.id = piece.id

    def _is_new(self, call_id: str, code: str) -> bool:
        """Whether a delta does not just tell the whole call once more (rule 4)."""
        return call_id != self.id or code != self.input.join()

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
        return self.value.get("id")

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
        try:
            value = decode_json(piece.raw)
        except ValueError as exc:
            raise StreamError(f"a {piece.type} delta cannot be read: {exc}") from exc
        same = self.value.get("type") == value.get("type")
        self.value = _merged(self.value if same else {}, value)

    def build(self) -> Any:
        return self._built(self.value)

    def _built(self, value: dict[str, Any]) -> Any:
        plain = {name: value for name, value in value.items() if name != "index"}
        raw = msgspec.json.encode(plain)
        return self.whole(unknown_type=plain.get("type") or "", id=plain.get("id"), raw=raw)


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
        known_id = self.id
        super().apply(piece)
        function = self.value.get("function")
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            arguments = function.pop("arguments")
            if piece.id is None or piece.id != known_id or arguments != self.arguments.join():
                self.arguments.append(arguments)

    def build(self) -> Any:
        arguments = self.arguments.join()
        if not arguments:
            return super().build()
        value = _merged(self.value, {"function": {"arguments": arguments}})
        return self._built(value)


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


def _merged(old: dict[str, Any], new: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The old value with every value of the new one that is not null (rule 3)."""
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict) and depth < MAX_NESTING:
            result[name] = _merged(before, value, depth + 1)
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
