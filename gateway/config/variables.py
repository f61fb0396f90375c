"""`${VAR}` and `file:` references, and the `.env` file beside a configuration.

A variable that is set but empty counts as not set, so that a copied `.env.example` configures nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_MALFORMED = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\})")
_ENV_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_MAX_SECRET_BYTES = 65_536


class Resolved(str):
    """The text that a reference stands for. Shows itself as it was written, never as its value."""

    __slots__ = ("missing", "written")

    written: str
    missing: str | None
    """Why it has no value (the value is then empty); None when it has one."""

    def __new__(cls, value: str, written: str, missing: str | None = None) -> Resolved:
        """Make one from the value and the text in the file."""
        text = super().__new__(cls, value)
        text.written = written
        text.missing = missing
        return text

    def __repr__(self) -> str:
        return f"<{self.written}>"


def shown(value: object) -> str:
    """A scalar as a message may show it: what was written, cut to a sensible length."""
    text = value.written if isinstance(value, Resolved) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass
class Variables:
    """Resolves references, and remembers which files it read."""

    environ: Mapping[str, str]
    folder: Path
    """Relative `file:` references start here."""
    files: list[Path] = field(default_factory=list)

    def resolve(self, written: str) -> str:
        """The text for a scalar as written: itself, or a `Resolved` when it refers to something."""
        if written.startswith("file:"):
            return self._read(written)
        if "${" not in written:
            return written
        if malformed := _MALFORMED.search(written.replace("$${", "")):
            return Resolved("", written, f"not a reference at character {malformed.start() + 1}: write ${{NAME}}")
        missing: list[str] = []

        def replacement(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if name is None:
                return "${"
            value = self.environ.get(name, "")
            if not value and default is None:
                missing.append(name)
            return value or default or ""

        value = _REFERENCE.sub(replacement, written)
        if missing:
            names = " and ".join(dict.fromkeys(missing))
            return Resolved("", written, f"{names} {'is' if len(set(missing)) == 1 else 'are'} not set")
        return Resolved(value, written)

    def _read(self, written: str) -> Resolved:
        """The content of a secret file, without the white space around it."""
        path = self.folder / written.removeprefix("file:")
        try:
            self.files.append(path)
            with path.open("rb") as file:
                content = file.read(_MAX_SECRET_BYTES + 1)
            if len(content) > _MAX_SECRET_BYTES:
                return Resolved("", written, f"the file {path} is larger than {_MAX_SECRET_BYTES} bytes")
            return Resolved(content.decode().strip(), written)
        except OSError as error:
            return Resolved("", written, f"cannot read the file {path}: {error.strerror or 'unreadable'}")
        except ValueError:  # not UTF-8, or a NUL in the path
            return Resolved("", written, f"the file {path!s} is not UTF-8 text".replace("\0", "\\0"))


def parse_env(text: str) -> dict[str, str]:
    """Read `KEY=VALUE` lines: comments, quotes and `export` allowed, no expansion. Other lines are passed over."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        match = _ENV_LINE.fullmatch(line.strip())
        if match is None:
            continue
        value = match["value"]
        if value[:1] in {"'", '"'} and (end := value.find(value[0], 1)) > 0:
            value = value[1:end]
        else:
            value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
        values[match["name"]] = value
    return values


def environment(env_file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file, overridden by the real environment. No file is an empty one."""
    try:
        values = parse_env(env_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        values = {}
    return {**values, **environ}
