"""Recipes in a folder, written as no line shows; what others' files have at their top is no matter of lines either."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from hptransfer.artifacts.plan_file import PlanFile
from hptransfer.artifacts.recipe_snapshot import RecipeSnapshot
from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.linting.paths import select
from hptransfer.linting.recognised import why_no_recipe
from hptransfer.linting.validate import validate
from hptransfer.recipe.schema import Recipe
from tests.support.recipe_texts import MLP

PLAIN = re.sub(r"(?m)\s*#.*$", "", MLP)
#: ways to write a recipe that are valid when the file is named
VALID = {
    "indented": "".join(f"  {line}\n" for line in PLAIN.splitlines()),
    "question": re.sub(r"(?m)^(sizes|tune|parameterization):", r"? \1\n:", PLAIN),
    "escaped": re.sub(r"(?m)^(s|t|p)(izes|une|arameterization):", lambda m: f'"\\x{ord(m[1]):02x}{m[2]}":', PLAIN),
    "carriage-returns": PLAIN.strip().replace("\n", "\r"),
    "format-in-a-text": 'description: "a\nformat: x"\n' + PLAIN,
    "document-start": f"--- # first\n{PLAIN}...\n",
}
#: ways that make it a recipe with errors
BROKEN: dict[str, str | bytes] = {
    "tabs-behind-keys": re.sub(r"(?m)^(sizes|tune|parameterization):", r"\1\t:", PLAIN),
    "format": f"format: 1\n{PLAIN}",
    "directive": f"%YAML 1.1\n---\n{PLAIN}",
    "tagged": re.sub(r"(?m)^(sizes|tune|parameterization):", r"!!str \1:", PLAIN),
    "other-line-ends": PLAIN.replace("\n", "\x85"),
    "line-separators": PLAIN.replace("\n", "\u2028"),
    "utf-16": PLAIN.encode("utf-16"),
    "utf-16-without-mark": PLAIN.encode("utf-16-le"),
    "byte-order-mark": "\ufeff" + PLAIN,
    "latin-1": f"{PLAIN}description: caf\xe9\n".encode("latin-1"),
    "invisible-in-keys": re.sub(r"(?m)^(s|t|p)(izes|une|arameterization):", "\\1\u200b\\2:", PLAIN),
    "second-document": f"a: 1\n---\n{PLAIN}",
    "aliases-as-keys": "a: [&s sizes, &m model]\n? *s\n: {}\n? *m\n: {}\n",
    "broken-at-once": f"[\n{PLAIN}",
    "merge-conflict": f"<<<<<<< ours\n{PLAIN}",
    "too-long": PLAIN + "#" * 70_000,
    "long-comment": f"# {'x' * 1_100_000}\n{PLAIN}",
    "many-comments": "# a licence\n" * 6_000 + PLAIN,
    "long-text-in-front": f"description: {'x' * 70_000}\n{PLAIN}",
    "format-and-fault": f"format: 1\nname: q\n}}bad\n{PLAIN}",
    "format-and-few-keys": "format: 1\nname: q\nmodel: {kind: mlp}\nparameterization: {name: mup}\n",
    "in-a-list": f"- {json.dumps(yaml.safe_load(PLAIN))}\n",
    "in-a-list-of-lines": "- " + PLAIN.strip().replace("\n", "\n  "),
    "merged": f"<<: {json.dumps(yaml.safe_load(PLAIN))}\n",
    "merged-from-a-list": f"<<: [{json.dumps(yaml.safe_load(PLAIN))}]\n",
    "merged-by-an-anchor": f"x-all: &all {json.dumps(yaml.safe_load(PLAIN))}\n<<: *all\n",
}
#: files of other tools, which lie beside recipes
OTHERS = {
    "compose": "name: app\nservices:\n  db: {image: postgres, sizes: 3}\n  tune: {}\n",
    "workflow": "name: tune\non: push\njobs:\n  sizes:\n    steps: [{run: tune}]\n",
    "values-in-a-list": "- name\n- sizes\n- tune\n- {sizes: 1, tune: 2, name: x}\n",
    "text-with-keys": "name: x\ntext: |\n  sizes: 1\n  tune: 2\n",
    "one-key": "sizes: [1, 2]\nitems: []\n",
    "template": "{{- if .Values.enabled }}\nkind: Service\n{{- end }}\n",
    "empty": "",
    "result": "format: 9\nparameterization: mup\nmodel: {}\n",
    "deep": "a: " + "[" * 60_000,
    "products": "- {name: x, sizes: [1, 2]}\n- {name: y, sizes: [3]}\n",
    "long": "apiVersion: v1\ndata:\n" + "  key: value\n" * 9_000,
    "long-list": "- {model: 1, name: x}\n" * 9_000,
    "long-data": "data:\n" + "- [1, 2]\n" * 9_000,
    "others-merged": "x-all: &all {restart: always, sizes: 1}\n<<: *all\nservices: {}\n",
}


def _folder(tmp_path: Path, name: str, content: str | bytes) -> Path:
    (tmp_path / "ok.yaml").write_text(MLP)
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / f"{name}.yaml").write_bytes(data)
    return tmp_path / f"{name}.yaml"


@pytest.mark.parametrize("name", VALID)
def test_a_recipe_is_one_however_it_is_written(name: str, tmp_path: Path) -> None:
    """What is valid when it is named is found in its folder."""
    file = _folder(tmp_path, name, VALID[name])

    assert validate(str(file)).errors == ()
    assert str(file) in select([str(tmp_path)]).recipes


@pytest.mark.parametrize("name", BROKEN)
def test_a_recipe_with_a_fault_is_no_other_file(name: str, tmp_path: Path) -> None:
    """What is red when it is named is red in its folder: one line must not hide it."""
    file = _folder(tmp_path, name, BROKEN[name])

    assert validate(str(file)).errors
    assert str(file) in select([str(tmp_path)]).recipes


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_others_are_passed_over(name: str, tmp_path: Path) -> None:
    """By the keys at their top, wherever words of a recipe stand below, and within a bound."""
    file, started = _folder(tmp_path, name, OTHERS[name]), time.monotonic()

    found = select([str(tmp_path)])

    assert found.recipes == (str(tmp_path / "ok.yaml"),)
    assert [clause.partition(": ")[0] for clause in found.passed_over] == [str(file)]
    assert time.monotonic() - started < 5.0


def test_no_result_has_the_keys_that_tell_a_recipe() -> None:
    """Of what commands write, none can be taken for a recipe with a `format`."""
    fields = set().union(*(kind.model_fields for kind in (Tuned, TargetFile, TransferFile, PlanFile, RecipeSnapshot)))

    assert "format" in fields
    assert fields & set(Recipe.model_fields) == {"model", "parameterization", "trainer", "training"}
    assert why_no_recipe(b"format: 1\nmodel: {}\nparameterization: {}\n") == "a result, by its `format`"
    assert why_no_recipe(b"format: 1\nname: x\nparameterization: {}\n") is None
    assert why_no_recipe(b"format: 1\nname: x\nparameterization: {}\nsizes: {}\n") is None


def test_suffixes_of_any_case_and_hidden_files_are_named(tmp_path: Path) -> None:
    """A file that is not looked at is said to be none of those that were."""
    for name in ("a.YAML", "b.Yml", "c.yaml", ".d.yaml", ".e/f.yaml", "g/.h/i.yaml", ".git/j.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(MLP)
    (tmp_path / "elsewhere").symlink_to("g")
    (tmp_path / "out").symlink_to("/etc")

    found = select([str(tmp_path)])

    assert found.recipes == tuple(str(tmp_path / name) for name in ("a.YAML", "b.Yml", "c.yaml"))
    assert found.passed_over == tuple(
        f"{tmp_path}/{clause}"
        for clause in (
            ".d.yaml: hidden",
            ".e: hidden",
            "elsewhere: a link to a folder",
            "g/.h: hidden",
            "out: a link that leads out",
        )
    )


def test_many_files_of_others_take_a_moment(tmp_path: Path) -> None:
    """What each file costs does not grow with their number."""
    (tmp_path / "ok.yaml").write_text(MLP)
    seconds = {}
    for count in (500, 2_000):
        for number in range(count):
            (tmp_path / f"{number}.yaml").write_text("on: push\njobs: {}\n")
        started = time.process_time()
        assert len(select([str(tmp_path)]).passed_over) == count
        seconds[count] = time.process_time() - started

    assert seconds[2_000] < 8 * seconds[500]
