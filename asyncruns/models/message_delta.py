"""Deltas of messages: the pieces that a stream sends."""

from typing import ClassVar, Literal

from asyncruns.models._base import Model, Unknown
from asyncruns.models.message import FilePath, ImageFile, ImageURL

__all__ = [
    "AnnotationDelta",
    "FileCitationDelta",
    "FileCitationDeltaAnnotation",
    "FilePathDeltaAnnotation",
    "ImageFileDeltaBlock",
    "ImageURLDeltaBlock",
    "MessageContentDelta",
    "MessageDelta",
    "MessageDeltaEvent",
    "RefusalDeltaBlock",
    "TextDelta",
    "TextDeltaBlock",
    "UnknownAnnotationDelta",
    "UnknownContentDelta",
]


class FileCitationDelta(Model, kw_only=True):
    """The file that a citation names."""

    file_id: str | None = None
    """The file's id."""
    quote: str | None = None
    """The words that are cited; finished messages do not have it."""


class FileCitationDeltaAnnotation(Model, kw_only=True, tag_field="type", tag="file_citation"):
    """A place in the text that cites a file."""

    index: int | None = None
    """The annotation's place among the text's annotations."""
    type: ClassVar[Literal["file_citation"]] = "file_citation"
    text: str | None = None
    """The text that stands for the citation."""
    file_citation: FileCitationDelta | None = None
    """Which file."""
    start_index: int | None = None
    """Where the place begins, in characters of the text."""
    end_index: int | None = None
    """Where the place ends, in characters of the text."""


class FilePathDeltaAnnotation(Model, kw_only=True, tag_field="type", tag="file_path"):
    """A place in the text that names a file which code has written."""

    index: int | None = None
    """The annotation's place among the text's annotations."""
    type: ClassVar[Literal["file_path"]] = "file_path"
    text: str | None = None
    """The text that stands for the path."""
    file_path: FilePath | None = None
    """Which file."""
    start_index: int | None = None
    """Where the place begins, in characters of the text."""
    end_index: int | None = None
    """Where the place ends, in characters of the text."""


class UnknownAnnotationDelta(Unknown, kw_only=True):
    """A delta of an annotation that the reference does not have."""


AnnotationDelta = FileCitationDeltaAnnotation | FilePathDeltaAnnotation | UnknownAnnotationDelta


class TextDelta(Model, kw_only=True):
    """A piece of text."""

    annotations: list[AnnotationDelta] | None = None
    """Annotations, each whole, together with the text that they belong to."""
    value: str | None = None
    """The piece."""


class TextDeltaBlock(Model, kw_only=True, tag_field="type", tag="text"):
    """A piece of a part that is text."""

    index: int | None = None
    """The part's place in the message."""
    type: ClassVar[Literal["text"]] = "text"
    text: TextDelta | None = None
    """The piece."""


class RefusalDeltaBlock(Model, kw_only=True, tag_field="type", tag="refusal"):
    """A piece of a refusal."""

    index: int | None = None
    """The part's place in the message."""
    type: ClassVar[Literal["refusal"]] = "refusal"
    refusal: str | None = None
    """The piece."""


class ImageFileDeltaBlock(Model, kw_only=True, tag_field="type", tag="image_file"):
    """A part that is an image at the server."""

    index: int | None = None
    """The part's place in the message."""
    type: ClassVar[Literal["image_file"]] = "image_file"
    image_file: ImageFile | None = None
    """Where the image is."""


class ImageURLDeltaBlock(Model, kw_only=True, tag_field="type", tag="image_url"):
    """A part that is an image somewhere on the web."""

    index: int | None = None
    """The part's place in the message."""
    type: ClassVar[Literal["image_url"]] = "image_url"
    image_url: ImageURL | None = None
    """Where the image is."""


class UnknownContentDelta(Unknown, kw_only=True):
    """A piece of a part that the reference does not have."""


MessageContentDelta = (
    ImageFileDeltaBlock
    | ImageURLDeltaBlock
    | TextDeltaBlock
    | RefusalDeltaBlock
    | UnknownContentDelta
)


class MessageDelta(Model, kw_only=True):
    """What has changed on a message."""

    role: Literal["user", "assistant"] | str | None = None
    """Who speaks; None where it has not changed."""
    content: list[MessageContentDelta] | None = None
    """Pieces of the message's parts, each with the index of its part."""


class MessageDeltaEvent(Model, kw_only=True):
    """A change of a message, as a stream sends it."""

    id: str
    """The id of the message that has changed."""
    delta: MessageDelta
    """What has changed."""
    object: Literal["thread.message.delta"] | str = "thread.message.delta"
    """Always `thread.message.delta`."""
