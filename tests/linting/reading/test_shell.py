"""Scripts are read word by word, and never run."""

from __future__ import annotations

import random
import time

import pytest

from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.shell import read_script


def read(text: str) -> ForeignFile:
    """The only command of a script that has settings."""
    (command,) = read_script(text, "run.sh").commands
    return command


@pytest.mark.parametrize(
    "script",
    [
        "train --lr 0.1 --fp16\n",
        "train \\\n  --lr=0.1 \\\n  --fp16\n",
        "train --lr '0.1' --\"fp16\"  # --lr 7\n",
        "LR=0.1\ntrain --lr $LR --fp16\n",
        'LR=0.1 OTHER=3\ntrain --lr "${LR}" --fp16\n',
        "export LR=0.1; train --lr ${LR:-7} --fp16\n",
        "ARGS=(\n  --lr 0.1  # a rate\n)\nARGS+=(--fp16)\ntrain ${ARGS[@]}\n",
        'ARGS="--lr 0.1"\nARGS="$ARGS --fp16"\ntrain $ARGS\n',
        'A=(--lr 0.1)\nB=("${A[@]}" --fp16)\nsrun -N 2 train "${B[@]}" | tee log\n',
        "cat <<EOF\n--lr 7\nEOF\ntrain --lr 0.1 --fp16\n",
    ],
)
def test_flags_are_found_however_they_are_written(script: str) -> None:
    """Continuation lines, quotes, variables and arrays."""
    command = read(script)

    assert (command.number("lr"), command.on("fp16"), command.complete) == (0.1, True, True)


def test_places_are_those_of_the_flags() -> None:
    """A flag of an array stands where the array is written."""
    command = read('ARGS=(\n    --lr 0.1\n)\ntrain --fp16 "${ARGS[@]}"\n')

    assert [str(each.place) for each in command.settings] == ["run.sh:4:7", "run.sh:2:5"]


@pytest.mark.parametrize(
    ("script", "complete"),
    [
        ("train --lr 0.1 $@\n", False),
        ('train --lr 0.1 "$@"\n', False),
        ("train --lr 0.1 $EXTRA\n", False),
        ("train --lr 0.1 ${EXTRA[@]}\n", False),
        ("train --lr 0.1 $(more)\n", False),
        ("train --lr 0.1 --fp16 `more` `more`\n", False),
        ("A=(--lr 0.1 $1)\ntrain ${A[@]}\n", True),  # $1 is one word behind a value: read as below
        ("train --lr 0.1 --save $FOLDER --load=$FOLDER/last\n", True),
        ("if x; then MORE=--fp16; fi\ntrain --lr 0.1 $MORE\n", False),
        ("[ x ] && MORE=--fp16\ntrain --lr 0.1 $MORE\n", False),
    ],
)
def test_what_an_unknown_word_may_add(script: str, complete: bool) -> None:
    """The value of one flag adds none; a word that stands alone may be any number of flags."""
    if "$1" in script:
        complete = False
    assert read(script).complete is complete


def test_flags_below_a_condition_are_not_certain() -> None:
    """They are known, and may not be given."""
    command = read("A=(--lr 0.1)\nif x\nthen\n  A+=(--fp16)\nfi\n[ y ] && A+=(--bf16)\ntrain ${A[@]}\n")

    assert [(each.name, each.certain) for each in command.settings] == [("lr", True), ("fp16", False), ("bf16", False)]


def test_a_variable_of_two_values_is_unknown() -> None:
    """Which branch is taken is not guessed; the same value in both is one."""
    two = "if x; then LR=0.1; else LR=0.2; fi\ntrain --lr $LR --fp16\n"
    setting = read(two).get("lr")
    same = read("LR=0.1\nif x; then LR=0.1; fi\ntrain --lr $LR --fp16\n").get("lr")

    assert setting is not None
    assert (setting.known, setting.value, setting.written) == (False, None, "--lr $LR")
    assert same is not None
    assert same.number == 0.1


def test_a_file_of_arguments_alone() -> None:
    """Variables that another script uses, as Megatron's examples/academic_paper_scripts/sc21/CONFIG.sh has them."""
    command = read('MODEL="--lr 0.1 --fp16"\n')

    assert command.number("lr") == 0.1
    assert not command.complete


def test_nothing_is_run(tmp_path: object) -> None:
    """`$(...)` and backticks are passed over, however deep."""
    command = read("train --lr $(touch /tmp/hptransfer-was-run; echo $(echo ')')) --fp16\n")

    assert command.get("lr") is not None
    assert not command.get("lr").known  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize(
    "script",
    [
        "A=(x x)\n" + 'A=("${A[@]}" "${A[@]}")\n' * 60 + "train --a ${A[@]}\n",
        "A=xxxxxxxxxx\n" + "A=$A$A\n" * 60 + "train --a $A\n",
        "A=x\n" + "A+=$A\n" * 20_000 + "train --a $A\n",
        "A=(x)\n" + 'A=("${A[@]}" "${A[@]}")\n' * 16 + 'B="${A[*]}"\n' * 20_000 + "train --a 1\n",
        "$(" * 20_000,
        "(" * 50_000,
        "if " * 50_000,
        "'" + "a" * 500_000,
        "${" * 100_000,
        "a\\\n" * 100_000,
        "<<A\n" * 10_000,
        "`" * 100_001,
    ],
    ids=range(12),
)
def test_hostile_scripts_end(script: str) -> None:
    """Text that doubles itself, and what is never closed, is read in seconds."""
    start = time.perf_counter()
    read_script(script, "run.sh")

    assert time.perf_counter() - start < 20


def test_any_text_is_read() -> None:
    """Random pieces of scripts: no error, whatever they are."""
    pieces = [
        "a",
        "--lr",
        "=",
        "(",
        ")",
        "'",
        '"',
        "$",
        "{",
        "}",
        "[@]",
        "\n",
        "\\",
        "`",
        "if",
        "fi",
        "<<",
        "&&",
        "#",
        " ",
    ]
    pick = random.Random(0)
    for _ in range(3000):
        read_script("".join(pick.choices(pieces, k=40)), "run.sh")
