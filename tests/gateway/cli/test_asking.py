"""What commands that ask a running gateway have in common: their options, and how they show the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.asking import Asking, Json, Listing, asks, lists_by_default
from gateway.cli.remote import Column

OPTIONS = ["--url", "http://gateway", "--admin-key", "secret", "-c", "other.yaml", "--json"]
GIVEN = Asking("http://gateway", "secret", Path("other.yaml"), as_json=True)
LEFT_OUT = Asking("", "", Path("config.yaml"), as_json=False)
NUMBERS = Listing("No numbers.", (Column("number"), Column("word")), lambda each: [str(each["n"]), each["word"]])
ONE: Json = {"n": 1, "word": "one"}


@pytest.fixture
def called() -> list[tuple[object, ...]]:
    return []


@pytest.fixture
def numbers(called: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A group of commands that note how they were called."""
    for name in ("FAREBOX_URL", "FAREBOX_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    group = typer.Typer(help="See numbers.", rich_markup_mode=None)

    @group.command()
    @asks
    def add(asking: Asking, first: int, second: int = 2) -> None:
        """Add two numbers."""
        called.append((asking, first, second))

    lists_by_default(group, "numbers", lambda asking: called.append((asking,)))
    return group


@pytest.mark.parametrize(("words", "asking"), [([], LEFT_OUT), (OPTIONS, GIVEN)])
def test_options_become_the_way_to_the_gateway(
    numbers: typer.Typer, called: list[tuple[object, ...]], words: list[str], asking: Asking
) -> None:
    assert CliRunner().invoke(numbers, ["add", "1", "--second", "3", *words]).exit_code == 0
    assert CliRunner().invoke(numbers, [*words, "add", "1"]).exit_code == 0, "before the command they are its own too"
    assert called == [(asking, 1, 3), (asking, 1, 2)]


def test_a_group_without_a_command_lists_all(numbers: typer.Typer, called: list[tuple[object, ...]]) -> None:
    assert CliRunner().invoke(numbers, OPTIONS).exit_code == 0
    assert called == [(GIVEN,)]


def test_the_environment_has_a_say(
    numbers: typer.Typer, called: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREBOX_URL", "http://gateway")
    monkeypatch.setenv("FAREBOX_ADMIN_KEY", "secret")
    CliRunner().invoke(numbers, ["add", "1"])
    assert called == [(LEFT_OUT._replace(url="http://gateway", admin_key="secret"), 1, 2)]


def test_help_tells_the_commands_own_options_first(numbers: typer.Typer) -> None:
    shown = CliRunner().invoke(numbers, ["add", "--help"]).stdout
    places = [
        shown.index(words) for words in ("Add two numbers", "--second", "--url", "--admin-key", "--config", "--json")
    ]
    assert places == sorted(places)
    shown = CliRunner().invoke(numbers, ["--help"]).stdout
    assert "See numbers. Without a command: list them." in shown
    assert "Example: farebox numbers --url" in shown


def test_a_list_is_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    NUMBERS.show(LEFT_OUT, iter([ONE]))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["number", "word"], ["1", "one"]]
    NUMBERS.show(GIVEN, iter([ONE]))
    assert json.loads(capsys.readouterr().out) == [ONE]


def test_an_empty_list_says_so_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    NUMBERS.show(LEFT_OUT, [])
    assert capsys.readouterr() == ("", "No numbers.\n")
    NUMBERS.show(GIVEN, [])
    assert capsys.readouterr() == ("[]\n", "")
