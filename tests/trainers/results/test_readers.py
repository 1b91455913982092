"""Every form of results: what is read of it, while it is written, and what cannot be a result."""

from __future__ import annotations

import json
import math
import os
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
    with pytest.raises(ValueError, match=r"pattern|group"):
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
        (
            '{"step": 1.5, "loss": 1}',
            r"a step must be a whole number from 0 to 2\*\*53; received: m.jsonl:1, `step`",
        ),
        ('{"step": 1e308, "loss": 1}', r"a step must be a whole number from 0 to 2\*\*53; received: m.jsonl:1"),
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

    with pytest.raises(UsageError, match=r"m\.csv:2: 3 cells, the header has 2"):
        everything(tmp_path, {"csv": "m.csv"})


# tensorboard


def test_event_files_are_read_while_they_are_written(tmp_path: Path) -> None:
    """As torch's own SummaryWriter writes them."""
    pytest.importorskip("tensorboard")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensorboard's own imports
        from torch.utils.tensorboard import SummaryWriter

        tail = opened(tmp_path, {"tensorboard": "tb", "value": "loss/val", "curve": "loss/train"})
        assert list(tail.poll(False)) == []
        with SummaryWriter(str(tmp_path / "tb" / "run")) as writer:
            writer.add_scalar("loss/train", 3.5, 1)
            writer.flush()
            assert list(tail.poll(False)) == [Report(1, curve=3.5)]
            writer.add_scalar("loss/train", 3.0, 2)
            writer.add_scalar("loss/val", 2.5, 2)

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

#: the log of an offline run of wandb 0.31.0 that logged {"loss": 3.5} and {"loss": 2.5}, without its other records
LOG = bytes.fromhex(
    "3a572642e1be002840d477620001080a125e0a25120a5f74696d657374616d70820116312e37393539323137393533353538393632652b3039"
    "0a1812085f72756e74696d6582010b312e3430383436333430350a0b12055f73746570820101300a0c12046c6f7373820103332e351200a2"
    "a012a26b0001080d12670a1f12085f72756e74696d65820112312e343039313238383138303030303030310a0b12055f7374657082010131"
    "0a0c12046c6f7373820103322e350a25120a5f74696d657374616d70820116312e37393539323137393534313835393737652b303912020801"
)


def test_the_log_of_an_offline_run_is_read_as_it_grows(tmp_path: Path) -> None:
    """Without wandb's library; steps of its own count from 0."""
    run = tmp_path / "wandb" / "offline-run-20260101_000000-abc"
    run.mkdir(parents=True)
    tail = opened(tmp_path, {"wandb": "wandb"})
    found = []
    for end in (3, 7, 60, len(LOG) - 5, len(LOG)):
        (run / "run-abc.wandb").write_bytes(LOG[:end])
        found.append(list(tail.poll(False)))

    assert found == [[], [], [], [Report(1, 3.5)], [Report(2, 2.5)]]


def test_records_of_a_log_may_span_blocks(tmp_path: Path) -> None:
    """As LevelDB splits them: after the mark, 7 bytes per part, nothing in the last bytes of a block."""
    run = tmp_path / "wandb" / "offline-run-20260101_000000-abc"
    run.mkdir(parents=True)
    record = LOG[-0x6B:]
    filler = 32_768 - 3 * 7 - 20  # the mark, and what stands before two parts
    # field 1 with so many bytes that 20 of the record fit into the block; its length takes three
    passed_over = b"\x0a" + bytes([(filler - 4) & 127 | 128, (filler - 4) >> 7 & 127 | 128, (filler - 4) >> 14])
    log = LOG[:7]
    for kind, part in ((1, passed_over + b"x" * (filler - 4)), (2, record[:20]), (4, record[20:])):
        log += bytes(4) + len(part).to_bytes(2, "little") + bytes([kind]) + part
    (run / "run-abc.wandb").write_bytes(log)

    assert everything(tmp_path, {"wandb": "wandb"}) == [Report(2, 2.5)]


def test_the_summary_is_read_where_there_is_no_log(tmp_path: Path) -> None:
    """The last values, once the run has ended."""
    files = tmp_path / "wandb" / "offline-run-20260101_000000-abc" / "files"
    files.mkdir(parents=True)
    (files / "wandb-summary.json").write_text('{"loss": 2.5, "_step": 9, "_runtime": 3}')
    tail = opened(tmp_path, {"wandb": "wandb"})

    assert list(tail.poll(False)) == []
    assert list(tail.poll(True)) == [Report(10, 2.5)]


def test_a_log_without_its_mark_is_refused(tmp_path: Path) -> None:
    """It is something else."""
    run = tmp_path / "wandb" / "offline-run-20260101_000000-abc"
    run.mkdir(parents=True)
    (run / "run-abc.wandb").write_bytes(b"something else")

    with pytest.raises(UsageError, match="must begin with its mark"):
        everything(tmp_path, {"wandb": "wandb"})


def test_an_offline_run_of_wandb_itself_is_read(tmp_path: Path) -> None:
    """Every step of its log, with the library."""
    wandb = pytest.importorskip("wandb")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="p")
    for loss in (3.5, 2.5):
        run.log({"loss": loss})
    run.finish()

    assert everything(tmp_path, {"wandb": "wandb"}) == [Report(1, 3.5), Report(2, 2.5)]


# files that are no results, or not those of this run


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("how", ["shorter", "as long", "another file", "longer"])
def test_a_file_that_is_written_anew_is_read_anew(how: str, ended: bool, tmp_path: Path) -> None:
    """What counts is what is there now; a table has its header again."""
    after = {
        "shorter": "loss\n1\n",
        "as long": "loss\n9.5\n",
        "another file": "loss\n2.5\n",
        "longer": "loss\n1\n7\n6\n",
    }
    path = tmp_path / "l.csv"
    path.write_text("loss\n2.5\n")
    tail = opened(tmp_path, {"csv": "l.csv"})
    assert list(tail.poll(False)) == [Report(None, 2.5)]
    if how == "another file":
        (tmp_path / "new").write_text(after[how])
        os.replace(tmp_path / "new", path)
    else:
        path.write_text(after[how])

    values = [Report(None, float(text)) for text in after[how].split()[1:]]
    assert list(tail.poll(ended)) == [Report(anew=True), *values]


def test_a_change_far_back_is_seen_at_the_end(tmp_path: Path) -> None:
    """While a run goes on only the last 4 KiB are compared; at its end all of it."""
    path = tmp_path / "l.jsonl"
    path.write_text('{"loss": 1}\n' * 1000)
    tail = opened(tmp_path, {"jsonl": "l.jsonl"})
    assert len(list(tail.poll(False))) == 1000
    path.write_text('{"loss": 2}\n' + '{"loss": 1}\n' * 999)

    assert list(tail.poll(True))[:2] == [Report(anew=True), Report(None, 2.0)]


def test_a_file_that_only_grew_goes_on(tmp_path: Path) -> None:
    """Also where it ends within a line."""
    path = tmp_path / "l.jsonl"
    path.write_text('{"loss": 1}\n{"lo')
    tail = opened(tmp_path, {"jsonl": "l.jsonl"})
    assert list(tail.poll(False)) == [Report(None, 1.0)]
    with path.open("a") as file:
        file.write('ss": 2}')

    assert list(tail.poll(True)) == [Report(None, 2.0)]


@pytest.mark.parametrize("form", ["jsonl", "csv", "tensorboard", "wandb"])
@pytest.mark.parametrize("path", ["../shared", "/data/shared", "a/../../b", "C:\\shared", "..\\shared"])
def test_results_stay_below_the_trials_folder(form: str, path: str) -> None:
    """When the recipe is read."""
    with pytest.raises(ValueError, match="below the trial's folder"):
        RESULTS.validate_json(json.dumps({form: path}))


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "folder", "device", "circle"])
def test_only_a_regular_file_of_the_run_is_read(form: str, kind: str, tmp_path: Path) -> None:
    """Nothing is waited for, and the message names no folder, so that equal failures are alike."""
    trial = tmp_path / "trial"
    trial.mkdir()
    path, name = trial / "l", "l"
    (tmp_path / "l").write_text('{"loss": 1}\n')
    if kind == "link":
        path.symlink_to(tmp_path / "l")
    elif kind == "folder link":
        (trial / "d").symlink_to(tmp_path)
        name = "d/l"
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path)

    with pytest.raises(UsageError, match="results must be") as caught:
        everything(trial, {form: name})
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("section", [{"tensorboard": "tb"}, {"wandb": "wandb"}])
def test_a_pipe_among_event_files_is_not_waited_for(section: dict[str, Any], tmp_path: Path) -> None:
    """Both forms."""
    if "tensorboard" in section:
        pytest.importorskip("tensorboard")
    folder = tmp_path / ("tb" if "tensorboard" in section else "wandb/offline-run-1-a")
    folder.mkdir(parents=True)
    os.mkfifo(folder / ("events.tfevents.1" if "tensorboard" in section else "run-a.wandb"))

    with pytest.raises(UsageError, match="regular file"):
        everything(tmp_path, section)


def test_brackets_without_end_are_garbage_with_a_line(tmp_path: Path) -> None:
    """Python's reader gives up with a RecursionError."""
    (tmp_path / "l.jsonl").write_text('{"loss": 1}\n' + "[" * 100_000 + "\n")

    with pytest.raises(UsageError, match="must be a JSON object") as caught:
        everything(tmp_path, {"jsonl": "l.jsonl"})
    assert (caught.value.findings[0].received or "").startswith("l.jsonl:2: ")
