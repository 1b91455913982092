"""Hints of rules across keys and on forms: pasted where they say, they leave a recipe without a fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hptransfer.errors import RecipeError
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.rule_text import BASES
from tests.support.recipe_texts import MLP, edited, faults

COMMAND = BASES["command"]
_WORDS = re.search(r"command: (\[.*\])", COMMAND)
assert _WORDS is not None
WORDS = _WORDS[1]

#: what stands in a recipe, what it was written for, and what the hint tells to write in its place
PASTED = {
    "exchanged": ("{low: 1e-4, high: 1e-1}", "{low: 0.1, high: 1e-4}", "{low: 0.0001, high: 0.1}"),
    "exchanged, with a scale": (
        "{low: 1e-4, high: 1e-1}",
        "{low: 0.1, high: 1e-4, scale: log}",
        "{low: 0.0001, high: 0.1, scale: log}",
    ),
    "a range as a list": ("{low: 1e-4, high: 1e-1}", "[1e-4, 0.1]", "{low: 0.0001, high: 0.1}"),
    "a range as a list, from above": ("{low: 1e-4, high: 1e-1}", "[0.1, 1e-4]", "{low: 0.0001, high: 0.1}"),
    "a target as a list": ("{width: 1024, depth: 4}", "[1024, 4]", "{width: 1024, depth: 4}"),
    "a target as init takes it": ("{width: 1024, depth: 4}", "1024x4", "{width: 1024, depth: 4}"),
    "a share in per cent": ("steps: 100", "steps: 100\n  warmup: 10%", "0.1"),
    "a percentage": ("steps: 100", "steps: 100\n  warmup: 10", "0.1"),
}


@pytest.mark.parametrize("case", PASTED)
def test_what_a_hint_tells_to_write_mends_it(tmp_path: Path, case: str) -> None:
    """One fault, the value in the hint, and none when it is pasted."""
    old, wrong, told = PASTED[case]
    (fault,) = faults(tmp_path, edited(MLP, (old, wrong)))
    hint = str(fault.hint)
    assert f"`{told}`" in hint or hint.startswith(f"write {told}:")

    mended = wrong.partition("warmup: ")[0] + f"warmup: {told}" if "warmup" in wrong else told
    assert faults(tmp_path, edited(MLP, (old, mended))) == ()


def test_a_number_of_steps_has_a_key_of_its_own(tmp_path: Path) -> None:
    """`warmup: 10` may mean ten steps; a share without such a key is a share."""
    (fault,) = faults(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  warmup: 10")))
    assert str(fault.hint).endswith("`warmup_steps: 10` is 10 steps")
    (fault,) = faults(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  schedule: linear\n  floor: 10")))
    assert fault.hint == "write 0.1: shares are fractions of 1"
    (fault,) = faults(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  warmup: 1000")))
    assert fault.hint == "write 1 or less"


def test_equal_ends_are_not_exchanged(tmp_path: Path) -> None:
    """One value is kept in `training`, as before."""
    (fault,) = faults(tmp_path, edited(MLP, ("{low: 1e-4, high: 1e-1}", "{low: 0.1, high: 0.1}")))
    assert str(fault.hint).startswith("to keep one value, write `training.learning_rate`")


def test_no_quotes_are_named_where_there_are_none(tmp_path: Path) -> None:
    """A list of seeds has no quotes that could be left out."""
    (fault,) = faults(tmp_path, edited(MLP, ("tune:", "check: {seeds: [0, 1]}\ntune:")))
    assert "quotes" not in str(fault.hint)


def test_a_target_is_asked_for_above_the_ladder(tmp_path: Path) -> None:
    """The hint of the first error does not lead to a warning on the next run."""
    (fault,) = faults(tmp_path, edited(MLP, ("{width: 1024", "{width: 32")))
    assert str(fault.hint).endswith("write a target width above 512, where the ladder ends")


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", " \u00a0"])
def test_another_space_in_front_of_a_key_is_named(tmp_path: Path, space: str) -> None:
    """Pasted from a web page it makes the key another one, and nobody sees it."""
    found = faults(tmp_path, edited(MLP, ("  space", f"{space} space")))
    place = found[0].place
    assert (found[0].code, place and place.line, place and place.column) == ("recipe/text", 12, len(space))
    assert "U+" in str(found[0].received)


def test_another_space_in_a_text_is_the_author_s(tmp_path: Path) -> None:
    """The negative control: French puts one before a colon."""
    assert faults(tmp_path, MLP + 'description: "deux\u00a0: trois"\n') == ()


#: words of a command -> index of the word that is blamed, None for the whole, and what its hint contains
TOLD = {
    "double braces": ('"--seed={{seed}}"', 3, "write `'--seed={seed}'`"),
    "a shell's variable": ('"--seed=$SEED"', 3, "write `'--seed={seed}'`"),
    "a number": ('"--seed=3"', 3, "write `'--seed={seed}'`"),
    "a number after its flag": ('"--seed", "3"', 3, "write `'{seed}'` after `--seed`, in the place of `3`"),
    "nothing": ('"--verbose"', None, "add `'{seed}'` behind the program's own flag for it"),
}


@pytest.mark.parametrize("case", TOLD)
def test_a_command_is_told_what_it_nearly_says(tmp_path: Path, case: str) -> None:
    """The word that was meant is blamed, and no flag is proposed that the program need not have."""
    words, index, hint = TOLD[case]
    (fault,) = faults(tmp_path, edited(COMMAND, ('"--seed={seed}"', words)))
    assert fault.code == "recipe/told"
    assert hint in str(fault.hint)
    line = edited(COMMAND, ('"--seed={seed}"', words)).splitlines()[(fault.place.line or 0) - 1 if fault.place else 0]
    assert fault.place is not None
    blamed = line[(fault.place.column or 0) - 1 :]
    assert blamed.startswith("[" if index is None else words.split(",")[0])


def test_a_placeholder_with_a_dollar_is_refused(tmp_path: Path) -> None:
    """`${seed}` would reach the program as `$3`."""
    (fault,) = faults(tmp_path, edited(COMMAND, ('"--seed={seed}"', '"--seed=${seed}"')))
    assert (fault.code, fault.received) == ("recipe/placeholder", "${seed} in '--seed=${seed}'")


def test_a_misspelt_placeholder_is_one_error(tmp_path: Path) -> None:
    """That nothing names what it was meant for would send its author after a flag."""
    (fault,) = faults(tmp_path, edited(COMMAND, ("{learning_rate}", "{lr}")))
    assert fault.code == "recipe/placeholder"


def test_a_table_is_for_judge(tmp_path: Path) -> None:
    """`validate runs.csv`."""
    table = tmp_path / "runs.csv"
    table.write_text("lr,width,loss\n0.1,64,2.5\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(table)
    assert f"`hptransfer judge {table}`" in str(caught.value.findings[0].hint)


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ("warmup: 1", "1, the whole run"),
        ("warmup: 0.95", "0.95, 95% of the run"),
        ("warmup_steps: 95", "95, 95% of the run"),
        ("warmup_tokens: 6400", "6400, the whole run"),
        ("warmup: 0.5", None),
        ("warmup_steps: 50", None),
    ],
)
def test_a_warmup_that_is_the_whole_run_is_warned_of(tmp_path: Path, keys: str, warned: str | None) -> None:
    """Following hints from `10%` to `1` must not end in a recipe that is valid without a word."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(edited(MLP, ("steps: 100", f"steps: 100\n  batch_size: 64\n  {keys}")))
    found = validate(str(recipe), ValidationOptions())
    assert [each.received for each in found.warnings if each.id == "HPT204"] == ([] if warned is None else [warned])
    assert not found.errors


#: words of a command, folder in which it runs -> what is said not to be there; None where it is, or cannot be known
SCRIPTS = {
    "python trian.py": "trian.py",
    "{python} -u trian.py": "trian.py",
    "python3.11 -W ignore sub/train.py": "sub/train.py",
    "bash run.sh": "run.sh",
    "torchrun --nproc_per_node 2 trian.py": "trian.py",
    "./trian.sh": "trian.sh",
    "bin/trian.sh": "bin/trian.sh",
    "python {recipe_dir}/trian.py": "trian.py",
    "python train.py": None,
    "python -m trian": None,
    "python -c print()": None,
    "docker run image python trian.py": None,
    "python /opt/trian.py": None,
    "python ../trian.py": None,
    "python {trial_dir}/trian.py": None,
    "python": None,
}


@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize("words", SCRIPTS)
def test_an_absent_script_is_found_before_training(tmp_path: Path, words: str, shell: bool) -> None:
    """Every trial would fail; a program elsewhere, in a container or a module is not looked for."""
    (tmp_path / "train.py").write_text("")
    told = '"--width={width}", "--lr={learning_rate}", "--seed={seed}"'
    command = str([*words.split(), *re.findall(r'"([^"]*)"', told)])
    if shell:
        command = f"'{words} {told.replace(',', '').replace(chr(34), '')}', shell: true"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(COMMAND.replace(f"command: {WORDS}", f"command: {command}".replace(", shell", "\n  shell")))
    found = validate(str(recipe), ValidationOptions()).errors

    absent = SCRIPTS[words]
    assert [each.received for each in found] == ([] if absent is None else [f"no {absent} in the recipe's folder"])
    if absent == "trian.py":
        assert (found[0].id, found[0].hint) == ("HPT230", "did you mean `train.py`?")
