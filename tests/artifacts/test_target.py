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
from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.build import build_model
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import Model
from tests.support.reading import parameters_of
from tests.support.same_training import require_same_training
from tests.support.targets import BASE, GPT, MLP, VALUES, planned, text_of


def read(text: str) -> AppliedPlan:
    """The plan in a file's text."""
    return AppliedPlan.from_target(TargetFile.parse(text, Path("target.yaml")))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("model", [GPT, MLP], ids=["gpt", "mlp"])
def test_every_number_reads_back(tmp_path: Path, model: Model, optimizer: str) -> None:
    """Parameter groups from the file equal those of the plan, bit for bit, and so does the init."""
    made = planned(model, optimizer)
    (tmp_path / "target.yaml").write_text(text_of(made))
    loaded = hptransfer.load_plan(tmp_path / "target.yaml")
    modules = [build_model(model, 48, 6) for _ in range(2)]
    require_same_training((AppliedPlan.from_plan(made), loaded), modules)
    assert (loaded.optimizer, loaded.hyperparameters) == (optimizer, VALUES)


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-300, 1e300), st.floats(0, 1e300), st.floats(1e-300, 1.0))
def test_any_float_reads_back(learning_rate: float, weight_decay: float, eps: float) -> None:
    """Whatever the values, text gives back the same bits."""
    row = replace(planned(MLP).rows[0], learning_rate=learning_rate, weight_decay=weight_decay, eps=eps)
    made = replace(planned(MLP), rows=[row])

    group = read(text_of(made)).groups[0]

    assert (group.learning_rate, group.weight_decay, group.eps) == (learning_rate, weight_decay, eps)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_model_trains_with_it(tmp_path: Path, optimizer: str) -> None:
    """What the header says works: load, init, groups, optimizer; the loss falls."""
    rate = 0.01 if optimizer == "adamw" else 0.1
    (tmp_path / "target.yaml").write_text(text_of(planned(GPT, optimizer, learning_rate=rate, weight_decay=0.0)))
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
    adam, sgd = (text_of(planned(GPT, optimizer)) for optimizer in ("adamw", "sgd"))

    assert '#   plan = hptransfer.load_plan("target.yaml")' in adam
    assert "betas=(0.9, 0.95)" in adam
    assert "momentum=0.9" in sgd
    assert "FORCED" not in adam


@pytest.mark.parametrize(("optimizer", "rate"), [("muon", 0.05), ("adamh", 0.05), ("muonh", 0.05), ("lion", 0.003)])
def test_a_model_trains_with_the_line_of_the_header(tmp_path: Path, optimizer: str, rate: float) -> None:
    """In a plain script: the line makes the optimizer with the file's rates and factor of the shape; the loss falls."""
    made = planned(GPT, optimizer, learning_rate=rate, weight_decay=0.0)
    path = tmp_path / "target.yaml"
    path.write_text(text_of(made))
    loaded, model = hptransfer.load_plan(path), build_model(GPT, 48, 6)
    loaded.init_(model, seed=0)
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("#   optimizer = ")]
    trainer = eval(line.removeprefix("#   optimizer = "), {"hptransfer": hptransfer, "plan": loaded, "model": model})  # noqa: S307  # our own line
    tokens = (torch.arange(9) + 10 * torch.arange(4)[:, None]) % 256
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        trainer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        trainer.step()
        losses.append(loss.item())

    rates = {id(tensor): group["lr"] for group in trainer.param_groups for tensor in group["params"]}
    assert losses[-1] < 0.5 * losses[0]
    assert {name: rates[id(tensor)] for name, tensor in model.named_parameters()} == {
        row.parameter.name: row.learning_rate for row in made.rows
    }
    scales = {group.get("adjust_lr_fn") for group in trainer.param_groups if group.get("optimizer") == "muon"}
    assert scales == ({"original"} if optimizer == "muon" else set())


# Complete(d)P (arXiv 2512.22382) Table 1: 1 - beta times m_B / m_D; at twice the batch 7/8 -> 3/4 and 31/32 -> 15/16
def test_betas_are_those_of_this_size(tmp_path: Path) -> None:
    """Where betas follow the batch, the header and the loaded plan have the target's, not the base's."""
    size = replace(BASE, batch_size=16)
    values = VALUES | {"beta1": 0.875, "beta2": 0.96875}
    parameters = parameters_of(GPT, BASE, size)
    made = plan(Parameterization("complete-d-p"), BASE, size, parameters, values, optimizer="adamw")
    text = text_of(made)
    loaded = read(text)

    assert "betas=(0.75, 0.9375)" in text
    assert (loaded.optimizer_values["beta1"], loaded.optimizer_values["beta2"]) == (0.75, 0.9375)
    assert loaded.hyperparameters == values


def test_a_forced_file_says_so() -> None:
    """Objections stand in the header and in the data."""
    text = text_of(planned(GPT), ["transfer was never checked"])
    verdict = yaml.safe_load(text)["verdict"]

    assert "# FORCED" in text
    assert "#   transfer was never checked" in text
    assert (verdict["forced"], verdict["objections"]) == (True, ["transfer was never checked"])


def test_a_multiline_objection_stays_a_comment() -> None:
    """Text from another file cannot break out of the header."""
    parsed = yaml.safe_load(text_of(planned(GPT), ["the check says\nDRIFTS: x"]))

    assert parsed.keys() == TargetFile.model_fields.keys()


def test_layers_share_rows() -> None:
    """The decoder has as many rows at depth 6 as at depth 2, and no aliases."""
    text = text_of(planned(GPT))
    rows = yaml.safe_load(text)["parameters"]

    assert len(rows) == 11
    assert rows[1]["pattern"] == r"blocks\.\d+\.attention_norm\.weight"
    assert rows[1]["count"] == 6
    assert "*id" not in text
    assert rows[0]["rules"] == {"eps": "m_out^-1"}


def test_the_first_spelling_of_the_format_reads_on() -> None:
    """Files of 0.1 said `hptransfer-target/1`, had infinite open ends and no identity; predictions rest on them."""
    data = yaml.safe_load(text_of(planned(GPT))) | {"format": "hptransfer-target/1"}
    del data["provenance"]["identity"]
    data["provenance"]["intervals"] = {"learning_rate": [0.01, float("inf")]}
    text = yaml.safe_dump(data, sort_keys=False)

    assert read(text).groups == read(text_of(planned(GPT))).groups


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "must have format 1"),
        ({"surprise": 1}, "surprise"),
        ({"size": {"width": 1}}, "size"),
        ({"hyperparameters": {"learning_rate": "1e-3"}}, "hyperparameters.learning_rate"),
    ],
)
def test_other_content_is_refused(change: dict[str, object], said: str) -> None:
    """What `scale` did not write is a usage error that names the key."""
    data = yaml.safe_load(text_of(planned(GPT))) | change

    with pytest.raises(UsageError, match=said):
        read(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("key", "value"),
    [("learning_rate", "1e-3"), ("shape", "4"), ("count", True), ("pattern", 3), ("rules", []), ("surprise", 1)],
)
def test_wrong_rows_are_usage_errors(key: str, value: object) -> None:
    """A row edited into a wrong type, or with an unknown key, is refused by name."""
    data = yaml.safe_load(text_of(planned(GPT)))
    data["parameters"][0][key] = value

    with pytest.raises(UsageError, match=key):
        read(yaml.safe_dump(data))


def test_numbers_that_yaml_takes_for_text_have_a_hint() -> None:
    """PyYAML reads 1e-3 as text."""
    text = text_of(planned(GPT)).replace("learning_rate: 0.1\n", "learning_rate: 1e-3\n", 1)

    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.findings[0].hint == "write numbers with a point: 1.0e-3"
