"""Objects as tables: what is shown of known ones, of unknown ones, and of odd values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from asyncruns.cli.table import print_fields, print_rows

if TYPE_CHECKING:
    import pytest


def rows(capsys: pytest.CaptureFixture[str], *items: dict[str, Any]) -> list[str]:
    print_rows(items)
    return capsys.readouterr().out.splitlines()


def test_a_run_is_shown_by_what_people_look_for(capsys: pytest.CaptureFixture[str]) -> None:
    run = {
        "id": "run_1",
        "object": "thread.run",
        "status": "completed",
        "created_at": 0,
        "usage": {"total_tokens": 12},
        "instructions": "not shown",
    }
    assert rows(capsys, run) == [
        "id     status     created_at            assistant_id  model  total_tokens",
        "run_1  completed  1970-01-01 00:00:00Z  -             -      12",
    ]


def test_a_message_is_shown_by_its_text_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    content = [
        {"type": "text", "text": {"value": "Two\nlines,\x1b[2J"}},
        {"type": "image_file", "image_file": {"file_id": "f"}},
        {"type": "refusal", "refusal": "No."},
    ]
    message = {"id": "msg_1", "object": "thread.message", "role": "user", "content": content}
    _, row = rows(capsys, message)
    assert row.endswith("Two lines,\N{REPLACEMENT CHARACTER}[2J [image_file] No.")


def test_objects_that_nobody_knows_show_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert rows(capsys, {"a": 1, "b": [True]}, {"c": "x"}) == [
        "a  b       c",
        "1  [true]  -",
        "-  -       x",
    ]


def test_a_narrow_terminal_cuts_the_widest_columns_and_no_id(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "44"}.items():
        monkeypatch.setenv(name, value)
    items = [{"id": "msg_" + "x" * 16, "role": "assistant", "text": "世" * 50}]
    title, row = rows(capsys, *items)
    assert re.sub(r"\x1b\[\d*m", "", title).split() == ["id", "role", "text"]
    assert row == "msg_xxxxxxxxxxxxxxxx  assistant  世世世世世…"


def test_a_file_gets_every_text_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a b " * 10_000 + "c"
    assert rows(capsys, {"id": "x", "text": text})[1] == f"x   {text}"
    print_fields({"text": text})
    assert capsys.readouterr().out == f"text  {text}\n"


def test_an_empty_list_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert rows(capsys) == []


def test_one_object_shows_its_fields_but_for_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"id": "x", "gone_at": None, "made_at": 1e300, "kept": {"a": None}})
    assert capsys.readouterr().out.splitlines() == [
        "id       x",
        "made_at  1e+300",
        'kept     {"a": null}',
    ]
