"""transfer.json: strict JSON, promised keys, one writer and one reader; results as plain data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.transfer import AxisRecord, TransferFile, read_transfer
from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.judge import TransferReport, judge
from tests.support.synthetic_ladders import GRID, ladder, parabola
from tests.support.transfer_files import transfer_file, transfer_text


@pytest.fixture(scope="module")
def report() -> TransferReport:
    """A ladder whose largest width has its optimum beyond the grid, so that infinities are at hand."""
    losses = [parabola, parabola, parabola, lambda x: parabola(x - 3)]
    return judge(
        ladder(losses, xs=GRID, noise=0.001),
        proxy=Size(64, 2, 64, 64_000),
        hyperparameter="learning_rate",
        transferred=2**-8,
    )


def test_a_document_is_strict_json_and_reads_back(tmp_path: Path) -> None:
    """No NaN, no Infinity: any JSON reader takes it, and the reader returns what the writer was given."""
    written = transfer_file()
    written.write_json(tmp_path / "transfer.json")

    assert read_transfer(tmp_path / "transfer.json") == written
    assert json.loads(json.dumps(written.document, allow_nan=False)) == written.document


def test_without_a_check_there_is_nothing_to_read(tmp_path: Path) -> None:
    """Nothing, not an error: the caller knows what that means."""
    assert read_transfer(tmp_path / "transfer.json") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "must be what"),
        ("[]", "must be what"),
        (transfer_text(format=1), "must have format 3"),
        (transfer_text(verdict="MAYBE"), "must be what"),
        (transfer_text(transferred=None), "must be what"),
        (transfer_text(surprise=1), "must be what"),
    ],
    ids=["cut", "list", "format", "verdict", "null", "unknown key"],
)
def test_what_check_did_not_write_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the file and the rule, and the command that writes it anew."""
    (tmp_path / "transfer.json").write_text(text)
    with pytest.raises(UsageError, match=said) as error:
        read_transfer(tmp_path / "transfer.json")

    assert "transfer.json" in str(error.value.findings[0].received)


def test_open_ends_are_null_and_flagged() -> None:
    """Infinity becomes null, and `bounded` says that it was not merely missing."""
    assert to_document(Interval(0.1, -math.inf, 0.2)) == {
        "estimate": 0.1,
        "low": None,
        "high": 0.2,
        "bounded": False,
    }


def test_the_keys_are_promised() -> None:
    """Other commands and other people's scripts read these."""
    assert list(transfer_file().document) == [
        "format",
        "recipe",
        "recipe_hash",
        "identity",
        "verdict",
        "sentence",
        "hyperparameter",
        "transferred",
        "hyperparameters",
        "criteria",
        "checked",
        "axes",
        "target",
        "mechanics",
        "coordinate",
        "diagnostics",
        "adaptive",
        "provenance",
        "spent",
        "evidence",
    ]
    checked = transfer_file().document["checked"]
    assert checked == {"widths": [64, 128, 256, 512], "depths": [], "batch_sizes": [], "tokens": []}


def test_an_axis_keeps_everything_that_was_judged(report: TransferReport) -> None:
    """Every field of the report is a field of the record, with open ends as null."""
    axis = AxisRecord.model_validate_json(json.dumps(to_document(report.axes[0])))

    assert axis.model_dump(mode="json") == to_document(report.axes[0])
    assert axis.verdict is report.verdict
    assert axis.sizes[3].optimum.edge == "high"
    assert axis.sizes[3].optimum.high is None


def test_every_field_says_what_it_is_or_has_a_type_that_does() -> None:
    """Numbers carry a unit or a meaning in the schema's descriptions, but for plain counts."""
    bare = {"seed", "n_seeds", "trials", "diverged", "flops"}
    definitions = TransferFile.model_json_schema()["$defs"]
    silent = {
        f"{name}.{field}"
        for name, definition in definitions.items()
        for field, schema in definition.get("properties", {}).items()
        if "number" in json.dumps(schema) and "description" not in schema and field not in bare
    }

    assert silent == set()


def test_an_optimum_is_given_in_its_own_unit_as_well(report: TransferReport) -> None:
    """Readers need not take powers of two."""
    optimum = to_document(report.axes[0].sizes[0].optimum)
    assert optimum["value"] == pytest.approx(2 ** optimum["log2_value"])


def test_other_data_is_refused() -> None:
    """A document never holds what a reader cannot rebuild."""
    with pytest.raises(TypeError, match="plain data, but got object"):
        to_document(object())
