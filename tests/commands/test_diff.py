"""`hptransfer diff`: two versions of recipes, from folders, files and revisions of git."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from hptransfer.commands.diff import diff_command
from hptransfer.errors import UsageError, printable
from hptransfer.linting.compared import trees
from hptransfer.verdict import Verdict
from tests.support.hostile_texts import HOSTILE
from tests.support.recipe_texts import MLP, edited
from tests.support.recipe_versions import found, git, version, with_evidence

OWN = edited(MLP, ("{kind: mlp}", "{kind: factory, factory: net:make}"), ("name: small", "name: own"))
#: with every key that `tune` and `check` may be asked to change
PLAIN = edited(MLP, ("tune:", "check: {octaves: 2, seeds: 2}\ntune:\n  trials: 16"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


# what is compared


def test_folders(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys with their effect; added, removed, moved and unchanged recipes; other YAML is none."""
    other = edited(MLP, ("name: small", "name: other"))
    version(
        "a",
        {
            "x.yaml": MLP,
            "same.yaml": other,
            "old.yaml": edited(MLP, ("name: small", "name: gone")),
            "ci.yml": "on: push",
        },
    )
    moved = edited(MLP, ("name: small", "name: moves"))
    version("a", {"deep/m.yaml": moved})
    version("b", {"x.yaml": edited(MLP, ("steps: 100", "steps: 200")), "same.yaml": other, "m2.yaml": moved})
    version("b", {"new.yaml": edited(MLP, ("name: small", "name: new")), "ci.yml": "on: pull_request"})

    recipes = {each["path"]: each for each in found(capsys, "a", "b")}
    assert {path: each["status"] for path, each in recipes.items()} == {
        "x.yaml": "changed",
        "same.yaml": "unchanged",
        "old.yaml": "removed",
        "m2.yaml": "moved",
        "new.yaml": "added",
    }
    assert recipes["x.yaml"]["changes"] == [{"key": "training.steps", "old": 100, "new": 200, "effect": "trains anew"}]


@pytest.mark.parametrize(
    ("key", "edit", "old", "new"),
    [
        ("tune.space.learning_rate.high", ("high: 1e-1", "high: 0.5"), 0.1, 0.5),
        ("tune.trials", ("trials: 16", "trials: 17"), 16, 17),
        ("check.octaves", ("octaves: 2", "octaves: 3"), 2.0, 3.0),
        ("check.seeds", ("seeds: 2", "seeds: 3"), 2, 3),
        ("description", ("name: small", "description: for a test\nname: small"), "", "for a test"),
    ],
)
def test_keys_that_no_plan_depends_on(
    key: str, edit: tuple[str, str], old: object, new: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each changed key is listed in every format, whether or not the plan at the target could change by it."""
    version("a", {"r.yaml": PLAIN})
    version("b", {"r.yaml": edited(PLAIN, edit)})

    (recipe,) = found(capsys, "a", "b")
    assert recipe["status"] == "changed"
    assert [(each["key"], each["old"], each["new"]) for each in recipe["changes"]] == [(key, old, new)]
    for output_format in ("text", "markdown"):
        diff_command("a", "b", output_format=output_format)
        assert key in capsys.readouterr().out


def test_the_plan_at_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    """From muP to the standard parameterization: width 1024 over 64, so Adam's hidden rate is 16 times what it was."""
    version("a", {"r.yaml": MLP})
    version("b", {"r.yaml": edited(MLP, ("name: mup", "name: standard"))})

    (recipe,) = found(capsys, "a/r.yaml", "b/r.yaml")
    groups = {each["name"]: each for each in recipe["plan"]["groups"]}
    before, after = groups["hidden.*.weight"]["values"]["learning_rate"]
    assert (before, after) == (pytest.approx(0.004 / 16), 0.004)
    assert groups["readout.weight"]["values"]["learning_rate"] == [pytest.approx(0.004 / 16), 0.004]
    assert "learning_rate" not in groups["input.weight"]["values"]
    assert recipe["plan"]["size"] == ["width 1024, depth 4, batch 64"] * 2


def test_a_changed_target(capsys: pytest.CaptureFixture[str]) -> None:
    """Each plan is that of its own target."""
    version("a", {"r.yaml": MLP})
    version("b", {"r.yaml": edited(MLP, ("width: 1024", "width: 2048"))})

    (recipe,) = found(capsys, "a", "b")
    values = {each["name"]: each["values"] for each in recipe["plan"]["groups"]}
    assert values["hidden.*.weight"]["learning_rate"] == [pytest.approx(0.004 / 16), pytest.approx(0.004 / 32)]


def test_tuned_values_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """Where tuned values are committed the plan is theirs, and what they were before is said."""
    a, b = (version(name, {"r.yaml": MLP}) for name in "ab")
    with_evidence(a, rate=0.01)
    with_evidence(b, rate=0.02)

    (recipe,) = found(capsys, "a", "b")
    assert recipe["plan"]["planned_with"] == ["tuned", "tuned"]
    values = {each["name"]: each["values"] for each in recipe["plan"]["groups"]}
    assert values["hidden.*.weight"]["learning_rate"] == [pytest.approx(0.01 / 16), pytest.approx(0.02 / 16)]
    assert diff_command("a", "b") == 0
    assert "tuned learning_rate: 0.01 -> 0.02 (x2)" in capsys.readouterr().out


def test_own_code_is_not_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without `--trust` nothing of it is imported, and both reports say what was not decided."""
    canary = tmp_path / "canary"
    code = f"import pathlib; pathlib.Path({str(canary)!r}).touch()\n"
    version("a", {"r.yaml": OWN, "net.py": code})
    version("b", {"r.yaml": edited(OWN, ("steps: 100", "steps: 200")), "net.py": code})

    (recipe,) = found(capsys, "a", "b")
    assert recipe["plan"] is None
    assert "runs with `--trust` only" in recipe["undecided"][0]
    assert diff_command("a", "a") == 0
    assert "1 recipe that does not change names code of its own" in capsys.readouterr().out
    assert not canary.exists()


@pytest.mark.slow  # two processes that import torch
def test_trusted_code_of_each_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Each version's own module makes its own model, though both are called alike."""
    model = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.table = nn.Embedding(256, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 256{bias})
    def forward(self, x):
        return self.head(self.hidden(self.table(x)))
def make(width, depth):
    return Net(width, depth)
"""
    text = edited(OWN, ("width: 1024, depth: 4", "width: 1024, depth: 2"))
    version("a", {"r.yaml": text, "net.py": model.replace("{bias}", "")})
    version("b", {"r.yaml": text, "net.py": model.replace("{bias}", ", bias=False")})

    (recipe,) = found(capsys, "a", "b", trust=True)
    assert recipe["undecided"] == []
    assert [(each["name"], each["only"]) for each in recipe["plan"]["groups"]] == [("head.bias", "base")]


def test_a_recipe_with_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named with its errors; what it lost, it lost."""
    a = version("a", {"r.yaml": MLP})
    with_evidence(a)
    version("b", {"r.yaml": edited(MLP, ("steps: 100", "steps: -1"))})

    (recipe,) = found(capsys, "a", "b", status=1)
    assert recipe["head"]["errors"] == ["`training.steps >= 1` must hold"]
    assert recipe["regressions"][0] == "verdict TRANSFERS -> none, because the recipe has errors"


@pytest.mark.parametrize("text", ["name: small\n", "", MLP + "#" * 70_000], ids=["a key alone", "empty", "too long"])
def test_a_recipe_does_not_hide(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was a recipe and looks like none any more is a recipe with errors, and not one that was removed."""
    with_evidence(version("a", {"r.yaml": MLP}))
    version("b", {"r.yaml": text})

    (recipe,) = found(capsys, "a", "b", status=1)
    assert recipe["head"]["errors"]
    assert recipe["regressions"][0] == "verdict TRANSFERS -> none, because the recipe has errors"


# verdicts


@pytest.mark.parametrize(
    ("before", "after", "regressions"),
    [
        ({}, {}, []),
        ({}, {"verdict": Verdict.DRIFTS}, ["verdict TRANSFERS -> DRIFTS"]),
        ({}, {"verdict": Verdict.INCONCLUSIVE}, ["verdict TRANSFERS -> INCONCLUSIVE"]),
        ({}, {"standing": "not covered"}, ["target covered -> not covered"]),
        ({}, {"standing": "accepted"}, ["target covered -> accepted"]),
        ({"verdict": Verdict.DRIFTS}, {"verdict": Verdict.DRIFTS}, []),
        ({"verdict": Verdict.DRIFTS}, {}, []),
        (
            {"verdict": Verdict.INCONCLUSIVE, "standing": "not covered"},
            {"verdict": Verdict.DRIFTS, "standing": "not covered"},
            [],
        ),
    ],
)
def test_regressions(
    before: dict[str, Any], after: dict[str, Any], regressions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """TRANSFERS that becomes another verdict, or a target that is not covered any more: exit status 1."""
    for name, changed in (("a", before), ("b", after)):
        with_evidence(version(name, {"r.yaml": MLP}), **changed)

    (recipe,) = found(capsys, "a", "b", status=1 if regressions else 0)
    assert recipe["regressions"] == regressions
    assert diff_command("a", "b") == (1 if regressions else 0)
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("regressed: ")] == [
        f"regressed: r.yaml: {each}" for each in regressions
    ]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_removed_recipe_loses_its_verdict(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """With its run folder or without, exit status 1; without a check, or with a stale one, none is lost."""
    kept = edited(MLP, ("name: small", "name: kept"))
    with_evidence(version("a", {"r.yaml": MLP, "kept.yaml": kept}), verdict=verdict)
    with_evidence(version("b", {"r.yaml": MLP, "kept.yaml": kept}), verdict=verdict)
    Path("b/r.yaml").unlink()
    version("c", {"r.yaml": MLP, "kept.yaml": kept})

    removed = {each["path"]: each for each in found(capsys, "a", "b", status=1)}["r.yaml"]
    assert removed["regressions"] == [f"verdict {verdict} -> none: the recipe was removed"]
    assert diff_command("a", "b") == 1
    said = capsys.readouterr().out
    assert f"regressed: r.yaml: verdict {verdict} -> none: the recipe was removed" in said
    assert "1 verdict regressed" in said
    assert found(capsys, "c", "b")
    version("a", {"r.yaml": edited(MLP, ("steps: 100", "steps: 200"))})
    assert found(capsys, "a", "b")


def test_evidence_goes_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """A changed key that evidence rests on takes the verdict away; a changed description does not."""
    for name in "ab":
        with_evidence(version(name, {"r.yaml": MLP}))
    version("b", {"r.yaml": MLP + "description: another\n"})
    assert found(capsys, "a", "b")[0]["regressions"] == []
    version("b", {"r.yaml": edited(MLP, ("steps: 100", "steps: 200"))})

    (recipe,) = found(capsys, "a", "b", status=1)
    assert recipe["regressions"][0] == "verdict TRANSFERS -> none: the check is of another version of the recipe"
    assert recipe["plan"]["planned_with"] == ["tuned", "tuned for another version"]
    assert "transfer.json is of another version of the recipe" in recipe["head"]["evidence"]["faults"]


def test_another_target_is_not_covered(capsys: pytest.CaptureFixture[str]) -> None:
    """The target is no part of the recipe's hash, so the check stays, and its judgement of the target does not."""
    for name in "ab":
        with_evidence(version(name, {"r.yaml": MLP}))
    version("b", {"r.yaml": edited(MLP, ("width: 1024", "width: 65536"))})

    (recipe,) = found(capsys, "a", "b", status=1)
    assert recipe["regressions"] == ["target covered -> no judgement of this target"]


def test_damaged_evidence_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read counts for nothing."""
    for name in "ab":
        with_evidence(version(name, {"r.yaml": MLP}))
    Path("b/runs/small/transfer.json").write_bytes(b"\xff{")
    Path("b/runs/small/tuned.yaml").write_text("a: &a [*a]")

    (recipe,) = found(capsys, "a", "b", status=1)
    assert recipe["head"]["evidence"]["verdict"] is None
    assert len(recipe["head"]["evidence"]["faults"]) == 2


# revisions of git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One whose branch `base` has a recipe with evidence, and whose work tree has another version of it."""
    folder = version("repo", {"r.yaml": MLP, "recipes/s.yaml": edited(MLP, ("name: small", "name: second"))})
    git("init", "-q", "-b", "base", folder=folder)
    with_evidence(folder)
    git("add", "-A", folder=folder)
    git("commit", "-q", "-m", "a", folder=folder)
    git("checkout", "-q", "-b", "head", folder=folder)
    version(str(folder), {"r.yaml": edited(MLP, ("name: mup", "name: standard"))})
    return folder


def test_revisions(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A branch against the work tree, against a branch, from a folder in the repository, and with paths."""
    monkeypatch.chdir(repository)
    first, second = found(capsys, "base", ".", status=1)
    assert (first["path"], first["status"], second["status"]) == ("r.yaml", "changed", "unchanged")
    assert first["base"]["evidence"]["verdict"] == "TRANSFERS"
    assert first["plan"]["groups"]
    assert [each["path"] for each in found(capsys, "base", ".", ["recipes"])] == ["recipes/s.yaml"]
    assert found(capsys, "base", "r.yaml", status=1) == [first]
    assert found(capsys, "recipes/s.yaml", "base") == [second]
    git("commit", "-q", "-a", "-m", "b", folder=repository)
    assert found(capsys, "base", "head", status=1) == found(capsys, "base", ".", status=1)
    monkeypatch.chdir(repository / "recipes")
    assert [each["path"] for each in found(capsys, "base", "head")] == ["s.yaml"]


def test_a_revision_runs_nothing(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Hooks, the file-system monitor, filters, text conversions and pagers of the repository stay where they are."""
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    program.chmod(0o755)
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        (repository / ".git/hooks" / hook).write_text(program.read_text())
        (repository / ".git/hooks" / hook).chmod(0o755)
    version(str(repository), {".gitattributes": "*.yaml filter=x diff=x\n"})
    names = ("core.fsmonitor", "filter.x.smudge", "filter.x.clean", "diff.x.textconv", "diff.external", "core.pager")
    for name in (*names, "core.sshCommand", "core.gitProxy", "credential.helper"):
        git("config", name, str(program), folder=repository)
    monkeypatch.chdir(repository)
    index = (repository / ".git/index").read_bytes()

    assert diff_command("base", "head") == 0
    assert not canary.exists()
    assert (repository / ".git/index").read_bytes() == index
    git("status", folder=repository)
    assert canary.exists(), "the canary would have shown it"


def test_links_are_not_followed(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Neither those of a revision nor those on disk; a pipe is not waited for."""
    version("outside", {"secret.yaml": edited(MLP, ("name: small", "name: secret"))})
    for name, to in (("link.yaml", "outside/secret.yaml"), ("folder", "outside"), ("loop", "repo")):
        (repository / name).symlink_to(tmp_path / to)
    git("add", "-A", folder=repository)
    git("commit", "-q", "-m", "links", folder=repository)
    os.mkfifo(repository / "pipe.yaml")
    monkeypatch.chdir(repository)

    for head in ("head", "."):
        assert [each["path"] for each in found(capsys, "base", head, status=1)] == ["r.yaml", "recipes/s.yaml"]


def test_what_git_cannot_name(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an option nor an unknown name; a name of both is refused with how to write either."""
    monkeypatch.chdir(repository)
    for name in ("--upload-pack=touch x", "-h", "nowhere", "a\0b", "", "base:r.yaml", "x" * 5000):
        with pytest.raises(UsageError):
            diff_command(name, ".") if name else trees.read_tree("nowhere", (), repository)
    (repository / "base").mkdir()
    with pytest.raises(UsageError, match="path or a revision") as caught:
        diff_command("base", ".")
    assert "refs/heads/base" in str(caught.value)
    with pytest.raises(UsageError, match="lie in both versions"):
        diff_command("refs/heads/base", ".", ["../outside"])


@pytest.mark.parametrize("limit", ["_MOST_ENTRIES", "_MOST_FILES", "_MOST_BYTES"])
def test_what_is_read_is_bounded(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many entries, files or bytes are refused, with what to do."""
    version("a", {f"{number}.yaml": MLP for number in range(5)})
    monkeypatch.setattr(trees, limit, 4)

    with pytest.raises(UsageError, match="of moderate size"):
        diff_command("a", "a")


def test_no_recipe_at_all() -> None:
    """Two versions without a recipe are a mistake of the command line."""
    version("a", {"x.yaml": "a: 1"})

    with pytest.raises(UsageError, match="a recipe in either version"):
        diff_command("a", "a")


@pytest.mark.parametrize("paths", [["nope.yaml"], ["nope.yaml", "./deep/"]])
def test_paths_that_name_no_recipe_are_named(paths: list[str]) -> None:
    """Not only the versions in which they are not."""
    version("a", {"x.yaml": MLP})

    with pytest.raises(UsageError) as error:
        diff_command("a", "a", paths)
    below = " and ".join(os.path.normpath(path) for path in paths)
    assert error.value.findings[0].received == f"none below {below} in a and a"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("main~1..main", "main~1 main"),
        ("main..", "main HEAD"),
        ("..main", "HEAD main"),
        ("main...topic", "$(git merge-base main topic) topic"),
        ("a;b..c", "'a;b' c"),
        ("../nowhere", None),
        ("a/../nowhere", None),
        ("nowhere", None),
    ],
)
def test_a_range_is_two_words(reference: str, words: str | None) -> None:
    """What git writes with dots is two arguments; a path with dots is a path."""
    with pytest.raises(UsageError, match="such a path or revision") as error:
        diff_command(reference, ".")
    hint = str(error.value.findings[0].hint)
    assert hint == (f"write two words: `{words}`" if words else trees._NAMED)


# Markdown


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """What regressed is first; tables of keys and of the plan are folded."""
    for name, verdict in (("a", Verdict.TRANSFERS), ("b", Verdict.DRIFTS)):
        with_evidence(version(name, {"r.yaml": MLP}), verdict=verdict, rate={"a": 0.01, "b": 0.02}[name])
    assert diff_command("a", "b", output_format="markdown") == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[:9] == [
        "### Recipes: a → b",
        "",
        "1 recipe: 1 changed; 1 verdict regressed.",
        "",
        "- **regressed** `r.yaml`: verdict TRANSFERS → DRIFTS",
        "",
        "| recipe |  | verdict | tuned | predicted loss |",
        "| --- | --- | --- | --- | --- |",
        "| `r.yaml` | changed | TRANSFERS, target covered → DRIFTS, target covered | "
        "`learning_rate` 0.01 → 0.02 (x2) |  |",
    ]
    assert "| `hidden.*.weight` | hidden weight | 0.000625 → 0.00125 (x2) |" in lines


def test_markdown_of_hostile_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and values make no markup, no line and no cell of their own."""
    texts = [text for text in HOSTILE if "\0" not in text and "/" not in text and "\ud800" not in text][:150]
    for place, text in enumerate(texts):
        for folder, description in (("a", "x"), ("b", json.dumps(text.encode("utf-8", "replace").decode()))):
            body = edited(MLP, ("name: small", f"name: n{place}\ndescription: {description}"))
            version(folder, {f"{text}.yaml": body})
    assert sum(path.endswith(".yaml") for path in os.listdir("b")) > 100

    for output_format in ("text", "json", "markdown"):
        assert diff_command("a", "b", output_format=output_format) == 0
        said = capsys.readouterr().out
        assert printable(said.replace("\n", "")) == said.replace("\n", "")
    assert len(said) <= 65_536
    own = ("#", "| ", "<details><summary>", "</details>", "Not decided: ", "Error: ", "Evidence: ")
    for line in said.splitlines():
        assert not line or line.startswith(own) or " recipes" in line
        assert not line.startswith("| ") or line.count("|") in (5, 6)
        bare = re.sub(r"`[^`]*`|</?(?:code|details|summary)>|<br>", "", line)
        assert "<" not in bare.replace("<!-- -->", "")  # which splits mentions and links
        assert not re.search(r"@\w|://", bare)


def test_recipes_are_told_as_validate_tells_them(capsys: pytest.CaptureFixture[str]) -> None:
    """By their keys, not by lines: a new one cannot hide by how it is written, and layout alone is no change."""
    indented = "".join(f"  {line}\n" for line in MLP.splitlines())
    other = edited(MLP, ("name: small", "name: other"))
    version("a", {"r.yaml": MLP, "ci.yaml": "on: push\njobs: {}\n"})
    version("b", {"r.yaml": indented, "ci.yaml": "on: pull_request\njobs: {}\n", "new.YAML": f"format: 1\n{other}"})
    version("b", {"braces.yaml": json.dumps({"sizes": {}, "name": "x"})})

    recipes = {each["path"]: each["status"] for each in found(capsys, "a", "b")}

    assert recipes == {"r.yaml": "unchanged", "new.YAML": "added", "braces.yaml": "added"}
