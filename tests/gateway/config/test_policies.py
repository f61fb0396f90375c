from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Load, Problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "policies"
    path.mkdir()
    (path / "default.yaml").write_text("name: default\nstrategy: ordered\n")
    return path


def test_policies_are_part_of_the_snapshot(load_text: Load, folder: Path) -> None:
    snapshot = load_text("")

    assert [policy.name for policy in snapshot.policies] == ["default"]
    assert folder / "default.yaml" in snapshot.files
    assert folder in snapshot.folders


def test_no_folder_has_no_policies(load_text: Load) -> None:
    assert load_text("").policies == ()


def test_a_folder_that_is_asked_for_must_be_there(problems: Problems) -> None:
    assert problems("policies: elsewhere") == ["config.yaml:1:11: policies: no such folder"]


def test_policies_are_read_strictly(problems: Problems, folder: Path) -> None:
    (folder / "a.yaml").write_text("name: default\nstrategy: cheapest\nrule: []\n")
    (folder / "b.yml").write_text("")
    (folder / "c.yaml").write_bytes(b"\xff")
    (folder / "d.yaml").write_text("- a\n")
    (folder / "e.yaml").write_text("name: default\n")

    assert problems("srver: 1") == [
        "config.yaml:1:1: srver: unknown setting 'srver'; did you mean 'server'?",
        "policies/a.yaml:2:1: strategy: has no effect: the policy has no `tiers`, no `rules` and no `default`",
        "policies/a.yaml:3:1: rule: unknown setting 'rule'; did you mean 'rules'?",
        "policies/b.yml:1:1: needs `name`",
        "policies/c.yaml:1:1: is not UTF-8 text (byte 0)",
        "policies/d.yaml:1:1: should be a mapping of settings, not a list",
        "policies/e.yaml:1:7: name: 'default' is already the name of the policy in policies/default.yaml",
    ]


LOADS = """
import sys
from pathlib import Path
from gateway.config.loader import load
load(Path("config.yaml"), {})
print(*[name for name in ("routing.policy", "routing.conditions", "cel_expr_python") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("policy", "modules"),
    [
        ("name: default\nstrategy: ordered\n", ""),
        ("name: default\nrules: [{name: r, use: m}]\ndefault: m\n", "routing.policy"),
        (
            "name: default\nrules: [{name: r, when: stream, use: m}]\ndefault: m\n",
            "routing.policy routing.conditions cel_expr_python",
        ),
    ],
)
def test_what_a_policy_does_not_need_is_not_loaded(folder: Path, policy: str, modules: str) -> None:
    (folder / "default.yaml").write_text(policy)
    (folder.parent / "config.yaml").write_text(
        "providers: {p: {base_url: http://127.0.0.1:9/v1}}\n"
        'models: {m: {provider: p, price: {input: "1", output: "1"}}}\n'
    )

    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True, cwd=folder.parent)

    assert done.stdout.strip() == modules


def test_an_idle_policy_with_an_unusual_name_is_one_too(load_text: Load, folder: Path) -> None:
    (folder / "other.yaml").write_text("name: my-own.policy_2\ndescription: none\n")

    snapshot = load_text("")

    assert [policy.name for policy in snapshot.policies] == ["default", "my-own.policy_2"]
    assert snapshot.compiled_policies == {}
