from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.errors import RecipeError
from hptransfer.recipe.load import RecipeUnavailableError, load_recipe
from tests.support.recipe_texts import MLP, described, edited, faults, load_text, spots


def test_a_valid_recipe(tmp_path: Path) -> None:
    """Values arrive typed, with defaults filled in, and the file's path and text beside them."""
    loaded = load_text(tmp_path, MLP)

    assert loaded.recipe.sizes.widths == (64, 128, 256, 512)
    assert loaded.recipe.tune.space["learning_rate"].low == 1e-4
    assert loaded.recipe.check.seeds == 2
    assert loaded.path == tmp_path / "recipe.yaml"
    assert loaded.text == MLP


def test_hash_is_of_the_content(tmp_path: Path) -> None:
    """Comments, order, number format and defaults written out do not change the hash; values do."""
    same = edited(
        MLP,
        ("name: small\n", "# a comment\nname: 'small'\ncheck: {seeds: 2}\n"),
        ("low: 1e-4, high: 1e-1", "high: 0.10, low: 0.0001"),
        ("steps: 100", "steps: 0100\n  clip: null"),
    )
    digest = load_text(tmp_path, MLP).hash

    assert load_text(tmp_path, same).hash == digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 101"))).hash != digest


def test_target_and_expectation_do_not_change_the_hash(tmp_path: Path) -> None:
    """Evidence gathered for one target serves another, so neither target nor expectation is part of the hash."""
    digest = load_text(tmp_path, MLP).hash

    assert load_text(tmp_path, edited(MLP, ("width: 1024", "width: 2048"))).hash == digest
    assert load_text(tmp_path, f"{MLP}\nexpect: {{verdict: DRIFTS}}\n").hash == digest


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    """`1` where a number is wanted equals `1.0`, so it hashes alike."""
    one = load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  init_scale: 1")))

    assert one.hash == load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  init_scale: 1.0"))).hash


FAULTS = [
    ("steps: 100", "steps: 100.0", "5:10 `training.steps` must be an integer | 100.0 | write 100"),
    (
        "steps: 100",
        "steps: '100'",
        '5:10 `training.steps` must be an integer | "100" (text) | write 100 without quotes',
    ),
    (
        "steps: 100",
        "steps: 1_000",
        '5:10 `training.steps` must be an integer | "1_000" (text) | write 1000: numbers have no digit separators',
    ),
    (
        "steps: 100",
        "steps: true",
        "5:10 `training.steps` must be an integer | true | write a whole number without quotes",
    ),
    (
        "steps: 100",
        "steps:",
        "5:3 exactly one of `steps`, `tokens` and `tokens_per_parameter` must say...",
    ),
    ("steps: 100", "steps: -3", "5:10 `training.steps >= 1` must hold | -3 | write 1 or more"),
    ("steps: 100", "steps: 0", "5:10 `training.steps >= 1` must hold | 0 | write 1 or more"),
    (
        "low: 1e-4",
        "low: 2^-7",
        '13:26 `tune.space.learning_rate.low` must be a number | "2^-7" (text) | write 0.0078125',
    ),
    (
        "low: 1e-4",
        "low: .nan",
        "13:26 `tune.space.learning_rate.low` must be a finite number | NaN | write a value within the range",
    ),
    (
        "high: 1e-1",
        "high: .inf",
        "13:38 `tune.space.learning_rate.high` must be a finite number | Infinity | write a value within the range",
    ),
    (
        "high: 1e-1",
        "high: 1e999",
        "13:38 `tune.space.learning_rate.high` must be a finite number | Infinity | write a value within the range",
    ),
    ("width: 64", "width: -64", "8:17 `sizes.base.width >= 1` must hold | -64 | write 1 or more"),
    (
        "width: 1024",
        "width: 99999999",
        "10:19 `sizes.target.width <= 1048576` must hold | 99999999 | write 1048576 or less",
    ),
    (
        "[64, 128,",
        "[64, x,",
        '9:16 `sizes.widths[1]` must be an integer | "x" (text) | write a whole number without quotes',
    ),
    ("[64, 128, 256, 512]", "64", "9:11 `sizes.widths` must be a list | 64 | write `[64]`"),
    (
        "[64, 128, 256, 512]",
        "[]",
        "9:11 `sizes.widths` must have at least 1 entry | an empty list | write `[...]` with an entry in it",
    ),
    (
        "name: small",
        "name: no: wait",
        "1:9 a recipe must be valid YAML: mapping values are not allowed here | None | check the indentation, a...",
    ),
    (
        "name: small",
        "name: my run",
        '1:7 `name` must start with a letter or digit and hold only letters, digits, `.`, `_` and `-` | "my run...',
    ),
    (
        "name: small",
        "name: ../x",
        '1:7 `name` must start with a letter or digit and hold only letters, digits, `.`, `_` and `-` | "../x" ...',
    ),
    ("name: small", "name: 3", "1:7 `name` must be text | 3 | put text in quotes"),
    (
        "name: small",
        "name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
        '1:7 `name` must have at most 80 characters | "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...',
    ),
    (
        "{kind: mlp}",
        "{kind: gtp}",
        '2:15 `model.kind` must be one of `mlp`, `gpt`, `factory`, `huggingface`, `external` | "gtp" (text)...',
    ),
    (
        "{kind: mlp}",
        "{kind: resnet}",
        '2:15 `model.kind` must be one of `mlp`, `gpt`, `factory`, `huggingface`, `external` | "resnet" (text) | w...',
    ),
    ("{kind: mlp}", "{context: 3}", "2:1 `model.kind` must be given | None | one of `mlp`, `gpt`"),
    (
        "{kind: mlp}",
        "mlp",
        '2:8 `model` must be a mapping (`key: value` lines) | "mlp" (text) | write its keys on...',
    ),
    (
        "{kind: mlp}",
        "{kind: mlp, head_dim: 8}",
        "2:20 `head_dim` is not a key of `model` | None | `head_dim` is a key of `model` with `kind: gpt`",
    ),
    (
        "{kind: stdlib-text}",
        "{kind: text}",
        "3:1 `data.files` must be given | None | add `files: ...` (glob patterns relative to the recipe's folder)",
    ),
    (
        "{kind: stdlib-text}",
        "{kind: text, files: a.txt}",
        '3:27 `data.files` must be a list | "a.txt" (text) | write `[a.txt]`',
    ),
    (
        "{name: mup}",
        "{name: muP}",
        "6:26 `parameterization.name` must be one of `standard`, `ntk`, `mean-field`, ...",
    ),
    (
        "steps: 100",
        "steps: 100\n  optimizer: adam",
        "6:14 `training.optimizer` must be one of `adafactor`, `adamh`, `adamw`, `lion`, `muon`, `muonh`, `sgd` | "
        '"adam" (text) | did you mean `adamw`?',
    ),
    (
        "steps: 100",
        "steps: 100\n  optimizer: soap",
        "6:14 `training.optimizer` must be one of `adafactor`, `adamh`, `adamw`, `lion`, `muon`, `muonh`, `sgd` | "
        '"soap" (text) | rules exist (arXiv 2512.05620) but were not read in the paper, ...',
    ),
    (
        "steps: 100",
        "steps: 100\n  multipliers: {adam_learning_rate: 0.5}",
        "6:37 `adam_learning_rate` must multiply something in the model | 0.5; adamw trains all parameters | delete "
        "the line",
    ),
    (
        "steps: 100",
        "steps: 100\n  lr: 1",
        "6:3 `lr` is not a key of `training` | None | did you mean `learning_rate`? keys of `training`: `steps`...",
    ),
    ("steps: 100", "steps: 100\n  warmup: 2", "6:11 `training.warmup <= 1` must hold | 2 | write 1 or less"),
    (
        "tune:",
        "trails: 3\ntune:",
        "11:1 `trails` is not a key of a recipe | None | keys of a recipe: `name`, `description`, `model`, `dat...",
    ),
    (
        "tune:",
        "check: {sharpness: true}\ntune:",
        "11:9 `sharpness` is not a key of `check` any more | None | write `diagnostics: [sharpness]` in `check`",
    ),
    (
        "tune:",
        "check: {coordinate: {linearisation: false}}\ntune:",
        "11:22 `linearisation` is not a key of `check.coordinate` any more | None | delete the line; `diagn...",
    ),
    (
        "tune:",
        "check: {diagnostics: [noise_scale]}\ntune:",
        "11:23 `check.diagnostics[0]` must be one of `collapse`, `coordinate`, `interactions`, `linearizat...",
    ),
    ("tune:", "seed: 3\ntune:", "11:1 `seed` is not a key of a recipe | None | `seed` is a key of `tune`"),
    (
        "tune:",
        "tune:\n  trails: 3",
        "12:3 `trails` is not a key of `tune` | None | did you mean `trials`? keys of `tune`: `space`, `order`...",
    ),
    (
        "tune:",
        "tune:\n  sampler: sobl",
        "12:12 `tune.sampler` must be one of `auto`, `cmaes`, `gp`, `grid`, `random`, `sobol`, `tpe` | "
        '"sobl" (text) | did you mean `sobol`?',
    ),
    (
        "tune:",
        "tune:\n  early_stopping: asha",
        "12:3 `early_stopping` is not a key of `tune` | None | early_stopping was removed: measurements showed ...",
    ),
    (
        "    learning_rate: {low: 1e-4, high: 1e-1}\n",
        "    {}\n",
        "13:5 `tune.space` must name at least one hyperparameter | an empty mapping | for example `learning_rat...",
    ),
    (
        "    learning_rate: {low: 1e-4, high: 1e-1}\n",
        "",
        "12:9 `tune.space` must be a mapping (`key: value` lines) | nothing | write its keys on...",
    ),
    (
        "high: 1e-1",
        "scale: lgo, high: 1e-1",
        '13:39 `tune.space.learning_rate.scale` must be one of `log`, `linear` | "lgo" (text) | did you mean `l...',
    ),
    (", high: 1e-1", "", "13:5 `tune.space.learning_rate.high` must be given | None | add `high: ...`"),
]


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS, ids=[case[1] for case in FAULTS])
def test_one_fault(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """Each single fault gives one finding: the position, the rule, what was received, a hint."""
    (found,) = faults(tmp_path, edited(MLP, (old, new)))

    assert described(found).startswith(expected.removesuffix("..."))


def test_no_is_a_name(tmp_path: Path) -> None:
    """`no` is text, as YAML 1.2 has it, so it is a fine name."""
    assert load_text(tmp_path, edited(MLP, ("name: small", "name: no"))).recipe.name == "no"


def test_all_faults_at_once_in_order(tmp_path: Path) -> None:
    """Gate, schema and combination faults arrive together, sorted by position."""
    text = edited(
        MLP,
        ("steps: 100", "steps: no\n  stepz: 1\n  steps: 3"),
        ("{name: mup}", "{name: completep}"),
        ("{width: 64,", "{width: &w 64,"),
    )

    assert spots(faults(tmp_path, text)) == [(5, 10), (6, 3), (7, 3), (8, 26), (10, 17)]


def test_unreadable_parts_are_not_judged(tmp_path: Path) -> None:
    """Where a merge key or an alias hides the content, only that is reported, not what it may have contained."""
    text = edited(MLP, ("  steps: 100", "  <<: {steps: 100}"), ("{width: 1024, depth: 4}", "*big"))

    assert spots(faults(tmp_path, text)) == [(5, 3), (10, 11)]


def test_missing_sections(tmp_path: Path) -> None:
    """A recipe with only a name is told every section it lacks."""
    rules = [finding.rule for finding in faults(tmp_path, "name: x\n")]

    missing = ["training", "parameterization", "sizes", "tune", "model", "data"]
    assert rules == [f"`{section}` must be given" for section in missing]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "5\n"])
def test_not_a_mapping(tmp_path: Path, text: str) -> None:
    """A list or a scalar is not a recipe."""
    assert [finding.rule for finding in faults(tmp_path, text)] == ["a recipe must be a mapping (`key: value` lines)"]


def test_empty_file(tmp_path: Path) -> None:
    """An empty file is a fault with the way to a first recipe."""
    (found,) = faults(tmp_path, "")

    assert found.rule == "a recipe must not be empty"
    assert "hptransfer init" in str(found.hint)


def refusal(reference: str | Path) -> tuple[str, str | None, str]:
    """(rule, received, hint) of a recipe that cannot be read at all."""
    with pytest.raises(RecipeUnavailableError) as caught:
        load_recipe(reference)
    (found,) = caught.value.findings
    assert caught.value.exit_status == 2
    return found.rule, found.received, str(found.hint)


def test_missing_file_near_another(tmp_path: Path) -> None:
    """A mistyped file name is compared with the recipes beside it."""
    (tmp_path / "small.yaml").write_text(MLP)

    rule, received, hint = refusal(tmp_path / "smal.yaml")

    assert (rule, received) == ("the recipe must exist", "no such file")
    assert f"did you mean `{tmp_path / 'small.yaml'}`?" in hint


def test_missing_name_near_a_shipped_one() -> None:
    """A mistyped name is compared with the shipped recipes."""
    assert "did you mean `quickstart`?" in refusal("quikstart")[2]


def test_directory(tmp_path: Path) -> None:
    """A folder is refused with a file in it as the hint."""
    (tmp_path / "small.yaml").write_text(MLP)

    rule, received, hint = refusal(tmp_path)

    assert (rule, received) == ("a recipe must be a file", "a directory")
    assert "small.yaml" in hint


def test_pipes_and_devices(tmp_path: Path) -> None:
    """A named pipe would block for ever, so only regular files are opened."""
    os.mkfifo(tmp_path / "pipe")

    assert refusal(tmp_path / "pipe")[1] == "not a regular file"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_impossible_names(name: str) -> None:
    """Names the system cannot have are refused like other unreadable ones."""
    assert refusal(name)[0] == "the recipe must be readable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    """A file without read permission is named with the system's reason."""
    file = tmp_path / "r.yaml"
    file.write_text(MLP)
    file.chmod(0)

    assert refusal(file)[1] == "Permission denied"


def test_a_file_goes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`quickstart` means the user's file of that name where there is one, and not a folder of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert load_recipe("quickstart").recipe.name == "quickstart"

    (tmp_path / "quickstart").rmdir()
    (tmp_path / "quickstart").write_text(MLP)
    assert load_recipe("quickstart").recipe.name == "small"


def test_other_errors_are_recipe_errors(tmp_path: Path) -> None:
    """Everything but an unreadable file is a `RecipeError` with exit status 2 and a place for each finding."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, "a: 1\nb: 2\n")

    assert caught.value.exit_status == 2
    assert caught.value.findings
    assert all(finding.place and finding.place.line for finding in caught.value.findings)


def test_validating_a_recipe_needs_no_torch() -> None:
    """Losses are asked for their arguments, which loads none of what they compute with."""
    script = (
        "import sys; from hptransfer.recipe.load import load_recipe; from hptransfer.recipe.objective import unit_of; "
        "print(unit_of(load_recipe('quickstart').recipe), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "nats False\n"
