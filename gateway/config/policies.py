"""Policy files: every `*.yaml` in the policies folder, strictly read, compiled, and given to their agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from gateway.config.document import Document, parse
from gateway.config.models import RawConfig
from gateway.config.problems import Problem, YamlPath, did_you_mean
from gateway.config.references import IMPLICIT
from gateway.config.snapshot import PolicyFile
from gateway.config.surroundings import DEFAULT, Names, Surroundings
from gateway.config.validate import Tree, report_types, what_is_left
from routing.rules import CompiledPolicy


@dataclass
class Policies:
    """The policies of a configuration."""

    written: list[PolicyFile] = field(default_factory=list)
    """By file name."""
    compiled: dict[str, CompiledPolicy] = field(default_factory=dict)
    """Those that choose models, by their name."""
    files: list[Path] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """All of them, those with problems too; an empty one for a file of which it cannot be read."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def names_in(tree: Tree) -> Names:
    """What the configuration defines, before anything is dropped from it."""

    def section(name: str) -> dict[str, object]:
        found = tree.get((name,))
        return found if isinstance(found, dict) else {}

    models = {name: name for name in section("models")}
    for name in section("models"):
        aliases = tree.get(("models", name, "aliases"))
        for alias in aliases if isinstance(aliases, list) else ():
            if isinstance(alias, str):
                models.setdefault(str(alias), name)
    return Names(
        models=models,
        agents=frozenset(section("agents")),
        teams=frozenset((*section("teams"), IMPLICIT)),
        orgs=frozenset((*section("orgs"), IMPLICIT)),
    )


def load_policies(folder: Path, around: Surroundings, instead: Path | None = None) -> Policies:
    """The policies of a folder, and what is wrong with them. A missing folder has none.

    `instead`: a file whose policy takes the place of the one with its name, wherever it lies.
    """
    loader = _Loader(around)
    files = _files(folder)
    if instead is not None:
        loader.add(instead)
        loader.replaced = frozenset(loader.policies.names)
        files = [file for file in files if file.resolve() != instead.resolve()]
    for file in files:
        loader.add(file)
    loader.policies.files = files if instead is None else [*files, instead]
    return loader.policies


class _Loader:
    """Reads the files of one configuration."""

    def __init__(self, around: Surroundings) -> None:
        self.policies = Policies()
        self.replaced: frozenset[str] = frozenset()
        """Names whose policies are passed over."""
        self._around = around
        self._named: dict[str, Path] = {}

    def add(self, file: Path) -> None:
        """Read, check and compile one file."""
        document = read_document(file, self.policies.problems)
        if document is None:
            self.policies.names.add("")
        elif (name := _only_name(document)) is not None:
            self._keep(name, document, file)
        else:
            self._compile(document, file)

    def _compile(self, document: Document, file: Path) -> None:
        from gateway.config.rules import compile_policy  # 1 MB, which a gateway without policies does without
        from routing.policy import Policy

        tree = typed(document, Policy)
        policy = what_is_left(tree, Policy)
        name = getattr(policy, "name", "")  # a file whose name is wrong has none
        compiled = compile_policy(policy, tree, self._around) if name else None
        if self._keep(name, document, file) and compiled is not None:
            self.policies.compiled[name] = compiled

    def _keep(self, name: str, document: Document, file: Path) -> bool:
        """Note a policy, and what is wrong with it. Whether nothing is."""
        policies = self.policies
        if name in self.replaced:
            return False
        if (first := self._named.get(name)) is not None:
            document.complain(("name",), f"{name!r} is already the name of the policy in {first}")
        policies.names.add(name)
        policies.problems += document.problems
        policies.warnings += document.warnings
        if not document.problems:
            self._named[name] = file
            policies.written.append(PolicyFile(name, file))
        return not document.problems


def _only_name(document: Document) -> str | None:
    """The name of a policy that obviously chooses nothing, as the one that `farebox init` writes."""
    data = document.data
    if document.problems or not isinstance(data, dict) or not data.keys() <= {"name", "description", "strategy"}:
        return None
    name, plain = data.get("name"), data.get("strategy", "ordered") == "ordered"
    short = isinstance(name, str) and name.isascii() and name.isalnum() and len(name) <= 64
    about = isinstance(data.get("description", ""), str) and len(data.get("description", "")) <= 4096
    return name if plain and short and about else None


def assign(raw: RawConfig, tree: Tree, policies: Policies) -> dict[str, CompiledPolicy]:
    """The policy of each agent that has one: its own, else its team's, else the configuration's."""
    for path, name in _asked_for(raw):
        if name is not None and not {name, ""} & policies.names:
            tree.complain(path, f"no policy is called {name!r}{did_you_mean(name, policies.names)}")
    general = raw.policy or DEFAULT
    found: dict[str, CompiledPolicy] = {}
    for agent, written in raw.agents.items():
        team = raw.teams.get(written.team)
        name = written.policy or (None if team is None else team.policy) or general
        if (policy := policies.compiled.get(name)) is not None:
            found[agent] = policy
    return found


def _asked_for(raw: RawConfig) -> list[tuple[YamlPath, str | None]]:
    sections: list[tuple[str, Mapping[str, object]]] = [("agents", raw.agents), ("teams", raw.teams)]
    return [
        (("policy",), raw.policy),
        *(
            ((section, name, "policy"), getattr(entry, "policy", None))
            for section, entries in sections
            for name, entry in entries.items()
        ),
    ]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for pattern in ("*.yaml", "*.yml") for file in folder.glob(pattern) if file.is_file())
    except (OSError, ValueError):  # no folder's name at all
        return []


def read_tree(file: Path, root: type[BaseModel], problems: list[Problem]) -> Tree | None:
    """A YAML file against the model of what it should be; None when it cannot be read. It takes no variables."""
    document = read_document(file, problems)
    return None if document is None else typed(document, root)


def read_document(file: Path, problems: list[Problem]) -> Document | None:
    """A YAML file; None, and a problem, when it cannot be read."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.append(Problem(file, 1, 1, "", f"cannot be read: {error.strerror or 'unreadable'}"))
        return None
    except UnicodeDecodeError as error:
        problems.append(Problem(file, 1, 1, "", f"is not UTF-8 text (byte {error.start})"))
        return None
    return parse(text, file)


def typed(document: Document, root: type[BaseModel]) -> Tree:
    """A document against the model of what it should be: wrong types and keys are reported."""
    tree = Tree(document, root, document.data)
    if not document.problems or document.data is not None:
        if document.data is None:
            tree.data = {}
        report_types(tree)
    return tree
