"""The documentation names what there is, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.api import admin, connection
from gateway.errors import FareboxError
from gateway.identity.headers import DROP, FORWARD, KNOWN_HEADERS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def read(path: Path) -> str:
    return path.read_text("utf-8")


@cache
def pages() -> list[Path]:
    return sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def subclasses(root: type[FareboxError]) -> Iterator[type[FareboxError]]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


@pytest.mark.parametrize("error", sorted(set(subclasses(FareboxError)), key=lambda error: error.__name__))
def test_every_error_is_documented(error: type[FareboxError]) -> None:
    assert error.__module__ in ("gateway.errors", connection.__name__, admin.__name__)
    rows = [line for line in read(DOCS / "errors.md").splitlines() if line.startswith(f"| {error.status} |")]
    assert any(f"| `{error.code}`" in row for row in rows), f"docs/errors.md has no row for {error.status} {error.code}"


def test_no_documented_error_is_gone() -> None:
    known = {(str(error.status), error.code) for error in subclasses(FareboxError)}
    documented = re.findall(r"^\| (\d{3}) \| `(\w+)`", read(DOCS / "errors.md"), re.MULTILINE)
    assert set(documented) <= known


def _identity_headers() -> dict[str, int]:
    return {name.decode(): role.rank for name, role in KNOWN_HEADERS.items() if role.kind not in (FORWARD, DROP)}


@pytest.mark.parametrize(("name", "rank"), _identity_headers().items())
def test_every_identity_header_is_documented(name: str, rank: int) -> None:
    rows = [line for line in read(DOCS / "attribution.md").splitlines() if line.startswith(f"| {rank} |")]
    assert any(f"`{name}`" in row for row in rows), f"docs/attribution.md has no row for {name} with rank {rank}"


def test_no_documented_header_is_gone() -> None:
    rows = re.findall(r"^\| [1-6] \| (.*?) \|", read(DOCS / "attribution.md"), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row) if "NAME" not in name}
    assert documented - set(_identity_headers()) == {"x-claude-code-session-id"}  # one of x-NAME-session-id


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", read(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in _LINK.findall(_FENCE.sub("", read(page))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            dead.append(target)
    assert dead == []


def test_every_page_is_found_from_the_first() -> None:
    """docs/README.md links each page; a decision is found through its folder."""
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in _LINK.findall(read(DOCS / "README.md"))}
    missing = [page for page in DOCS.rglob("*.md") if page not in linked and page.parent not in linked]
    assert [page.relative_to(ROOT).as_posix() for page in missing if page.name != "README.md"] == []


@pytest.mark.parametrize("page", sorted((DOCS / "adr").glob("*.md")), ids=lambda page: page.stem)
def test_decisions_say_why(page: Path) -> None:
    text = read(page)
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    for part in ("## Context", "## Decision", "## Consequences"):
        assert part in text


def test_files_named_in_the_source_exist() -> None:
    named = {
        (path.relative_to(ROOT).as_posix(), found)
        for package in ("gateway", "routing")
        for path in (ROOT / package).rglob("*.py")
        for found in re.findall(r"docs/[a-z0-9/_-]+\.md", read(path))
    }
    assert sorted(place for place in named if not (ROOT / place[1]).is_file()) == []
