"""A program's own configuration with values in it: four forms, types kept, keys that must exist."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from hptransfer.errors import UsageError
from hptransfer.recipe.command_sections import ConfigFile
from hptransfer.recipe.sections import Setting
from hptransfer.trainers._rendered_config import rendered_config

DATA: dict[str, Any] = {
    "name": "gpt",
    "seed": 1,
    "optim": {"lr": 0.001, "betas": [0.9, 0.95], "fused": True, "name": "adamw"},
    "stages": [{"steps": 10}, {"steps": 20}],
}
SET: dict[str, Setting] = {
    "optim.lr": 1e-07,
    "optim.betas.1": 0.8,
    "optim.fused": False,
    "stages.1.steps": 30,
    "name": "gpt\n'\"é",
}


def rendered(folder: Path, name: str, text: str, values: dict[str, Setting], *, new: bool = False) -> str:
    """The text that is written for a template."""
    (folder / name).write_text(text, encoding="utf-8")
    return rendered_config(ConfigFile(template=name, new=new), folder, values)


@pytest.mark.parametrize(
    ("name", "dump", "load"),
    [("base.json", json.dumps, json.loads), ("base.yaml", yaml.safe_dump, yaml.safe_load)],
)
def test_data_keep_everything_but_what_is_set(name: str, dump: Any, load: Any, tmp_path: Path) -> None:
    """Read back by the form's own library: floats, lists, truth values and text exactly."""
    found = load(rendered(tmp_path, name, dump(DATA), SET))

    assert found == {
        "name": "gpt\n'\"é",
        "seed": 1,
        "optim": {"lr": 1e-07, "betas": [0.9, 0.8], "fused": False, "name": "adamw"},
        "stages": [{"steps": 10}, {"steps": 30}],
    }
    assert type(found["optim"]["lr"]) is float
    assert type(found["stages"][1]["steps"]) is int


TOML = """\
title = "a \\"b\\" é \\u0001" # a comment
day = 2026-01-02
at = 2026-01-02T03:04:05Z
"dotted.key" = [1, 2.0, [true, false]]
big = 1e16
[optim]
lr = 0.001
[optim.inner]
x = {y = 1}
[[stages]]
steps = 10
[[stages]]
steps = 20
[[stages.parts]]
a = inf
"""


def test_toml_reads_back_with_the_standard_library(tmp_path: Path) -> None:
    """Tables, arrays of tables, dates, quoted keys; whole floats stay floats."""
    wanted = tomllib.loads(TOML)
    wanted["optim"]["lr"], wanted["stages"][1]["steps"], wanted["title"] = 2.0, 30, 'c"\n\x7f'
    values: dict[str, Setting] = {"optim.lr": 2.0, "stages.1.steps": 30, "title": 'c"\n\x7f'}
    found = tomllib.loads(rendered(tmp_path, "base.toml", TOML, values))

    assert found == wanted
    assert type(found["optim"]["lr"]) is float
    assert type(found["big"]) is float


PYTHON = """\
# é, a comment
learning_rate = 6e-4  # é, of nanoGPT
n_embd: int = 384
optim = dict(lr=1.0, extra={'eps': 1e-8})
long = (
    1
    + 2
)
def f():
    learning_rate = 5
"""


def test_python_keeps_its_text(tmp_path: Path) -> None:
    """Only values of assignments at the top change; nothing is executed."""
    values: dict[str, Setting] = {"learning_rate": 1e-07, "n_embd": 64, "optim.extra.eps": 1e-9, "long": 4}
    wanted = (
        PYTHON.replace("6e-4", "1e-07", 1)
        .replace("384", "64")
        .replace("1e-8", "1e-09")
        .replace("(\n    1\n    + 2\n)", "(\n    4\n)")
    )

    assert rendered(tmp_path, "config.py", PYTHON, values) == wanted


@pytest.mark.parametrize(
    ("name", "text"), [("a.yaml", "optim: {lr: 1}"), ("a.toml", "optim = {lr=1}"), ("a.py", "lr = 1")]
)
def test_keys_must_exist(name: str, text: str, tmp_path: Path) -> None:
    """A mistyped one would leave the template's value in force; `new` allows it."""
    with pytest.raises(UsageError, match="must name keys that the template has") as caught:
        rendered(tmp_path, name, text, {"rl": 1})
    assert "`new: true`" in str(caught.value.findings[0].hint)

    assert "rl" in rendered(tmp_path, name, text, {"rl": 1}, new=True)


def test_numbers_of_yaml_are_those_of_its_newer_version(tmp_path: Path) -> None:
    """`1e-3` of a template is no text."""
    assert yaml.safe_load(rendered(tmp_path, "a.yaml", "lr: 1e-3\nday: 2026-01-02\n", {})) == {
        "lr": 0.001,
        "day": "2026-01-02",
    }


@pytest.mark.parametrize(
    ("name", "text"), [("a.yaml", "a: [1"), ("a.json", "{"), ("a.toml", "a ="), ("a.py", "a = ("), ("a.ini", "a=1")]
)
def test_a_template_that_cannot_be_read_is_named(name: str, text: str, tmp_path: Path) -> None:
    """A user's error, whatever the form."""
    with pytest.raises(UsageError):
        rendered(tmp_path, name, text, {})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a.7", "entries are 0 to 1"),
        ("a.-1", "entries are 0 to 1"),
        ("a.x", "entries are 0 to 1"),
        ("a.0.q", "must belong to a section"),
        ("b.0", "the list is empty"),
    ],
)
def test_what_no_list_has_is_refused(key: str, said: str, tmp_path: Path) -> None:
    """Also where new keys are welcome."""
    with pytest.raises(UsageError) as caught:
        rendered(tmp_path, "base.yaml", "a: [1, 2]\nb: []\n", {key: 3}, new=True)
    finding = caught.value.findings[0]
    assert said in f"{finding.rule} {finding.hint}"
    assert finding.place is not None


LEVELS = "".join(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]\n" for level in range(1, 30))
MERGES = "".join(f"m{level}: &m{level} {{<<: [{', '.join([f'*m{level - 1}'] * 9)}]}}\n" for level in range(1, 30))


@pytest.mark.parametrize("text", ["l0: &l0 [1, 2]\n" + LEVELS, "m0: &m0 {a: 1}\n" + MERGES, "a: &a [*a]\n"])
def test_aliases_of_aliases_are_refused(text: str, tmp_path: Path) -> None:
    """Expanded they would fill any memory."""
    with pytest.raises(UsageError, match="template must be readable"):
        rendered(tmp_path, "base.yaml", text, {"l0.0": 3}, new=True)


def test_an_alias_does_not_change_with_what_it_names(tmp_path: Path) -> None:
    """One key is set, and no other."""
    text = "a: &a {lr: 1}\nb: *a\nc: {<<: *a, x: 2}\n"
    found = yaml.safe_load(rendered(tmp_path, "base.yaml", text, {"a.lr": 3}))

    assert found == {"a": {"lr": 3}, "b": {"lr": 1}, "c": {"lr": 1, "x": 2}}


@pytest.mark.parametrize("kind", ["device", "pipe", "outside", "folder", "long"])
def test_a_template_is_a_regular_file_of_the_recipes(kind: str, tmp_path: Path) -> None:
    """Nothing is waited for, and nothing of another folder's file is told."""
    root = tmp_path / "recipe"
    root.mkdir()
    path = root / "base.yaml"
    (tmp_path / "other.yaml").write_text("secret: 1\n")
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "outside":
        path.symlink_to(tmp_path / "other.yaml")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("#" * (1 << 20) + "\n")

    with pytest.raises(UsageError, match="must be a file that can be read") as caught:
        rendered_config(ConfigFile(template="base.yaml"), root, {"secre": 1})
    assert "secret" not in f"{caught.value} {caught.value.findings[0].hint}"
