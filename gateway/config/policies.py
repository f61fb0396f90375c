"""Policy files: every `*.yaml` in the policies folder, strictly read."""

from __future__ import annotations

from pathlib import Path

from gateway.config.document import parse
from gateway.config.problems import Problem
from gateway.config.validate import Tree, report_types, what_is_left
from routing.policy import Policy


def load_policies(folder: Path) -> tuple[tuple[Policy, ...], list[Path], list[Problem]]:
    """The policies of a folder, the files they are in, and what is wrong with them. A missing folder has none."""
    policies: list[Policy] = []
    problems: list[Problem] = []
    files = _files(folder)
    named: dict[str, Path] = {}
    for file in files:
        tree = _read(file, problems)
        if tree is None:
            continue
        policy = what_is_left(tree, Policy)
        if (first := named.get(getattr(policy, "name", ""))) is not None:
            tree.complain(("name",), f"{policy.name!r} is already the name of the policy in {first}")
        problems += tree.document.problems
        if not tree.document.problems:
            named[policy.name] = file
            policies.append(policy)
    return tuple(policies), files, problems


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for pattern in ("*.yaml", "*.yml") for file in folder.glob(pattern) if file.is_file())
    except (OSError, ValueError):  # no folder's name at all
        return []


def _read(file: Path, problems: list[Problem]) -> Tree | None:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.append(Problem(file, 1, 1, "", f"cannot be read: {error.strerror or 'unreadable'}"))
        return None
    except UnicodeDecodeError as error:
        problems.append(Problem(file, 1, 1, "", f"is not UTF-8 text (byte {error.start})"))
        return None
    document = parse(text, file)
    tree = Tree(document, Policy, document.data)
    if not document.problems or document.data is not None:
        if document.data is None:
            tree.data = {}
        report_types(tree)
    return tree
