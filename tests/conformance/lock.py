"""`python -m tests.conformance.lock [NAME ...]`: resolve the environments' lists again, to the newest versions.

What is wanted stands in the second line of each list. JavaScript's is package.json: `npm update` in its folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conformance.environments import LISTS, program

FIRST_LINE = "# Pinned for `make conformance`, without hashes: Farebox needs none of it. See tests/conformance/lock.py"
WANTED = "# wanted: "


def lock(file: Path) -> None:
    """Resolve one list again."""
    wanted = file.read_text("utf-8").splitlines()[1].removeprefix(WANTED)
    command = [
        program("uv"),
        "pip",
        "compile",
        "--quiet",
        "--python-version",
        "3.11",
        "--no-emit-index-url",
        "--no-header",
    ]
    command += ["--no-annotate", "--prerelease", "if-necessary", "-"]
    done = subprocess.run(command, input=wanted.replace(" ", "\n"), capture_output=True, text=True, check=True)
    file.write_text(f"{FIRST_LINE}\n{WANTED}{wanted}\n{done.stdout}", "utf-8")


if __name__ == "__main__":
    for each in sorted(LISTS.glob("*.txt")):
        if not sys.argv[1:] or each.stem in sys.argv[1:]:
            lock(each)
