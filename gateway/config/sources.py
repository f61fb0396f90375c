"""The files of a configuration: the root, what it includes, merged into one document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.config.document import Document, parse
from gateway.config.problems import Problem
from gateway.config.variables import Resolved, Variables

_MAX_FILE_BYTES = 16_777_216
_GLOB = frozenset("*?[")


class Sources:
    """Reads and merges. `document` has the result; `files` and `folders` what a watcher should look at."""

    def __init__(self, root: Path, variables: Variables) -> None:
        self.files: list[Path] = []
        self.folders: list[Path] = []
        self._variables = variables
        self.document = self._read(root)
        if self.document.data is None:
            self.document.data = {}
        if not isinstance(self.document.data, dict):
            self.document.complain((), "a configuration is a mapping of settings: `providers:`, `models:`, ...")
            self.document.data = {}
        self._include(self.document, root)

    def _read(self, path: Path) -> Document:
        self.files.append(path)
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_FILE_BYTES + 1)
            if len(content) <= _MAX_FILE_BYTES:
                return parse(content.decode("utf-8-sig"), path, self._variables.resolve)
            message = f"is larger than {_MAX_FILE_BYTES} bytes"
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 text (byte {error.start})"
        return Document(path, {}, problems=[Problem(path, 1, 1, "", message)])

    def _include(self, document: Document, path: Path) -> None:
        """Read and merge what the root file's `include` names; an included file includes nothing itself."""
        patterns = document.data.get("include")
        if not isinstance(patterns, list):
            return  # absent, or reported with the other wrong types
        seen = {path.resolve()}
        for index, pattern in enumerate(patterns):
            if not isinstance(pattern, str) or (isinstance(pattern, Resolved) and pattern.missing):
                continue
            for found in self._matches(path.parent, str(pattern), index):
                if found.resolve() not in seen:
                    seen.add(found.resolve())
                    self._merge(self._read(found))

    def _matches(self, base: Path, pattern: str, index: int) -> list[Path]:
        """The files that one pattern names, sorted. A pattern may match none; a plain name must exist."""
        if not _GLOB & set(pattern):
            self.folders.append((base / pattern).parent)
            if _is_file(base / pattern):
                return [base / pattern]
            self.document.complain(("include", index), "no such file")
            return []
        relative = Path(pattern)
        base, pattern = (
            (Path(relative.anchor), str(relative.relative_to(relative.anchor))) if relative.anchor else (base, pattern)
        )
        fixed = base
        for part in Path(pattern).parts[:-1]:
            if _GLOB & set(part):
                break
            fixed /= part
        self.folders.append(fixed)
        try:
            return sorted(found for found in base.glob(pattern) if found.is_file())
        except (ValueError, NotImplementedError, OSError):
            self.document.complain(("include", index), "not a pattern of files; an example is `conf.d/*.yaml`")
            return []

    def _merge(self, other: Document) -> None:
        """Add the sections of an included file, and the entries of sections that are there already."""
        merged = self.document
        merged.problems += other.problems
        if other.data is None:
            return
        if not isinstance(other.data, dict):
            other.complain((), "an included file is a mapping of settings: `providers:`, `models:`, ...")
            merged.problems += other.problems[-1:]
            return
        for section, value in other.data.items():
            if section == "include":
                other.complain((section,), "an included file includes nothing itself", key=True)
                merged.problems += other.problems[-1:]
            elif section not in merged.data or merged.data[section] is None:
                merged.data[section] = value
                self._adopt(other, (section,))
            elif isinstance(value, dict) and isinstance(merged.data[section], dict):
                for name, entry in value.items():
                    self._merge_entry(other, merged.data[section], section, name, entry)
            elif value is not None:
                self._twice(other, (section,))

    def _merge_entry(self, other: Document, into: dict[str, Any], section: str, name: str, entry: Any) -> None:
        if name in into:
            self._twice(other, (section, name))
        else:
            into[name] = entry
            self._adopt(other, (section, name))

    def _twice(self, other: Document, path: tuple[str, ...]) -> None:
        first = self.document.place(path, key=True)
        other.complain(path, f"{path[-1]!r} is already defined at {first}", key=True)
        self.document.problems.append(other.problems[-1])

    def _adopt(self, other: Document, path: tuple[str, ...]) -> None:
        """Take over the places at and below `path`."""
        depth = len(path)
        self.document.keys.update({at: place for at, place in other.keys.items() if at[:depth] == path})
        self.document.values.update({at: place for at, place in other.values.items() if at[:depth] == path})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long for a name, or behind a folder that we may not read
        return False
