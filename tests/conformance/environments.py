"""An environment for each SDK, made once from its pinned list, in the user's cache: never in the repository."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

LISTS = Path(__file__).parent / "environments"
INSTALL_LIMIT_S = 900.0


class NotInstalled(Exception):
    """The environment could not be made; the message has the installer's last words."""


def cache_folder() -> Path:
    """Where environments are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "farebox-conformance"


class PythonEnvironment:
    """A virtual environment from `environments/NAME.txt`."""

    def __init__(self, name: str) -> None:
        self._list = LISTS / f"{name}.txt"
        self._folder = cache_folder() / f"{name}-{_digest(self._list)}"

    async def make(self) -> None:
        """Install it unless it is there. Raises NotInstalled."""
        if (self._folder / ".made").exists():
            return
        uv = program("uv")
        await _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(self._folder))
        await _run(uv, "pip", "install", "--quiet", "--python", str(self._python), "--requirements", str(self._list))
        (self._folder / ".made").touch()

    def command(self, script: Path) -> list[str]:
        """How a script is run."""
        return [str(self._python), "-W", "ignore", str(script)]

    async def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """The installed versions."""
        return await python_versions(str(self._python), packages)

    @property
    def _python(self) -> Path:
        return self._folder / "bin" / "python"


class NodeEnvironment:
    """A folder with node_modules from `environments/NAME/package-lock.json`."""

    def __init__(self, name: str) -> None:
        self._source = LISTS / name
        self._folder = cache_folder() / f"{name}-{_digest(self._source / 'package-lock.json')}"

    async def make(self) -> None:
        """Install it unless it is there. Raises NotInstalled."""
        if (self._folder / ".made").exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(self._source / name, self._folder / name)
        await _run(program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=self._folder)
        (self._folder / ".made").touch()

    def command(self, script: Path) -> list[str]:
        """How a script is run: a copy of it, since modules are looked for in the folders above a file."""
        for source in script.parent.glob("*.mjs"):
            shutil.copy(source, self._folder / source.name)
        return [program("node"), str(self._folder / script.name)]

    async def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """The installed versions."""
        files = {name: self._folder / "node_modules" / name / "package.json" for name in packages}
        return {name: str(json.loads(file.read_text("utf-8"))["version"]) for name, file in files.items()}


class OwnEnvironment:
    """The project's own, for the SDKs that `make test` runs."""

    async def make(self) -> None:
        """It is there."""

    def command(self, script: Path) -> list[str]:
        """How a script is run."""
        return [sys.executable, "-W", "ignore", str(script)]

    async def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """The installed versions."""
        return await python_versions(sys.executable, packages)


Environment = PythonEnvironment | NodeEnvironment | OwnEnvironment


def environment(name: str) -> PythonEnvironment | NodeEnvironment:
    """By name."""
    return NodeEnvironment(name) if (LISTS / name).is_dir() else PythonEnvironment(name)


async def python_versions(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    """What an environment's interpreter says is installed."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    return dict(json.loads(await _run(python, "-c", code, *packages)))


async def _run(*command: str, folder: Path | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await asyncio.wait_for(process.communicate(), INSTALL_LIMIT_S)
    except TimeoutError:
        raise NotInstalled(f"{command[0]} took more than {INSTALL_LIMIT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise NotInstalled(f"{Path(command[0]).name} {command[1]} failed: {errors.decode(errors='replace')[-2000:]}")
    return out.decode()


def program(name: str) -> str:
    """Where a program is. Raises NotInstalled."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise NotInstalled(f"{name} is not installed")
    return found


def _digest(file: Path) -> str:
    if not file.exists():
        raise NotInstalled(f"there is no {file.name}")
    return hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()[:12]
