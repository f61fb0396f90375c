"""What commands that speak to a running gateway have in common."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer

from gateway.cli.remote import Column, Remote, clock, clock_s, dollars, print_table

WIDE = 60


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        (None, ""),
        ("0.00", "0.00"),
        ("12.5", "12.50"),
        ("133.123456789", "133.12"),
        ("-4.25", "-4.25"),
        ("0.004200000", "0.0042"),
        ("0.000125", "0.000125"),
        ("0.000000001", "0.00"),
    ],
)
def test_dollars(exact: str | None, shown: str) -> None:
    assert dollars(exact) == shown


def test_clock() -> None:
    assert (clock("2026-12-01T09:30:00Z"), clock(None)) == ("12-01 09:30", "")
    assert (clock_s("2026-12-01T09:30:05Z"), clock_s(None)) == ("12-01 09:30:05", "")


COLUMNS = (Column("name"), Column("text", folds=True), Column("more", from_width=WIDE))
ROW = ["in-one-piece", "[bold] words " * 5, "extra"]


def test_a_file_gets_every_column_unfolded(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [ROW])
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "text", "more"]
    assert ROW[1].strip() in line
    assert "extra" in line


@pytest.mark.parametrize(("width", "more"), [(WIDE - 1, False), (WIDE, True)])
def test_a_narrow_terminal_gets_fewer_columns(
    width: int, more: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(COLUMNS, [ROW])
    out = capsys.readouterr().out
    assert ("extra" in out) is more
    assert "in-one-piece" in out
    assert max(map(len, out.splitlines()[1:])) <= width  # the heading has codes for bold letters


class _Other(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        words = self.path.rpartition("/")[2]
        self.send_response(int(words) if words.isdigit() else 200)
        self.end_headers()
        self.wfile.write(b"[]" if words == "verify" else b"<html>")

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def other_server() -> Iterator[str]:
    """Something that answers and is no gateway."""
    server = HTTPServer(("127.0.0.1", 0), _Other)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_no_gateway(other_server: str, capsys: pytest.CaptureFixture[str]) -> None:
    remote = Remote(other_server, "key", Path("none.yaml"))
    for path, words, status in (
        ("budgets", "no gateway", 3),
        ("verify", "no gateway", 3),
        ("500", "status 500", 3),
        ("404", "status 404", 1),
    ):
        with pytest.raises(typer.Exit) as raised:
            remote.get(path)
        assert (raised.value.exit_code, words in capsys.readouterr().err) == (status, True)


def test_a_verification_that_is_refused_found_no_difference(other_server: str) -> None:
    with pytest.raises(typer.Exit) as raised:
        Remote(other_server, "key", Path("none.yaml"), refused=3).get("401")
    assert raised.value.exit_code == 3


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        remote = Remote(f"http://127.0.0.1:{taken.getsockname()[1]}", "key", Path("none.yaml"))
        with pytest.raises(typer.Exit) as raised:
            remote.get("budgets")
    assert raised.value.exit_code == 3
    assert "no gateway answers" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["", "ke\ny", "schlüssel"])
def test_a_key_that_cannot_be_one(key: str) -> None:
    with pytest.raises(typer.Exit) as raised:
        Remote("http://127.0.0.1:1", key, Path("none.yaml"))
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("sections", "url"),
    [
        ("", "http://127.0.0.1:4000"),
        ("server: {host: 0.0.0.0, port: 5000}", "http://127.0.0.1:5000"),
        ("admin: {key: '${KEY_OF_TESTS}', listen: {host: 127.0.0.1, port: 4500}}", "http://127.0.0.1:4500"),
    ],
)
def test_the_address_that_the_configuration_gives(
    sections: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_TESTS", "an-admin-key-of-tests-0123456789")
    file = tmp_path / "config.yaml"
    file.write_text(f"agents: {{a: {{}}}}\n{sections}\n")
    assert Remote("", "key", file)._url == url
