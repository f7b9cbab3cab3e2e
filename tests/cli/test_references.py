"""`module:attribute` on a command line: what is found, and what is said where nothing is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import pytest

from asyncruns import Toolset
from asyncruns.cli.references import Reference, ScriptReference, ToolsetReference
from asyncruns.emulator import use_every_tool

if TYPE_CHECKING:
    from pathlib import Path

MODULE = '''
from asyncruns import Toolset

def get_time(city: str) -> str:
    """Tell the time."""
    return "now"

def odd(*cities):
    pass

toolset = Toolset(get_time)
functions = [get_time]
nothing = []
number = 3

class Inside:
    toolset = toolset
'''


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with modules, as the current one; what is imported from it is forgotten."""
    (tmp_path / "own_tools.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("\nraise RuntimeError('no\\nluck')")
    (tmp_path / "own_hungry.py").write_text("import nowhere_to_be_found")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("own_tools", "own_broken", "own_hungry"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("name", ["toolset", "functions", "get_time", "Inside.toolset"])
def test_a_toolset_comes_from_a_toolset_or_from_functions(name: str) -> None:
    toolset = ToolsetReference().convert(f"own_tools:{name}", None, None)
    assert isinstance(toolset, Toolset)
    assert [tool.function.name for tool in toolset.definitions] == ["get_time"]


def test_a_script_is_an_async_generator_function() -> None:
    script = ScriptReference().convert("asyncruns.emulator:use_every_tool", None, None)
    assert script is use_every_tool


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("own_tools", "'own_tools' is not of the form module:toolset"),
        ("own_tools:", "'own_tools:' is not of the form module:toolset"),
        (":toolset", "':toolset' is not of the form module:toolset"),
        ("nowhere:toolset", "there is no module 'nowhere' in {here}, nor installed"),
        ("own_tools.deep:toolset", "there is no module 'own_tools.deep' in {here}, nor installed"),
        (
            "own_hungry:toolset",
            "the module 'own_hungry' imports 'nowhere_to_be_found', which is not there",
        ),
        (
            "own_broken:toolset",
            "the module 'own_broken' cannot be imported: RuntimeError: no (own_broken.py, line 2)",
        ),
        (
            "own_tools:tools",
            (
                "there is no 'tools' in 'own_tools:tools': it has Inside, Toolset, functions, get_time,"
                " nothing, number, odd, toolset"
            ),
        ),
        (
            "own_tools:number.deep",
            "there is no 'deep' in 'own_tools:number.deep': it has no names of its own",
        ),
        (
            "own_tools:number",
            "'own_tools:number' is neither a Toolset nor functions, but of the type int",
        ),
        (
            "own_tools:nothing",
            "'own_tools:nothing' is neither a Toolset nor functions, but of the type list",
        ),
        ("own_tools:odd", "'own_tools:odd' cannot be made a Toolset: "),
    ],
)
def test_what_cannot_be_had_is_bad_input_and_says_why(
    value: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(click.BadParameter) as caught:
        ToolsetReference().convert(value, None, None)
    assert caught.value.message.startswith(complaint.format(here=tmp_path))
    assert len(caught.value.message.splitlines()) == 1


def test_what_is_installed_is_found_too() -> None:
    assert Reference().convert("asyncruns:Toolset", None, None) is Toolset
