"""`scale` along batch and tokens: measured exponents move values and are registered, published ones are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import RefusedError
from hptransfer.recipe.defaults import defaults
from hptransfer.scaling.horizon import horizon_of
from hptransfer.sizes import Size, SizeAxis
from hptransfer.transfer.prediction import registered
from hptransfer.trials.trial import Trial
from tests.support.checked_folder import RECIPE, Folder
from tests.support.recipe_texts import load_text
from tests.support.transfer_files import ladder_of

PROXY = Size(16, 2, 4, 320)


def along(axis: SizeAxis, values: Sequence[int], drift: float) -> list[Trial]:
    """A ladder whose optimum is the tuned 2^-5 at the first value and moves by `drift` octaves per doubling."""
    return [
        replace(run, size=replace(PROXY, **{axis: value}), key=f"{axis}-{value}-{run.key}")
        for step, value in enumerate(values)
        for run in ladder_of((16 * 2**step,), optimum=-5.0 + drift * step)
    ]


def widths() -> list[Trial]:
    """The ladder over widths that every check has, without drift."""
    return [replace(run, size=replace(PROXY, width=run.size.width)) for run in ladder_of((16, 32, 64))]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A recipe whose check measured a ladder over tokens, too, along which the optimum falls by 0.4."""
    made = Folder(tmp_path)
    tokens = along("tokens", (640, 1280, 2560), -0.4)
    first = [run for run in along("tokens", (320,), 0.0) if run.size == PROXY]
    made.write_transfer([*widths(), *(_shifted(run) for run in tokens)])
    assert first
    return made


def _shifted(run: Trial) -> Trial:
    """A run at twice the tokens lies a doubling beyond the proxy's."""
    return replace(run, hyperparameters={"learning_rate": run.hyperparameters["learning_rate"] * 2.0**-0.4})


def test_a_measured_exponent_moves_the_value_and_its_prediction(folder: Folder) -> None:
    """Tokens 16 times the proxy's at -0.4 are 1.6 octaves: the base rate 2^-5 becomes 2^-6.6, and so do the rows."""
    folder.scale(tokens=5120, batch_size=4, depth=2, width=64)
    document = folder.document()
    (record,) = document["horizon"]

    assert document["hyperparameters"]["learning_rate"] == pytest.approx(2.0**-6.6, rel=0.05)
    assert document["extrapolation"][3]["sentence"].endswith("by the exponent that its ladder measured")
    assert record["used"] is True
    assert record["factor"] == pytest.approx(2.0**-1.6, rel=0.05)
    assert record["factor_low"] < record["factor"] < record["factor_high"]
    assert record["exponent"]["estimate"] == pytest.approx(-0.4, abs=0.05)
    assert (record["exponent"]["measured_from"], record["exponent"]["measured_to"]) == (320, 2560)
    assert record["published"] == []
    rates = {row["learning_rate"] for row in document["parameters"]}
    assert max(rates) == pytest.approx(2.0**-6.6, rel=0.05)
    prediction = registered(document["prediction"])
    assert prediction["value"] == document["hyperparameters"]["learning_rate"]
    assert prediction["basis"][0].startswith("learning_rate moves along tokens (320 -> 5120)")
    assert any("moves along tokens" in note for note in document["notes"])


def test_the_file_reads_back(folder: Folder) -> None:
    """Records of batch, tokens and decay are typed parts of the file."""
    folder.scale(tokens=5120, batch_size=8)
    target = TargetFile.read(folder.target, missing=FileNotFoundError)

    assert [record.axis for record in target.horizon] == ["batch_size", "tokens"]
    assert target.horizon[1].used
    assert target.decay_timescale[0].share > 0


def test_what_the_exponent_carries_is_no_objection(folder: Folder) -> None:
    """The optimum moves with the tokens, which the check calls DRIFTS; the target has it moved, so it is written."""
    trials = [*widths(), *(_shifted(run) for run in along("tokens", (640, 1280, 2560), -0.6))]
    folder.write_transfer(trials, verdict="DRIFTS", sentence="It drifts along tokens.")

    # written, and not covered: the moved value's own interval leaves more than the bound open
    assert folder.scale(tokens=5120, batch_size=4) == 3
    assert folder.document()["verdict"]["verdict"] == "DRIFTS"
    assert folder.document()["verdict"]["objections"] == []
    with pytest.raises(RefusedError, match="It drifts"):
        folder.scale(tokens=320 * 2**40, batch_size=4)  # so far that the exponent says nothing


def test_without_a_ladder_what_is_published_is_printed_and_not_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """64 times the batch: the square root rule would take 8 times the rate; 16 times the tokens: Bjorck's 16^-0.32."""
    folder = Folder(tmp_path)
    folder.scale(batch_size=256, tokens=5120)
    document, text = folder.document(), capsys.readouterr().out
    batch, tokens = document["horizon"]

    assert document["hyperparameters"]["learning_rate"] == 0.03125
    assert (batch["exponent"], batch["used"], batch["factor"]) == (None, False, 1.0)
    assert {each["rule"]: each["value"] for each in batch["published"]} == {"square root rule": pytest.approx(0.25)}
    found = {each["rule"]: each["value"] for each in tokens["published"]}
    # 16^-0.32 = 2^-1.28, 16^-0.5 = 1/4, 16^0.307 = 2^1.228, 16^-0.125 = 2^-0.5
    assert found == {
        "token horizons": pytest.approx(0.03125 * 0.41180, rel=1e-4),
        "Complete(d)P": pytest.approx(0.03125 / 4),
        "Step Law": pytest.approx(0.03125 * 2.34243, rel=1e-4),
        "DeepSeek": pytest.approx(0.03125 * 0.70711, rel=1e-4),
    }
    assert "no ladder measured how learning_rate goes with batch size (4 -> 256)" in text
    assert "learning_rate 0.25 by the power 0.5: square root rule (Malladi et al., arXiv 2205.10287)" in text


def test_an_account_is_given_beside_the_rule_in_use(tmp_path: Path) -> None:
    """Under the batch rule `sde` the rows grow by 8 already: the square root rule leaves the base value as it is."""
    folder = Folder(tmp_path)
    folder.recipe.write_text(RECIPE.replace("completep}", "completep, batch_rule: sde, betas: half-life}"))
    folder.scale(batch_size=256, force=True)
    (record,) = folder.document()["horizon"]

    assert record["published"][0]["value"] == pytest.approx(0.03125)


def test_a_target_on_the_proxys_run_says_nothing(tmp_path: Path) -> None:
    """The same batch and the same tokens need no carrying."""
    folder = Folder(tmp_path)
    folder.scale(batch_size=4)

    assert folder.document()["horizon"] == []


def test_the_timescale_of_decay_is_printed_for_proxy_and_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 / (0.03125 * 0.1) is 320 steps: 32 times the proxy's 10 steps, twice the target's 160."""
    folder = Folder(tmp_path)
    folder.scale(batch_size=4, tokens=5120)
    (record,) = folder.document()["decay_timescale"]

    assert (record["steps"], record["share"]) == (pytest.approx(320), pytest.approx(2.0))
    assert (record["proxy_steps"], record["proxy_share"]) == (pytest.approx(320), pytest.approx(32.0))
    text = capsys.readouterr().out
    assert "weight decay averages over 2 times the run, at the proxy 32 (320 steps): embedding" in text


def test_held_decay_stays_with_the_timescale_though_the_rate_is_moved(tmp_path: Path) -> None:
    """A measured exponent lowers the rate; the decay rises by as much, so the share of the run is the proxy's 32."""
    folder = Folder(tmp_path)
    folder.recipe.write_text(RECIPE.replace("{name: completep}", "{name: completep, decay_timescale: held}"))
    folder.write_transfer([*widths(), *(_shifted(run) for run in along("tokens", (640, 1280, 2560), -0.4))])
    folder.scale(batch_size=4, tokens=5120, force=True)
    document = folder.document()
    (record,) = document["decay_timescale"]

    assert document["horizon"][0]["used"] is True
    assert (record["proxy_share"], record["share"]) == (pytest.approx(32.0), pytest.approx(32.0))
    assert any(note.startswith("weight_decay is divided by") for note in document["notes"])


def test_a_program_of_its_own_is_told_of_every_optimizers_rules(tmp_path: Path) -> None:
    """Nothing is known of how it trains: Adam's and SGD's rules are listed, relative to the value it was given."""
    text = RECIPE.replace("model: {kind: gpt, context: 8, head_dim: 8}\ndata: {kind: stdlib-text}\n", "")
    command = "[python, train.py, '{width}', '{seed}', '{learning_rate}']"
    trainer = f"trainer: {{command: {command}, results: {{stdout: 'loss (.*)'}}}}\ntraining:"
    loaded = load_text(tmp_path, text.replace("training:", trainer))
    found = horizon_of(loaded.recipe, loaded.recipe.target_size(batch_size=16), (), defaults(loaded.recipe.training))

    (record,) = found.records
    assert {each.rule: each.value for each in record.published} == {
        "square root rule": pytest.approx(0.02),
        "linear rule": pytest.approx(0.04),
    }
