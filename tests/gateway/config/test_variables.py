from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.variables import Resolved, Variables, environment, parse_env, shown

ENVIRON = {"KEY": "sk-hidden", "EMPTY": "", "PORT": "4001"}


def resolve(text: str, folder: Path = Path()) -> str:
    return Variables(ENVIRON, folder).resolve(text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        ("${KEY}", "sk-hidden"),
        ("Bearer ${KEY}!", "Bearer sk-hidden!"),
        ("${PORT}${PORT}", "40014001"),
        ("${NOPE:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${NOPE:-}", ""),
        ("${KEY:-other}", "sk-hidden"),
        ("$${KEY}", "${KEY}"),
        ("$KEY", "$KEY"),
    ],
)
def test_references_are_replaced(written: str, value: str) -> None:
    resolved = resolve(written)

    assert resolved == value
    assert getattr(resolved, "missing", None) is None


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("${NOPE}", "NOPE is not set"),
        ("${EMPTY}", "EMPTY is not set"),
        ("${NOPE}/${NADA}/${NOPE}", "NOPE and NADA are not set"),
        ("x ${KEY", "not a reference at character 3: write ${NAME}"),
        ("${}", "not a reference at character 1: write ${NAME}"),
        ("file:/nowhere/at/all", "cannot read the file /nowhere/at/all: No such file or directory"),
    ],
)
def test_what_cannot_be_replaced_says_why(written: str, reason: str) -> None:
    resolved = resolve(written)

    assert isinstance(resolved, Resolved)
    assert resolved.missing == reason


def test_a_secret_file_is_read_without_white_space_and_remembered(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n sk-file \n")
    variables = Variables({}, tmp_path)

    assert variables.resolve("file:key") == "sk-file"
    assert variables.files == [tmp_path / "key"]


def test_a_secret_file_must_be_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")

    assert "not UTF-8" in str(getattr(Variables({}, tmp_path).resolve("file:key"), "missing", ""))
    assert "not UTF-8" in str(getattr(Variables({}, tmp_path).resolve("file:a\0b"), "missing", ""))


def test_a_resolved_text_shows_itself_as_it_was_written() -> None:
    resolved = resolve("Bearer ${KEY}")

    assert repr(resolved) == "<Bearer ${KEY}>"
    assert shown(resolved) == "Bearer ${KEY}"


def test_env_files_have_comments_and_quotes() -> None:
    text = """
    # comment
    A=1
    export B = two words  # comment
    C="quoted # not a comment" # comment
    D='single'
    E=
    F=a#b
    G=#only
    not a line
    """

    assert parse_env(text) == {
        "A": "1",
        "B": "two words",
        "C": "quoted # not a comment",
        "D": "single",
        "E": "",
        "F": "a#b",
        "G": "",
    }


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")

    assert environment(tmp_path / ".env", {"A": "real"}) == {"A": "real", "B": "file"}
    assert environment(tmp_path / "none", {"A": "real"}) == {"A": "real"}
