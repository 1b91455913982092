"""target.yaml: it reads back bit for bit, and a model trains with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.export.target import TargetEvidence, extrapolation, render_target, target_document, write_target
from hptransfer.models.applied_plan import AppliedPlan, read_document
from hptransfer.models.build import build_model
from hptransfer.models.shape_reading import read_parameters
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.schema import GptModel, MlpModel, Model
from hptransfer.sizes import Size

BASE = Size(16, 2, 8, 800)
TARGET = Size(48, 6, 8, 800)  # multipliers 3: nothing is a round number
VALUES = {
    "learning_rate": 0.1,
    "weight_decay": 0.3,
    "init_scale": 0.7,
    "eps": 1e-8,
    "beta1": 0.9,
    "beta2": 0.95,
    "momentum": 0.9,
}
EVIDENCE = TargetEvidence("TRANSFERS", "It holds.", [{"axis": "width", "sizes": [16, 32]}], {"widths": [16, 32]})


def planned(model: Model, optimizer: str = "adamw", size: Size = TARGET, **values: float) -> Plan:
    """A plan of a built-in model."""
    spec = Parameterization("completep" if model.kind == "gpt" else "mup")
    return plan(spec, BASE, size, read_parameters(model, BASE, size), VALUES | values, optimizer=optimizer)


def document(of: Plan, evidence: TargetEvidence = EVIDENCE) -> dict[str, object]:
    """The plan's target document."""
    return target_document(of, evidence, recipe="tiny", training={"steps": 3}, provenance={"recipe_hash": "0"})


GPT = GptModel(kind="gpt", context=8, head_dim=8)
MLP = MlpModel(kind="mlp", context=4, embedding=4)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("model", [GPT, MLP], ids=["gpt", "mlp"])
def test_every_number_reads_back(tmp_path: Path, model: Model, optimizer: str) -> None:
    """Parameter groups from the file equal those of the plan, bit for bit, and so does the init."""
    made = planned(model, optimizer)
    write_target(tmp_path / "target.yaml", document(made))
    loaded = hptransfer.load_plan(tmp_path / "target.yaml")
    modules = [build_model(model, 48, 6) for _ in range(2)]
    groups = []
    for applied, module in zip((AppliedPlan.from_plan(made), loaded), modules, strict=True):
        applied.init_(module, seed=5)
        names = {id(tensor): name for name, tensor in module.named_parameters()}
        groups.append(
            [{**group, "params": [names[id(p)] for p in group["params"]]} for group in applied.param_groups(module)]
        )

    assert groups[0] == groups[1]
    assert all(map(torch.equal, modules[0].state_dict().values(), modules[1].state_dict().values()))
    assert (loaded.optimizer, loaded.hyperparameters) == (optimizer, VALUES)


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-300, 1e300), st.floats(0, 1e300), st.floats(1e-300, 1.0))
def test_any_float_reads_back(learning_rate: float, weight_decay: float, eps: float) -> None:
    """Whatever the values, text gives back the same bits."""
    row = replace(planned(MLP).rows[0], learning_rate=learning_rate, weight_decay=weight_decay, eps=eps)
    made = replace(planned(MLP), rows=[row])

    group = read_document(yaml.safe_load(render_target(document(made))), "target.yaml").groups[0]

    assert (group.learning_rate, group.weight_decay, group.eps) == (learning_rate, weight_decay, eps)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_model_trains_with_it(tmp_path: Path, optimizer: str) -> None:
    """What the header says works: load, init, groups, optimizer; the loss falls."""
    rate = 0.01 if optimizer == "adamw" else 0.1
    write_target(tmp_path / "target.yaml", document(planned(GPT, optimizer, learning_rate=rate, weight_decay=0.0)))
    model = build_model(GPT, 48, 6)
    loaded = hptransfer.load_plan(tmp_path / "target.yaml")
    loaded.init_(model, seed=0)
    trainer: torch.optim.Optimizer
    if optimizer == "adamw":
        trainer = torch.optim.AdamW(loaded.param_groups(model), betas=(0.9, 0.95))
    else:
        trainer = torch.optim.SGD(loaded.param_groups(model), momentum=0.9)
    tokens = (torch.arange(9) + 10 * torch.arange(4)[:, None]) % 256
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        trainer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        trainer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.5 * losses[0]


def test_the_header_shows_how_to_use_it() -> None:
    """The comment on top names the calls, with the values of this file."""
    adam, sgd = (render_target(document(planned(GPT, optimizer))) for optimizer in ("adamw", "sgd"))

    assert '#   plan = hptransfer.load_plan("target.yaml")' in adam
    assert "betas=(0.9, 0.95)" in adam
    assert "momentum=0.9" in sgd
    assert "FORCED" not in adam


# Complete(d)P (arXiv 2512.22382) Table 1: 1 - beta times m_B / m_D; at twice the batch 7/8 -> 3/4 and 31/32 -> 15/16
def test_betas_are_those_of_this_size(tmp_path: Path) -> None:
    """Where betas follow the batch, the header and the loaded plan have the target's, not the base's."""
    size = replace(BASE, batch_size=16)
    values = VALUES | {"beta1": 0.875, "beta2": 0.96875}
    parameters = read_parameters(GPT, BASE, size)
    made = plan(Parameterization("complete-d-p"), BASE, size, parameters, values, optimizer="adamw")
    text = render_target(document(made))
    loaded = read_document(yaml.safe_load(text), "target.yaml")

    assert "betas=(0.75, 0.9375)" in text
    assert (loaded.optimizer_values["beta1"], loaded.optimizer_values["beta2"]) == (0.75, 0.9375)
    assert loaded.hyperparameters == values


def test_a_forced_file_says_so() -> None:
    """Objections stand in the header and in the data."""
    evidence = replace(EVIDENCE, objections=["transfer was never checked"])
    text = render_target(document(planned(GPT), evidence))
    verdict = yaml.safe_load(text)["verdict"]

    assert "# FORCED" in text
    assert "#   transfer was never checked" in text
    assert (verdict["forced"], verdict["objections"]) == (True, ["transfer was never checked"])


def test_a_multiline_objection_stays_a_comment() -> None:
    """Text from another file cannot break out of the header."""
    evidence = replace(EVIDENCE, objections=["the check says\nDRIFTS: x"])

    parsed = yaml.safe_load(render_target(document(planned(GPT), evidence)))

    assert parsed.keys() == document(planned(GPT)).keys()


def test_layers_share_rows() -> None:
    """The decoder has as many rows at depth 6 as at depth 2, and no aliases."""
    text = render_target(document(planned(GPT)))
    rows = yaml.safe_load(text)["parameters"]

    assert len(rows) == 11
    assert rows[1]["pattern"] == r"blocks\.\d+\.attention_norm\.weight"
    assert rows[1]["count"] == 6
    assert "*id" not in text
    assert rows[0]["rules"] == {"eps": "m_out^-1"}


def test_extrapolation_says_what_is_theory() -> None:
    """Each axis has its distance from what was trained, and says when nothing but theory covers it."""
    made = planned(GPT, size=Size(256, 4, 16, 1600))
    axes = {entry["axis"]: entry for entry in extrapolation(made, {"widths": [16, 32, 64], "depths": [2, 4]})}

    assert (axes["width"]["checked_up_to"], axes["width"]["factor"]) == (64, 4.0)
    assert axes["width"]["sentence"] == "width 256 lies 4 times beyond the largest trained (64): by theory alone"
    assert axes["depth"]["sentence"] == "depth 4 lies within what was trained (up to 4)"
    assert str(axes["batch_size"]["sentence"]).endswith(
        "2 times that of the checked runs: no rule and no check cover it"
    )
    assert axes["tokens"]["factor"] == 2.0


def test_an_axis_without_rule_is_not_called_theory() -> None:
    """Under mup a deeper target is covered by nothing."""
    axes = {entry["axis"]: entry for entry in extrapolation(planned(MLP), {"widths": [16], "depths": [2]})}

    assert str(axes["depth"]["sentence"]).endswith("no rule and no check cover it")


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """A folder in the way is a usage error, and leaves no temporary file."""
    (tmp_path / "target.yaml").mkdir()

    with pytest.raises(UsageError):
        write_target(tmp_path / "target.yaml", document(planned(MLP)))
    assert [path.name for path in tmp_path.iterdir()] == ["target.yaml"]
