"""Messages of a thread, and the parts of their content."""

from typing import ClassVar, Literal

from msgspec import field

from asyncruns.models._base import Answer, Model, RequestModel, Timestamp, Unknown
from asyncruns.models.run import IncompleteDetails
from asyncruns.models.tools import AssistantTool

__all__ = [
    "ENDED_MESSAGE",
    "Annotation",
    "Attachment",
    "FileCitation",
    "FileCitationAnnotation",
    "FilePath",
    "FilePathAnnotation",
    "ImageFile",
    "ImageFileContentBlock",
    "ImageURL",
    "ImageURLContentBlock",
    "Message",
    "MessageContent",
    "MessageDeleted",
    "RefusalContentBlock",
    "Text",
    "TextContentBlock",
    "UnknownAnnotation",
    "UnknownContentBlock",
]

ENDED_MESSAGE = frozenset({"completed", "incomplete"})
"""The statuses that a message never leaves."""


class ImageFile(RequestModel, kw_only=True):
    """An image, by its file."""

    file_id: str | None = None
    """The id of the image's file."""
    detail: Literal["auto", "low", "high"] | str | None = None
    """How closely the model looks at it; None means `auto`."""


class ImageFileContentBlock(RequestModel, kw_only=True, tag_field="type", tag="image_file"):
    """An image that is a file at the server."""

    image_file: ImageFile = field(default_factory=ImageFile)
    """Where the image is."""
    type: ClassVar[Literal["image_file"]] = "image_file"


class ImageURL(RequestModel, kw_only=True):
    """An image, by its address."""

    url: str | None = None
    """The image's address."""
    detail: Literal["auto", "low", "high"] | str | None = None
    """How closely the model looks at it; None means `auto`."""


class ImageURLContentBlock(RequestModel, kw_only=True, tag_field="type", tag="image_url"):
    """An image that is somewhere on the web."""

    image_url: ImageURL = field(default_factory=ImageURL)
    """Where the image is."""
    type: ClassVar[Literal["image_url"]] = "image_url"


class FileCitation(Model, kw_only=True):
    """The file that a citation names."""

    file_id: str | None = None
    """The file's id."""


class FileCitationAnnotation(Model, kw_only=True, tag_field="type", tag="file_citation"):
    """A place in the text that cites a file."""

    text: str | None = None
    """The text that stands for the citation."""
    file_citation: FileCitation = field(default_factory=FileCitation)
    """Which file."""
    start_index: int | None = None
    """Where the place begins, in characters of the text."""
    end_index: int | None = None
    """Where the place ends, in characters of the text."""
    type: ClassVar[Literal["file_citation"]] = "file_citation"


class FilePath(Model, kw_only=True):
    """The file that a path leads to."""

    file_id: str | None = None
    """The file's id."""


class FilePathAnnotation(Model, kw_only=True, tag_field="type", tag="file_path"):
    """A place in the text that names a file which code has written."""

    text: str | None = None
    """The text that stands for the path."""
    file_path: FilePath = field(default_factory=FilePath)
    """Which file."""
    start_index: int | None = None
    """Where the place begins, in characters of the text."""
    end_index: int | None = None
    """Where the place ends, in characters of the text."""
    type: ClassVar[Literal["file_path"]] = "file_path"


class UnknownAnnotation(Unknown, kw_only=True):
    """An annotation that the reference does not have, such as Azure's `url_citation`."""


Annotation = FileCitationAnnotation | FilePathAnnotation | UnknownAnnotation


class Text(Model, kw_only=True):
    """Text and what its places refer to."""

    value: str = ""
    """The text."""
    annotations: list[Annotation] = []
    """The annotations, in their order."""


class TextContentBlock(Model, kw_only=True, tag_field="type", tag="text"):
    """A part that is text."""

    text: Text = field(default_factory=Text)
    """The text."""
    type: ClassVar[Literal["text"]] = "text"


class RefusalContentBlock(Model, kw_only=True, tag_field="type", tag="refusal"):
    """A part in which the model refuses."""

    refusal: str = ""
    """The refusal in words."""
    type: ClassVar[Literal["refusal"]] = "refusal"


class UnknownContentBlock(Unknown, kw_only=True):
    """A part of a kind that the reference does not have."""


MessageContent = (
    ImageFileContentBlock
    | ImageURLContentBlock
    | TextContentBlock
    | RefusalContentBlock
    | UnknownContentBlock
)


class Attachment(RequestModel, kw_only=True):
    """A file that comes with a message, and the tools that may use it."""

    file_id: str | None = None
    """The file's id."""
    tools: list[AssistantTool] | None = None
    """The tools that it is added to."""


class Message(Answer, Model, kw_only=True):
    """A message of a thread.

    `id`, `object`, `status`, `role` and `thread_id` are never None. Any other field is None where
    it does not apply, and where a server leaves it out.
    """

    id: str
    """The message's id."""
    object: Literal["thread.message"] | str = "thread.message"
    """Always `thread.message`."""
    created_at: Timestamp | None = None
    """When the message was created, Unix seconds; None if its creation was never seen."""
    thread_id: str = ""
    """The thread that the message is part of; empty where neither server nor run says."""
    status: Literal["in_progress", "incomplete", "completed"] | str = "completed"
    """Where the message stands; messages of users have no status on some servers."""
    incomplete_details: IncompleteDetails | None = None
    """Why the message is incomplete; None if it is not."""
    completed_at: Timestamp | None = None
    """When the message was completed, Unix seconds; None if it was not."""
    incomplete_at: Timestamp | None = None
    """When the message was given up, Unix seconds; None if it was not."""
    role: Literal["user", "assistant"] | str = "assistant"
    """Who speaks."""
    content: list[MessageContent] = []
    """The parts of the message, in their order."""
    assistant_id: str | None = None
    """The assistant that wrote the message; None for messages of users."""
    run_id: str | None = None
    """The run that the message came of; None for messages that were added."""
    attachments: list[Attachment] | None = None
    """Files that come with the message; None where there are none."""
    metadata: dict[str, str] | None = None
    """Up to 16 pairs of the caller's own: keys to 64, values to 512 characters."""


class MessageDeleted(Answer, Model, kw_only=True):
    """What the server says of a message that it has deleted."""

    id: str
    """The message's id."""
    deleted: bool | None = None
    """Whether it is gone; None where the server does not say."""
    object: Literal["thread.message.deleted"] | str = "thread.message.deleted"
    """Always `thread.message.deleted`."""
