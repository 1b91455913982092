from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.linting import paths
from hptransfer.linting.paths import select
from hptransfer.recipe.load import STDIN
from tests.support.recipe_texts import GPT, MLP, edited

TARGET = "format: 7\nparameterization: mup\nmodel: {}\ntraining: {}\n"
WORKFLOW = "name: ci\non: push\njobs: {}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with recipes and other YAML in it."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "recipes/b.yaml": MLP,
        "recipes/a.yml": GPT,
        "recipes/deep/c.yaml": "# comment\n{name: small, model: {kind: mlp}, sizes: {}}\n",
        "recipes/broken.yaml": edited(MLP, ("steps: 100", "steps: [100")),
        "recipes/ci.yaml": WORKFLOW,
        "recipes/runs/tiny/target.yaml": TARGET,
        "recipes/.hidden/d.yaml": MLP,
        "recipes/notes.txt": MLP,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_folders_recipes_are_told_from_its_other_yaml(folder: Path) -> None:
    """By their keys, broken ones too; results and other tools' files are passed over, with the reason."""
    found = select(["recipes"])

    assert found.recipes == ("recipes/a.yml", "recipes/b.yaml", "recipes/broken.yaml", "recipes/deep/c.yaml")
    assert found.faults == ()
    assert [clause.partition(": ")[::2] for clause in found.passed_over] == [
        ("recipes/.hidden", "hidden"),
        (
            "recipes/ci.yaml",
            "no recipe: none of `parameterization`, `sizes` or `tune` among two keys of a recipe at its top",
        ),
        ("recipes/runs/tiny/target.yaml", "a result, by its `format`"),
    ]


def test_each_file_once_in_the_order_of_the_arguments(folder: Path) -> None:
    """Whatever it is called, by a link, by a hard link, twice or in a folder."""
    (folder / "linked.yaml").symlink_to("recipes/b.yaml")
    os.link(folder / "recipes" / "b.yaml", folder / "hard.yaml")

    found = select(["linked.yaml", "recipes/*.y*ml", "hard.yaml", "recipes", "recipes"])

    assert found.recipes == (
        "linked.yaml",
        "recipes/a.yml",
        "recipes/broken.yaml",
        "recipes/ci.yaml",  # a glob names files, as a shell would have done
        "recipes/deep/c.yaml",
    )


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("nothing*.yaml", "path/nothing"),
        ("empty", "path/nothing"),
        ("out.yaml", "path/outside"),
        ("folder/x.yaml", "path/outside"),
        ("o*.yaml", "path/outside"),
        ("{here}/out.yaml", "path/outside"),
        ("recipes/../out.yaml", "path/outside"),
    ],
)
def test_what_means_nothing_or_leads_out_is_an_error(folder: Path, argument: str, code: str) -> None:
    """A path that matches nothing must not look like success; a link must not read other people's files."""
    (folder / "empty").mkdir()
    (folder / "empty" / "ci.yaml").write_text(WORKFLOW)
    (folder / "out.yaml").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("..")

    found = select([argument.format(here=folder)])

    assert [(finding.code, str(finding.place)) for _, finding in found.faults] == [(code, argument.format(here=folder))]
    assert found.recipes == ()


def test_trust_follows_links(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link of one's own may lead anywhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "e.yaml"
    elsewhere.write_text(MLP)
    (folder / "out.yaml").symlink_to(elsewhere)

    assert select(["out.yaml"]).recipes == ()
    assert select(["out.yaml"], trusted=True).recipes == ("out.yaml",)


def test_names_of_shipped_recipes_and_missing_files_are_left_to_the_reader(folder: Path) -> None:
    """They are no paths to look for; who reads them says more."""
    assert select(["quickstart", "missing.yaml"]).recipes == ("quickstart", "missing.yaml")


def test_there_is_an_end_to_recipes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound it is an error, not a silent half."""
    monkeypatch.setattr(paths, "MOST_RECIPES", 2)

    found = select(["recipes"])

    assert len(found.recipes) == 2
    assert [finding.code for _, finding in found.faults] == ["path/limits"]


def test_the_command_takes_them_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings of every recipe, what was passed over on standard error, 2 where an argument means nothing."""
    assert validate_command(["recipes"]) == 1
    said = capsys.readouterr()
    assert "4 recipes checked" in said.out
    assert "note: passed over recipes/ci.yaml: no recipe" in said.err

    assert validate_command(["recipes/b.yaml", "nothing*"]) == 2
    assert "error[HPT902]: nothing*: a glob must match a file" in capsys.readouterr().out


def test_a_name_that_steers_a_terminal_is_printed_safely(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files are a stranger's text too, those passed over as well."""
    (folder / "x").mkdir()
    (folder / "x" / "\x1b[2Ja.yaml").write_text(MLP)
    (folder / "x" / "\x1b[2Jb.yaml").write_text(WORKFLOW)

    validate_command(["x"])

    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "[2Ja.yaml: valid" in said.out
    assert "[2Jb.yaml" in said.err


def test_a_recipe_from_the_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-` is a recipe in the current folder; its findings name it `<stdin>`."""
    assert select(["-"]).recipes == (STDIN,)
    for text, status in ((MLP, 0), (edited(MLP, ("steps: 100", "steps: 0")), 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert validate_command(["-"]) == status
    assert "error[HPT010]: <stdin>:5:" in capsys.readouterr().out


def test_caps_on_trials(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More trials than the validator allows are an error at `static`, exactly beyond the recipe's own number."""
    assert validate_command(["recipes/b.yaml"], max_trials=10_000) == 0
    assert validate_command(["recipes/b.yaml"], max_trials=1) == 1
    said = capsys.readouterr().out
    needed = int(said.split("received: at least ")[1].split(":")[0])

    assert validate_command(["recipes/b.yaml"], max_trials=needed) == 0
    assert validate_command(["recipes/b.yaml"], max_trials=needed - 1) == 1
    # 16 of tune, 2 that confirm; 8 half octaves within 2 octaves of 0.004, 2 seeds, at the 3 widths beside the proxy's
    assert needed == 16 + 2 + 8 * 2 * 3


def test_caps_on_flops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FLOPs are counted by building the model, so a cap asks for `shapes`; `static` alone says it did not decide."""
    assert validate_command(["recipes/b.yaml"], max_flops=1e18) == 0
    assert "valid (static, shapes)" in capsys.readouterr().out
    assert validate_command(["recipes/b.yaml"], max_flops=1e6) == 1
    assert "a recipe may take at most 1e+06 FLOPs (--max-flops)" in capsys.readouterr().out
    assert validate_command(["recipes/b.yaml"], level=["static"], max_flops=1e6) == 0
    assert "static did not decide whether it takes at most 1e+06 FLOPs" in capsys.readouterr().out


def test_a_check_of_endless_trials_is_no_recipe(folder: Path) -> None:
    """Its trials are counted from the keys, before anything lists them."""
    text = edited(MLP, ("tune:\n", "check: {spacing: 0.03125, octaves: 16, seeds: 100}\ntune:\n"))
    Path("endless.yaml").write_text(text)

    assert validate_command(["endless.yaml"]) == 1


def test_what_lies_here_goes_before_a_shipped_recipe(folder: Path) -> None:
    """A folder that is called as a shipped recipe was committed to be checked; the shipped one was not."""
    (folder / "images").mkdir()
    (folder / "images" / "mine.yaml").write_text(MLP)

    assert select(["images"]).recipes == ("images/mine.yaml",)
    assert select(["gpt"]).recipes == ("gpt",)


def test_a_link_that_leads_nowhere_is_named(folder: Path) -> None:
    """A recipe that was replaced by such a link is not checked, and that is said."""
    (folder / "recipes" / "gone.yaml").symlink_to("nowhere.yaml")

    assert "recipes/gone.yaml: a link that leads nowhere" in select(["recipes"]).passed_over


def test_a_closed_standard_input_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python has no stream then; nothing was read, so the exit status is 2."""
    monkeypatch.setattr(sys, "stdin", None)

    assert validate_command(["-"]) == 2
    assert "standard input is closed" in capsys.readouterr().out
