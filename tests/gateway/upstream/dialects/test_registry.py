"""Every name that the configuration knows stands for a dialect, and none is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.config.dialects import DIALECTS
from gateway.upstream.dialects import registry


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_found_by_its_name(name: str) -> None:
    found = registry.find(name)

    assert found.name == name
    assert found.credentials == DIALECTS[name].credentials
    assert "chat" in found.apis
    assert registry.find(name) is found


def test_another_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="elsewhere"):
        registry.find("elsewhere")


def test_only_openais_is_loaded_at_the_start() -> None:
    code = (
        "import sys\n"
        "from gateway.upstream.dialects import registry\n"
        "prefix = registry.__package__ + '.'\n"
        "def loaded():\n"
        "    return {name.removeprefix(prefix) for name in sys.modules if name.startswith(prefix)}\n"
        "before = loaded()\n"
        "registry.find('groq')\n"
        "sys.exit(0 if before == {'complaints', 'openai', 'protocol', 'registry'} and 'groq' in loaded() else 1)\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
