"""`farebox test`: the cases of policies, like a test runner."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from gateway.cli.configuration import USAGE

if TYPE_CHECKING:
    from gateway.config.cases import Cases
    from gateway.config.problems import Problem
    from gateway.config.snapshot import Snapshot
    from gateway.reports.cases import Outcome
    from routing.rules import CompiledPolicy

FAILED = 1


class Result(NamedTuple):
    """A case, and how it went."""

    place: str
    name: str
    policy: str
    outcome: Outcome

    @property
    def passed(self) -> bool:
        """Whether the route is as expected."""
        return not self.outcome.differences


def run_cases(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A policy file: in place of the one that has its name.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option("--cases", help="A file or folder of cases. Default: policies/cases.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Decide the requests of policies' cases, and compare the routes with the expected ones. Nothing is called.

    Exits with 1 when a case fails, with 2 when a file is missing or wrong. Variables that are not set, such as keys of
    providers, are stood in for: it runs in CI. With --policy, cases that name another policy are left out.

    Example: farebox test --policy policies/new.yaml
    """
    runner = _Runner(config, policy)
    results = runner.run(cases)
    if as_json:
        typer.echo(json.dumps(_summary(results), indent=2))
    else:
        _print_results(results)
    if not all(result.passed for result in results):
        raise typer.Exit(FAILED)


class _Runner:
    """Runs cases by the policies of one configuration."""

    def __init__(self, config: Path, policy: Path | None) -> None:
        from gateway.config.cases import without_secrets

        for file in (config, policy):
            if file is not None and not file.is_file():
                _stop(f"there is no {file}")
        self._config = config
        self._candidate = policy
        self._environ = without_secrets(config, os.environ)
        self._load: Callable[[Path | None], Snapshot] = cache(self._read)

    def run(self, where: Path | None) -> list[Result]:
        """All cases of a file or folder. Exits with 2 when one, or what it is about, is wrong."""
        from gateway.config.cases import check_cases, read_cases

        self._load(self._candidate)
        files = self._files(where)
        found, problems = read_cases(files)
        chosen = [(cases, *self._policy_of(cases, problems)) for cases in found]
        chosen = [each for each in chosen if self._concerned(each[1])]
        for cases, policy, snapshot in chosen:
            problems += check_cases(cases, policy, snapshot)
        if problems:
            _stop_at(problems)
        if not chosen:
            _stop("no case is about this policy")
        return [result for cases, policy, snapshot in chosen for result in _run(cases, policy, snapshot)]

    def _files(self, where: Path | None) -> list[Path]:
        if where is not None and where.is_file():
            return [where]
        folder = where or self._load(self._candidate).policy_folder / "cases"
        files = sorted(file for pattern in ("*.yaml", "*.yml") for file in folder.glob(pattern) if file.is_file())
        if not files:
            _stop(f"there are no cases in {folder}")
        return files

    def _policy_of(self, cases: Cases, problems: list[Problem]) -> tuple[CompiledPolicy | None, Snapshot]:
        """The policy that the cases name, and the configuration with it; None: each agent's own."""
        from gateway.config.problems import did_you_mean

        file, name = cases.policy_file, cases.written.policy
        snapshot = self._load(self._candidate)
        if file is not None:
            theirs = self._load(file)
            name, known = theirs.policies[0].name, theirs.compiled_policies
            if self._candidate is None or name != snapshot.policies[0].name:
                snapshot = theirs
        elif name is None:
            return None if self._candidate is None else self._named(snapshot, snapshot.policies[0].name), snapshot
        known = snapshot.compiled_policies
        if name not in known:
            cases.tree.complain(
                ("policy",), f"no policy that chooses models is called {name!r}{did_you_mean(name, known)}"
            )
            problems.append(cases.tree.document.problems[-1])
            return None, snapshot
        return known[name], snapshot

    def _named(self, snapshot: Snapshot, name: str) -> CompiledPolicy:
        found = snapshot.compiled_policies.get(name)
        return found if found is not None else _stop(f"the policy in {self._candidate} chooses no models")

    def _concerned(self, policy: CompiledPolicy | None) -> bool:
        return self._candidate is None or policy is None or policy.name == self._load(self._candidate).policies[0].name

    def _read(self, policy: Path | None) -> Snapshot:
        from gateway.config import ConfigError
        from gateway.config.loader import load

        try:
            return load(self._config, self._environ, policy=policy)
        except ConfigError as error:
            _stop_at(error.problems)


def _run(cases: Cases, policy: CompiledPolicy | None, snapshot: Snapshot) -> list[Result]:
    from gateway.reports.cases import run_case

    now_s = time.time()
    results = []
    for index, case in enumerate(cases.written.cases):
        own = policy or snapshot.agent_policies.get(case.request.agent)
        place = cases.place(index)
        outcome = run_case(case, own, snapshot, now_s)
        results.append(Result(f"{place.file}:{place.line}", case.name, "" if own is None else own.name, outcome))
    return results


def _summary(results: list[Result]) -> dict[str, Any]:
    return {
        "ok": all(result.passed for result in results),
        "passed": sum(result.passed for result in results),
        "failed": sum(not result.passed for result in results),
        "cases": [
            {
                "name": result.name,
                "place": result.place,
                "policy": result.policy,
                "passed": result.passed,
                "model": next((model.name for model in result.outcome.decision.models), None),
                "rule": result.outcome.decision.rule,
                "reason": result.outcome.decision.reason,
                "differences": [each._asdict() for each in result.outcome.differences],
            }
            for result in results
        ],
    }


def _print_results(results: list[Result]) -> None:
    rows = [("", "policy", "case", "model", "rule"), *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    failed = [result for result in results if not result.passed]
    for result in failed:
        decision = result.outcome.decision
        typer.echo(f"\n{result.place}: {result.name}")
        typer.echo(f"  {decision.rule}: {decision.reason}")
        for model, reason in decision.exclusions.items():
            typer.echo(f"  {model} is excluded: {reason}")
        for setting, expected, got in result.outcome.differences:
            typer.echo(f"  {setting}\n    - {expected}\n    + {got}")
    typer.echo(f"\n{len(results) - len(failed)} passed, {len(failed)} failed")


def _row(result: Result) -> tuple[str, str, str, str, str]:
    decision = result.outcome.decision
    model = next((model.name for model in decision.models), "none")
    return "pass" if result.passed else "FAIL", result.policy or "none", result.name, model, decision.rule


def _stop(message: str) -> NoReturn:
    typer.echo(f"farebox test: {message}", err=True)
    raise typer.Exit(USAGE)


def _stop_at(problems: list[Problem]) -> NoReturn:
    from gateway.config import ConfigError

    for problem in ConfigError(problems).problems:
        typer.echo(str(problem), err=True)
    _stop(f"{len(problems)} problem(s); nothing was tested")
