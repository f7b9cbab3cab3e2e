"""Flags to parameters: what a command line becomes before it is sent."""

from __future__ import annotations

import inspect
import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncruns import Client
from asyncruns.cli import commands, parameters
from asyncruns.cli.connection import Connection
from asyncruns.cli.request import RequestCommand

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESOURCES = {
    "runs": commands.runs,
    "runs.steps": commands.steps,
    "threads": commands.threads,
    "messages": commands.messages,
    "assistants": commands.assistants,
}
"""The client's resources, and the group of commands for each."""

NO_FLAGS = {
    "extra_body": "members that no flag knows come with --body",
    "extra_headers": "--organization and --project are the headers of the reference",
    "extra_query": "the reference's queries have flags",
    "stream": "a command of its own streams",
    "timeout": "a flag of the connection",
}
"""What methods take and no endpoint's flag sets, each with the reason."""

RUN = ("--thread-id", "thread_1", "--assistant-id", "asst_1")


def read(*words: str, flags: Any = parameters.RUN_CREATE, takes_body: bool = False) -> Any:
    """Give the parameters that a command line makes."""

    def keep(params: Mapping[str, Any], connection: Connection) -> Mapping[str, Any]:
        assert isinstance(connection, Connection)
        return params

    command = RequestCommand("create", flags=flags, takes_body=takes_body, callback=keep)
    return command.main([*words], standalone_mode=False)


def created(*words: str) -> dict[str, Any]:
    """Give the parameters of a run beside those that it must have."""
    params: dict[str, Any] = read(*RUN, *words)
    assert (params.pop("thread_id"), params.pop("assistant_id")) == ("thread_1", "asst_1")
    return params


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_parameter_has_its_flag_and_every_flag_its_parameter(resource: str) -> None:
    methods = attrgetter(resource)(Client(api_key=""))
    for name in vars(methods.with_raw_response):  # each method that sends one request
        command = RESOURCES[resource].commands[name.replace("_", "-")]
        assert isinstance(command, RequestCommand)
        taken = inspect.signature(getattr(methods, name)).parameters.items()
        wanted = {word: parameter.default for word, parameter in taken if word not in NO_FLAGS}
        assert {flag.field for flag in command.flags} == wanted.keys()
        required = {flag.field for flag in command.flags if flag.required}
        assert required == {word for word in wanted if wanted[word] is inspect.Parameter.empty}


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ("--instructions Hello", {"instructions": "Hello"}),
        ("--instructions @notes", {"instructions": "@notes"}),
        ("--instructions=--model", {"instructions": "--model"}),
        ("--instructions --model", {"instructions": "--model"}),
        ("--max-prompt-tokens 300", {"max_prompt_tokens": 300}),
        ("--max-prompt-tokens null", {"max_prompt_tokens": None}),
        ("--temperature 1", {"temperature": 1}),
        ("--temperature .5", {"temperature": 0.5}),
        ("--top-p 1e-1", {"top_p": 0.1}),
        ("--parallel-tool-calls", {"parallel_tool_calls": True}),
        ("--parallel-tool-calls false", {"parallel_tool_calls": False}),
        ("--parallel-tool-calls=false", {"parallel_tool_calls": False}),
        ("--parallel-tool-calls --model m", {"parallel_tool_calls": True, "model": "m"}),
        ("--tool-choice auto", {"tool_choice": "auto"}),
        ('--tool-choice {"type":"x"}', {"tool_choice": {"type": "x"}}),
        ("--response-format null", {"response_format": None}),
        ("--include a --include b", {"include": ["a", "b"]}),
        ('--include ["a","b"]', {"include": ["a", "b"]}),
        ('--metadata {"a":"b"}', {"metadata": {"a": "b"}}),
        ("--metadata null", {"metadata": None}),
        ('--tool {"type":"a"} --tool {"type":"b"}', {"tools": [{"type": "a"}, {"type": "b"}]}),
        ('--tool [{"type":"a"}] --tool {"n":1}', {"tools": [{"type": "a"}, {"n": 1}]}),
        ("--tool []", {"tools": []}),
        ("--tool null", {"tools": None}),
        ("--model a --model b", {"model": "b"}),
        ("--on-active-run wait", {"on_active_run": "wait"}),
        ("--active-run-deadline 2.5", {"active_run_deadline": 2.5}),
    ],
)
def test_a_flag_becomes_a_value_of_its_kind(words: str, params: dict[str, Any]) -> None:
    assert created(*words.split(" ")) == params


@pytest.mark.parametrize(
    ("words", "params"),
    [
        (
            "--truncation-strategy.type last_messages --truncation-strategy.last-messages=3",
            {"truncation_strategy": {"type": "last_messages", "last_messages": 3}},
        ),
        (
            '--truncation-strategy {"type":"auto"} --truncation-strategy.last-messages 1',
            {"truncation_strategy": {"type": "auto", "last_messages": 1}},
        ),
        (
            '--truncation-strategy.last-messages 1 --truncation-strategy {"type":"auto"}',
            {"truncation_strategy": {"type": "auto"}},
        ),
        (
            "--tool-choice.type function --tool-choice.function.name f",
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            "--metadata.order 12 --metadata.a-b=c=d --metadata.a.b.c x",
            {"metadata": {"order": "12", "a-b": "c=d", "a.b.c": "x"}},
        ),
        (
            "--additional-message.metadata.a b --additional-message.metadata.c=d",
            {"additional_messages": [{"metadata": {"a": "b", "c": "d"}}]},
        ),
        (
            (
                '--tool {"type":"a"} --tool.type function --tool.function.name f '
                "--tool.function.strict true --tool.type b"
            ),
            {
                "tools": [
                    {"type": "a"},
                    {"type": "function", "function": {"name": "f", "strict": True}},
                    {"type": "b"},
                ]
            },
        ),
        (
            (
                "--additional-message.content one --additional-message.role user "
                "--additional-message.content two --additional-message.role assistant"
            ),
            {
                "additional_messages": [
                    {"content": "one", "role": "user"},
                    {"content": "two", "role": "assistant"},
                ]
            },
        ),
        (
            (
                '--additional-message.attachments {"file_id":"f"} --additional-message.role user '
                '--additional-message.attachments {"file_id":"g"}'
            ),
            {
                "additional_messages": [
                    {"attachments": [{"file_id": "f"}, {"file_id": "g"}], "role": "user"}
                ]
            },
        ),
    ],
)
def test_a_dotted_flag_sets_a_field_of_the_object_or_of_the_newest_item(
    words: str, params: dict[str, Any]
) -> None:
    assert created(*words.split(" ")) == params


def test_a_repeated_inner_flag_begins_the_next_output() -> None:
    words = "--tool-output.tool-call-id a --tool-output.output A --tool-output.tool-call-id b"
    assert read(*words.split(), flags=(parameters.TOOL_OUTPUT,)) == {
        "tool_outputs": [{"tool_call_id": "a", "output": "A"}, {"tool_call_id": "b"}]
    }


def test_a_value_that_looks_like_a_dotted_flag_stays_a_value() -> None:
    assert created("--instructions", "--metadata.a", "--model", "m") == {
        "instructions": "--metadata.a",
        "model": "m",
    }


def test_objects_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text('\ufeff[{"type": "a"},\n {"type": "b"}]', "utf-8")
    assert created("--tool", f"@{file}") == {"tools": [{"type": "a"}, {"type": "b"}]}


def test_the_content_of_a_message_is_text_or_parts_and_both_come_from_files(
    tmp_path: Path,
) -> None:
    def content(text: str) -> Any:
        words = ("--thread-id", "t", "--role", "user", "--content", text)
        return read(*words, flags=parameters.MESSAGE_CREATE)["content"]

    parts = [{"type": "text", "text": "hi"}]
    assert content("[1] is a footnote") == "[1] is a footnote"
    assert content("@@alice, hi") == "@alice, hi"
    assert content(json.dumps(parts)) == parts
    (tmp_path / "letter.txt").write_text("Dear all,\n")
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    assert content(f"@{tmp_path}/letter.txt") == "Dear all,\n"
    assert content(f"@{tmp_path}/parts.json") == parts


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--max-prompt-tokens many", "expected a whole number, got 'many'"),
        ("--max-prompt-tokens 1_0", "expected a whole number, got '1_0'"),
        ("--temperature hot", "expected a number, got 'hot'"),
        ("--temperature nan", "expected a number, got 'nan'"),
        ("--temperature 1e999", "expected a number, got '1e999'"),
        ("--parallel-tool-calls maybe", "expected true or false, got 'maybe'"),
        ("--metadata 1", "expected an object, got a number"),
        ('--metadata {"a":1}', "expected a text for 'a', got a number"),
        ('--metadata {"a":NaN}', "NaN is no number of JSON"),
        ('--metadata {"a":"\\ud800"}', "it has characters that are no Unicode text"),
        ("--metadata.a \udcff", "it has characters that are no Unicode text"),
        ("--tool 0", "expected an object, got a number"),
        ('--tool [{},"x"]', "expected an object, got a text"),
        ("--include [1]", "expected a text, got a number"),
        ("--truncation-strategy []", "expected an object, got a list"),
        ("--tool-choice [1]", "expected an object, got a list"),
        ("--tool-choice auto --tool-choice.type x", "'auto' has no field 'type'"),
        ('--tool {"a":\n1:1}', "not JSON at line 2, column 2"),
        (f"--tool {'[' * 5000}{']' * 5000}", "the JSON is nested more than 200 levels deep"),
        (f"--tool {'[' * 201}{']' * 201}", "the JSON is nested more than 200 levels deep"),
        ('--metadata {"a":1e999}', "it has a number that is too large"),
        ("--tool @/nowhere/x.json", "cannot read the file '/nowhere/x.json': no such file"),
        ("--thread-id .. --model m", "expected an id, got '..'"),
        ("--active-run-deadline 0", "expected a number of seconds above 0, got '0'"),
        ("--max-retries -1", "expected 0 or a whole number above it, got '-1'"),
        ("--base-url ftp://x", "begins with http:// or https://, got 'ftp://x'"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_flag(words: str, complaint: str) -> None:
    flag, _, rest = words.partition(" ")
    with pytest.raises(click.BadParameter) as refused:
        created(flag, *(rest.split(" ") if " --" in rest else [rest]))
    assert complaint in refused.value.format_message()
    last = next(word for word in words.split(" ") if word.startswith("--"))
    assert f"'{last}'" in refused.value.format_message()


def test_a_file_that_is_no_json_is_named_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{\n  "a": tru\n}')
    with pytest.raises(click.BadParameter, match=r"not JSON in \S+x\.json at line 2, column 8"):
        created("--metadata", f"@{tmp_path}/x.json")


def test_a_missing_flag_is_named() -> None:
    with pytest.raises(click.UsageError, match="Missing option '--assistant-id'"):
        read("--thread-id", "thread_1")


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ((), {"model": "m", "metadata": {"a": "b"}}),
        (("--model", "n"), {"model": "n", "metadata": {"a": "b"}}),
        (("--metadata.c", "d"), {"model": "m", "metadata": {"a": "b", "c": "d"}}),
        (("--metadata", "{}"), {"model": "m", "metadata": {}}),
    ],
)
def test_flags_win_over_the_body(words: tuple[str, ...], params: dict[str, Any]) -> None:
    body = '{"model": "m", "metadata": {"a": "b"}}'
    assert read("--body", body, *words, flags=parameters.ASSISTANT_CREATE, takes_body=True) == (
        params
    )


def test_what_no_flag_knows_is_sent_along() -> None:
    body = '{"assistant_id": "asst_1", "thread_id": "thread_1", "new": [1]}'
    assert read("--body", body, takes_body=True) == {
        "assistant_id": "asst_1",
        "thread_id": "thread_1",
        "extra_body": {"new": [1]},
    }


def test_a_body_that_asks_for_a_stream_is_sent_elsewhere() -> None:
    with pytest.raises(click.UsageError, match="asyncruns runs stream"):
        read(*RUN, "--body", '{"stream": true}', takes_body=True)


def test_keys_are_taken_out_of_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    connection = Connection({"api_key": "sk-of-the-flag"})
    said = "refused: sk-of-the-flag, sk-of-the-environment"
    assert connection.conceal(said) == "refused: …, …"
    assert "sk-" not in repr(connection)


AZURE = {"AZURE_OPENAI_ENDPOINT": "https://mine.example", "AZURE_OPENAI_API_KEY": "azure-key"}


@pytest.mark.parametrize(
    ("options", "environment", "kind", "address"),
    [
        ({"api_key": ""}, {}, "Client", "https://api.openai.com/v1"),
        ({}, {"OPENAI_API_KEY": "key"}, "Client", "https://api.openai.com/v1"),
        ({"api_version": "v"}, AZURE, "AzureClient", "https://mine.example/openai"),
        ({}, {**AZURE, "OPENAI_API_VERSION": "v"}, "AzureClient", "https://mine.example/openai"),
        ({}, {**AZURE, "OPENAI_API_KEY": "key"}, "Client", "https://api.openai.com/v1"),
        ({"base_url": "http://h/v1", "api_key": "k"}, AZURE, "Client", "http://h/v1"),
        (
            {"azure_endpoint": "https://a.example", "api_version": "v", "api_key": "k"},
            {"OPENAI_API_KEY": "key"},
            "AzureClient",
            "https://a.example/openai",
        ),
    ],
)
def test_the_client_is_azures_where_azure_is_meant(
    options: dict[str, Any],
    environment: dict[str, str],
    kind: str,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_VERSION", *AZURE):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = Connection(options).open()
    assert repr(client) == f"{kind}(base_url={address!r})"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "no API key: give --api-key or set OPENAI_API_KEY"),
        ({"azure_endpoint": "https://a", "api_key": "k"}, "no API version: give --api-version"),
        ({"api_version": "v"}, "no endpoint: give --azure-endpoint"),
        (
            {"azure_endpoint": "https://a", "api_version": "v"},
            "no API key: give --api-key or set AZURE_OPENAI_API_KEY",
        ),
        ({"azure_endpoint": "https://a", "base_url": "https://b"}, "'--base-url' means nothing"),
        ({"base_url": "http://me:pass@host", "api_key": "k"}, "must have no user"),
    ],
)
def test_a_connection_that_cannot_be_made_says_what_to_give(
    options: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_VERSION", *AZURE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(click.UsageError, match=complaint):
        Connection(options).open()
