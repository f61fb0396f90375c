from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Load, Problems

FREE = 'price: {input: "0", output: "0"}'


@pytest.fixture
def conf_d(tmp_path: Path) -> Path:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("providers:\n  a: {base_url: http://a}\nserver: {port: 4444}\n")
    (folder / "b.yaml").write_text(f"models:\n  m: {{provider: a, {FREE}}}\n")
    return folder


def test_included_files_are_merged_entry_by_entry(load_text: Load, conf_d: Path) -> None:
    snapshot = load_text(
        "include: [conf.d/*.yaml]\nproviders: {own: {base_url: http://own}}\nserver: {host: 127.0.0.1}\n"
    )

    assert set(snapshot.endpoints) == {"own", "a"}
    assert set(snapshot.catalog.models) == {"m"}
    assert snapshot.server.port == 4444
    assert {conf_d / "a.yaml", conf_d / "b.yaml"} < set(snapshot.files)
    assert conf_d in snapshot.folders


def test_an_entry_defined_twice_names_both_places(problems: Problems, conf_d: Path) -> None:
    text = "include: [conf.d/*.yaml]\nproviders:\n  a: {base_url: http://other}\nserver: {port: 1}\nmodels: {}\n"

    first, second = problems(text)

    assert first == "conf.d/a.yaml:2:3: providers.a: 'a' is already defined at config.yaml:3:3"
    assert second == "conf.d/a.yaml:3:10: server.port: 'port' is already defined at config.yaml:4:10"


def test_problems_in_included_files_have_their_place_there(problems: Problems, conf_d: Path) -> None:
    (conf_d / "c.yaml").write_text("models:\n  x: {provider: aa, prize: 1}\n  x: {}\n")

    assert problems("include: [conf.d/*.yaml]\n") == [
        "conf.d/c.yaml:2:17: models.x.provider: no provider is called 'aa'; did you mean 'a'?",
        "conf.d/c.yaml:2:21: models.x.prize: unknown setting 'prize'; did you mean 'price'?",
        "conf.d/c.yaml:3:3: models.x: 'x' is already defined at line 2",
    ]


def test_scalars_are_not_defined_twice_either(problems: Problems, conf_d: Path) -> None:
    (conf_d / "c.yaml").write_text("auth: on\n")

    assert problems("include: [conf.d/c.yaml]\nauth: on\n") == [
        "conf.d/c.yaml:1:1: auth: 'auth' is already defined at config.yaml:2:1"
    ]


def test_what_cannot_be_included(problems: Problems, conf_d: Path) -> None:
    (conf_d / "c.yaml").write_text("[1]")
    (conf_d / "d.yaml").write_text("include: [x.yaml]\n")

    assert problems("include: [conf.d/c.yaml, conf.d/d.yaml, none.yaml, 'no*thing', conf.d/c.yaml]\n") == [
        "conf.d/c.yaml:1:1: an included file is a mapping of settings: `providers:`, `models:`, ...",
        "conf.d/d.yaml:1:1: include: an included file includes nothing itself",
        "config.yaml:1:41: include[2]: no such file",
    ]
    assert problems("include: x.yaml\n") == ["config.yaml:1:10: include: should be a list, not text"]


def test_a_file_that_includes_itself_is_read_once(load_text: Load) -> None:
    assert load_text("include: ['*.yaml']\nserver: {port: 1234}\n").server.port == 1234
