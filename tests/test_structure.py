"""The house rules that can be counted: who may import whom, what is pure, how large things may grow."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "routing")

LEVELS = {
    # 0 and 1 are pure.
    "routing": 0,
    "gateway": 0,  # the package itself: its version
    "gateway.errors": 1,
    "gateway.identity.keys": 1,
    "gateway.pricing.estimate": 1,
    "gateway.telemetry.events": 1.3,
    "gateway.telemetry.redact": 1.3,
    "gateway.config.snapshot": 1.5,
    "gateway.guard.settings": 1,
    "gateway.limits": 1.1,
    "gateway.ledger": 1.2,
    "gateway.pricing": 1.5,
    "gateway.pricing.bounds": 1.6,
    "gateway.pricing.extents": 1.55,
    "gateway.reply": 3.6,
    "gateway.uploads": 3.65,
    "gateway.wire": 1.5,
    "gateway.guard": 1.7,
    "gateway.lean": 1.9,
    "gateway.config": 2,
    "gateway.identity": 2,
    "gateway.journal": 3,
    "gateway.learned": 3.1,
    "gateway.store": 3.2,
    "gateway.telemetry": 3,
    "gateway.upstream": 3,
    "gateway.alerting": 3.4,
    "gateway.context": 3.5,
    "gateway.deciding": 3.8,
    "gateway.deciding.decided": 3.4,
    "gateway.admission": 3.7,
    "gateway.admission.bids": 3.3,
    "gateway.admission.claims": 3.25,
    "gateway.admission.permit": 3.4,
    "gateway.responses": 3.9,
    "gateway.exchange": 4,
    "gateway.counting": 4,
    "gateway.pipeline": 4.5,
    "gateway.reports": 4.6,
    "gateway.runs": 4.62,
    "gateway.feedback": 4.62,
    "gateway.governance": 4.65,
    "gateway.services": 4.7,
    "gateway.api": 5,
    "gateway.simulator": 5,
    "gateway.app": 6,
    "gateway.serving": 6.3,
    "gateway.demo": 6.5,
    "gateway.cli": 7,
    "gateway.telemetry.boards": 8,  # a program of development, which nothing imports
}
"""A module belongs to the longest name that begins its own. It imports from lower levels, and from that name's modules.

Decimals put modules of one level of the design in order; docs/architecture.md draws it.
"""
PURE_BELOW = 2

_IMPURE = """
    aiosqlite asyncio concurrent fcntl http httptools io logging mmap multiprocessing os pathlib pickle queue random
    sched secrets select selectors shutil signal socket socketserver sqlite3 ssl subprocess sys tempfile threading time
    urllib.request uuid uvloop
"""
IMPURE_MODULES = frozenset(_IMPURE.split())
IMPURE_CALLS = frozenset(("open", "print", "input", "now", "utcnow", "today", "eval", "exec"))

IMPURE_ALLOWED = {
    "gateway/pricing/cache.py": (
        {"os", "pathlib", "subprocess", "sys", "tempfile"},
        "keeps the compiled price table in a file and compiles it in a process of its own, at load only",
    ),
    "gateway/pricing/compile.py": ({"pathlib", "sys"}, "the program that this process runs"),
    "gateway/pricing/table.py": ({"pathlib"}, "passes the cache's folder on; a type only"),
    "gateway/lean/packages.py": ({"sys"}, "what has been imported; nothing else is done with it"),
    "gateway/config/snapshot.py": ({"pathlib"}, "files that the operator named; a type only, nothing is read"),
}

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_PARAMETERS = 6

TESTS_WITHOUT_SOURCE = {
    "tests/conformance": "the real SDKs, in environments of their own",
    "tests/integration": "real servers, SDKs and processes from end to end",
    "tests/simulation": "the whole path on virtual time, between simulated providers and clients",
    "tests/gateway/guard/corpus": "histories of agents that the guard is measured by",
}


class Function(NamedTuple):
    place: str
    lines: int
    parameters: int
    command: bool
    """A typer command: each parameter is an option of the command line."""


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    return frozenset(module_name(path) for path in sources(*PACKAGES))


def unit_of(module: str) -> str:
    """The longest name in LEVELS that begins a module's; `gateway` itself stands for its `__init__` only."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    found = next((name for name in names if name in LEVELS), None)
    assert found is not None, f"{module} has no level: put it in LEVELS"
    assert found != "gateway" or module == "gateway", f"{module} has no level: put it in LEVELS"
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every import statement of a file: at its top, in functions, under TYPE_CHECKING."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield node.lineno, deeper if deeper in modules() else base


# --- imports ---


def test_every_level_is_used_or_planned() -> None:
    planned = {"gateway.ledger", "gateway.store", "gateway.reports"}
    assert set(LEVELS) - {unit_of(module) for module in modules()} <= planned


def test_imports_go_to_a_lower_level() -> None:
    wrong = []
    for path in sources(*PACKAGES):
        unit = unit_of(module_name(path))
        for line, target in imports(path):
            if target.partition(".")[0] not in PACKAGES:
                continue
            target_unit = unit_of(target)
            if target_unit != unit and LEVELS[target_unit] >= LEVELS[unit]:
                wrong.append(f"{where(path)}:{line} (level {LEVELS[unit]}) imports {target} ({LEVELS[target_unit]})")
    assert wrong == []


def test_nothing_imports_tests_or_benchmarks() -> None:
    wrong = [
        f"{where(path)}:{line} imports {target}"
        for path in sources(*PACKAGES)
        for line, target in imports(path)
        if target.partition(".")[0] in ("tests", "benchmarks")
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["prometheus_client", "sqlalchemy", "pydantic", "litellm", "fastapi"])
def test_the_requests_path_stays_clear_of(module: str) -> None:
    """The path hands frozen events to adapters; what is heavy stays behind them."""
    path_units = {
        "gateway.wire",
        "gateway.upstream",
        "gateway.context",
        "gateway.exchange",
        "gateway.pipeline",
        "gateway.reply",
    }
    wrong = [
        f"{where(path)}:{line} imports {target}"
        for path in sources("gateway")
        if unit_of(module_name(path)) in path_units
        for line, target in imports(path)
        if target.partition(".")[0] == module and "dialects" not in path.parts
    ]
    assert wrong == []


# --- purity ---


def impurities(path: Path) -> Iterator[tuple[int, str]]:
    """Modules and calls that touch the world outside."""
    for line, target in imports(path):
        top = target.partition(".")[0]
        if top in IMPURE_MODULES or target in IMPURE_MODULES:
            yield line, top if top in IMPURE_MODULES else target
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name in IMPURE_CALLS:
                yield node.lineno, f"{name}()"
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await) and not _is_protocol(path):
            yield node.lineno, "async"


def _is_protocol(path: Path) -> bool:
    return where(path) == "gateway/reply.py"  # declares what others await


def pure_sources() -> list[Path]:
    return [path for path in sources(*PACKAGES) if LEVELS[unit_of(module_name(path))] < PURE_BELOW]


def test_what_decides_does_no_io() -> None:
    wrong = []
    for path in pure_sources():
        allowed = IMPURE_ALLOWED.get(where(path), (set(), ""))[0]
        wrong += [f"{where(path)}:{line} uses {name}" for line, name in impurities(path) if name not in allowed]
    assert wrong == []


def test_no_exception_is_stale() -> None:
    for name, (allowed, reason) in IMPURE_ALLOWED.items():
        assert reason
        assert {what for _, what in impurities(ROOT / name)} >= allowed, name


# --- sizes ---


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            names += [each.arg for each in (arguments.vararg, arguments.kwarg) if each is not None]
            parameters = sum(name not in ("self", "cls") for name in names)
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(f"{where(path)}:{node.lineno} {node.name}", lines, parameters, _is_command(path, node))


def _is_command(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    decorators = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    is_command = any(isinstance(each, ast.Attribute) and each.attr in ("command", "callback") for each in decorators)
    return is_command and where(path).startswith("gateway/cli/")


def counted() -> list[Path]:
    return sources(*PACKAGES, "benchmarks", "tests")


def test_files_stay_readable() -> None:
    sizes = {where(path): len(path.read_text("utf-8").splitlines()) for path in counted()}
    assert {name: lines for name, lines in sizes.items() if lines > MAX_FILE_LINES} == {}


def test_functions_fit_a_screen() -> None:
    wrong = [f for path in counted() for f in functions(path) if f.lines > MAX_FUNCTION_LINES]
    assert wrong == []


def test_parameter_lists_stay_short() -> None:
    own = sources(*PACKAGES, "benchmarks")
    wrong = [f for path in own for f in functions(path) if f.parameters > MAX_PARAMETERS and not f.command]
    assert wrong == []


def test_the_largest_of_each_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    own = sources(*PACKAGES, "benchmarks")
    size, path = max((len(path.read_text("utf-8").splitlines()), where(path)) for path in own)
    found = [function for path in own for function in functions(path)]
    longest = max(found, key=lambda function: function.lines)
    widest = max((f for f in found if not f.command), key=lambda function: function.parameters)
    with capsys.disabled():
        print(f"\nlongest file       {size:4} lines       {path}")
        print(f"longest function   {longest.lines:4} lines       {longest.place}")
        print(f"longest parameters {widest.parameters:4}             {widest.place}")


# --- tests mirror the source ---


def test_every_test_directory_mirrors_a_source_one() -> None:
    wrong = []
    for directory in sorted({path.parent for path in sources("tests")}):
        name = where(directory)
        below = directory.relative_to(ROOT / "tests")
        if below.parts and not (ROOT / below).is_dir() and not name.startswith(tuple(TESTS_WITHOUT_SOURCE)):
            wrong.append(name)
        if not (directory / "__init__.py").is_file():
            wrong.append(f"{name} has no __init__.py")
    assert wrong == []


# --- what no file may hold ---

_FORBIDDEN = {
    "a package index": re.compile("|".join(("py" + r"pi\.", "python" + "hosted", r"(?<!emit-)" + "index" + "-url"))),
    "a machine's path": re.compile(
        "|".join(r"(?<![\w.-])/" + name + r"/\w" for name in ("ho" + "me", "Us" + "ers", "wo" + "rk"))
    ),
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_this_machine_or_a_package_index() -> None:
    machine = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 2]
    wrong = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        wrong += [f"{where(path)}: {what}" for what, pattern in _FORBIDDEN.items() if pattern.search(text)]
        wrong += [f"{where(path)}: {place}" for place in machine if place in text]
    assert wrong == []
