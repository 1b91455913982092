"""Every form of results: what is read of it, while it is written, and what cannot be a result."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from hptransfer.errors import UsageError
from hptransfer.recipe.command_sections import Results
from hptransfer.trainers.results.base import READERS, Report, Source, Tail, reader_of

RESULTS: TypeAdapter[Any] = TypeAdapter(Results)


def opened(folder: Path, section: dict[str, Any]) -> Tail:
    """A reader of a section as a recipe has it."""
    read = RESULTS.validate_json(json.dumps(section))
    return reader_of(read).open(read, Source(folder, "loss"))


def everything(folder: Path, section: dict[str, Any], output: bytes = b"") -> list[Report]:
    """What a finished run reported."""
    tail = opened(folder, section)
    return [*tail.heard(output), *tail.poll(True)]


def test_every_form_has_a_reader_with_its_key() -> None:
    """A new one is one file."""
    assert set(READERS.built_in) == {"csv", "jsonl", "stdout", "tensorboard", "wandb"}
    for name in READERS.built_in:
        assert name in READERS.look_up(name).section.model_fields


# stdout


def test_a_pattern_finds_steps_values_and_operations() -> None:
    """On every line where it matches; carriage returns end lines too, and the last line needs no end."""
    section = {"stdout": r"it (?P<step>\d+) loss (?P<value>\S+)(?: flops (?P<flops>\S+))?"}
    output = b"it 1 loss 3.5,\rit 2 loss 2.5 flops 1e9\r\nnothing\nit 3 loss nan"
    found = everything(Path(), section, output)

    assert found[:2] == [Report(1, 3.5), Report(2, 2.5, flops=1e9)]
    assert found[2].step == 3
    assert math.isnan(found[2].value or 0)


def test_a_line_that_comes_in_pieces_is_read_once_it_is_whole() -> None:
    """Nothing is made of half a number."""
    tail = opened(Path(), {"stdout": r"loss (\S+)"})

    assert list(tail.heard(b"loss 1")) == []
    assert list(tail.heard(b"2.5\nlo")) == [Report(None, 12.5)]


@pytest.mark.parametrize("pattern", ["loss (", "no group", "(a)(b)", "(?P<loss>.*)"])
def test_a_pattern_without_a_value_is_refused(pattern: str) -> None:
    """When the recipe is read."""
    with pytest.raises(ValueError, match="pattern|group"):
        RESULTS.validate_json(json.dumps({"stdout": pattern}))


# jsonl


def test_json_lines_are_read_as_they_are_written(tmp_path: Path) -> None:
    """A line without the keys is passed over, one that is not complete is waited for."""
    path = tmp_path / "m.jsonl"
    section = {"jsonl": "m.jsonl", "step": "step", "value": "val", "curve": "train", "flops": "fl"}
    tail = opened(tmp_path, section)
    assert list(tail.poll(False)) == []
    path.write_text('{"step": 1, "train": 3.5}\n{"step": 1, "time": 5, "val": null}\n{"step": 2, "va')
    assert list(tail.poll(False)) == [Report(1, curve=3.5)]
    with open(path, "a") as file:
        file.write('l": 2.5, "fl": 1e9}')

    assert list(tail.poll(False)) == []
    assert list(tail.poll(True)) == [Report(2, 2.5, None, 1e9)]


def test_the_objectives_name_is_the_key_where_none_is_said(tmp_path: Path) -> None:
    """And values are counted where there is no step."""
    (tmp_path / "m.jsonl").write_text('{"loss": 2}\n{"loss": "NaN"}\n')
    first, second = everything(tmp_path, {"jsonl": "m.jsonl"})

    assert first == Report(None, 2.0)
    assert math.isnan(second.value or 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("garbage", r"each line of results must be a JSON object; received: m.jsonl:1: 'garbage'"),
        ("[1, 2]", r"each line of results must be a JSON object"),
        ('{"step": 1, "loss": "low"}', r"a result must be a number; received: m.jsonl:1, `loss`: 'low'"),
        ('{"step": 1, "loss": true}', r"a result must be a number"),
        ('{"step": 1.5, "loss": 1}', r"a step must be a whole number, at least 0; received: m.jsonl:1, `step`: '1.5'"),
        ('{"loss": 1}', r"a line with a result must say its step; received: m.jsonl:1 has no `step`"),
    ],
)
def test_garbage_is_named_with_its_line(line: str, message: str, tmp_path: Path) -> None:
    """Never guessed around."""
    (tmp_path / "m.jsonl").write_text(line + "\n")

    with pytest.raises(UsageError, match=message):
        everything(tmp_path, {"jsonl": "m.jsonl", "step": "step"})


# csv


def test_a_table_is_read_by_its_header(tmp_path: Path) -> None:
    """As torchtitan, Lightning and others write it: empty cells where a row has no value."""
    (tmp_path / "m.csv").write_text("step,train,loss\n1,3.5,\n2,3.0,2.5\n\n")

    assert everything(tmp_path, {"csv": "m.csv", "step": "step", "curve": "train"}) == [
        Report(1, curve=3.5),
        Report(2, 2.5, 3.0),
    ]


def test_a_table_without_the_column_is_refused(tmp_path: Path) -> None:
    """With the columns that it has."""
    (tmp_path / "m.csv").write_text("step;los\n1;3.5\n")

    with pytest.raises(UsageError, match="every column") as caught:
        everything(tmp_path, {"csv": "m.csv", "separator": ";"})
    assert "did you mean `los`?" in str(caught.value.findings[0].hint)


def test_a_row_of_another_length_is_refused(tmp_path: Path) -> None:
    """Two writers in one file look so."""
    (tmp_path / "m.csv").write_text("step,loss\n1,3.5,7\n")

    with pytest.raises(UsageError, match="m.csv:2: 3 cells, the header has 2"):
        everything(tmp_path, {"csv": "m.csv"})


# tensorboard


def test_event_files_are_read_while_they_are_written(tmp_path: Path) -> None:
    """As torch's own SummaryWriter writes them."""
    pytest.importorskip("tensorboard")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensorboard's own imports
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined]  # torch exports it untyped

        tail = opened(tmp_path, {"tensorboard": "tb", "value": "loss/val", "curve": "loss/train"})
        assert list(tail.poll(False)) == []
        with SummaryWriter(str(tmp_path / "tb" / "run")) as writer:  # type: ignore[no-untyped-call]
            writer.add_scalar("loss/train", 3.5, 1)  # type: ignore[no-untyped-call]
            writer.flush()  # type: ignore[no-untyped-call]
            assert list(tail.poll(False)) == [Report(1, curve=3.5)]
            writer.add_scalar("loss/train", 3.0, 2)  # type: ignore[no-untyped-call]
            writer.add_scalar("loss/val", 2.5, 2)  # type: ignore[no-untyped-call]

        assert sorted(tail.poll(True), key=str) == sorted([Report(2, 2.5), Report(2, curve=3.0)], key=str)
        with pytest.raises(UsageError, match="must have the objective's tag") as caught:
            everything(tmp_path, {"tensorboard": "tb", "value": "los/val"})
        assert "did you mean `loss/val`?" in str(caught.value.findings[0].hint)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read silently as empty."""
    monkeypatch.setitem(__import__("sys").modules, "tensorboard.backend.event_processing", None)

    with pytest.raises(UsageError, match="read by the package `tensorboard`") as caught:
        opened(tmp_path, {"tensorboard": "tb"})
    assert "hptransfer[tensorboard]" in str(caught.value.findings[0].hint)


# wandb


def test_without_the_library_the_summary_of_an_offline_run_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last values, once the run has ended; a log alone cannot be read."""
    monkeypatch.setitem(__import__("sys").modules, "wandb.sdk.internal.datastore", None)
    run = tmp_path / "wandb" / "offline-run-20260101_000000-abc"
    (run / "files").mkdir(parents=True)
    (run / "run-abc.wandb").write_bytes(b":W&B")
    with pytest.raises(UsageError, match="read by the package `wandb`"):
        everything(tmp_path, {"wandb": "wandb"})
    (run / "files" / "wandb-summary.json").write_text('{"loss": 2.5, "_step": 9, "_runtime": 3}')

    assert everything(tmp_path, {"wandb": "wandb"}) == [Report(10, 2.5)]


def test_an_offline_run_of_wandb_itself_is_read(tmp_path: Path) -> None:
    """Every step of its log, with the library."""
    wandb = pytest.importorskip("wandb")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="p")
    for loss in (3.5, 2.5):
        run.log({"loss": loss})
    run.finish()

    assert everything(tmp_path, {"wandb": "wandb"}) == [Report(1, 3.5), Report(2, 2.5)]
