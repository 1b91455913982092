"""The records of switched frameworks' rules agree with golden values that their own code returned."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover import cerebras, levanter, lm_engine
from hptransfer.handover.switched import ATTENTION, LOOKED_UP
from hptransfer.scaling.groups import in_gauge
from tests.support.switched import CASES, DEEP_CASES

DATA = Path(__file__).parents[1] / "data"
GOLDEN: dict[str, dict[str, Any]] = {
    name: json.loads((DATA / f"{name}.json").read_text(encoding="utf-8")) for name in ("lm_engine", "cerebras")
}
MODULES: dict[str, ModuleType] = {"lm_engine": lm_engine, "cerebras": cerebras}
EVERY = [(name, case) for name, golden in GOLDEN.items() for case in golden["cases"]]


def same(one: float | None, other: float | None, tolerance: float = 1e-12) -> bool:
    """Whether both are constants, or equal."""
    return one is other if one is None or other is None else math.isclose(one, other, rel_tol=tolerance)


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_a_record_says_what_the_code_does(name: str, case: str) -> None:
    """Init, rate, decay and eps of every parameter, to 1e-12; modelzoo's rates are factors of the peak."""
    golden, module = GOLDEN[name]["cases"][case], MODULES[name]
    rows = {row.name: row for row in module.applied(golden["config"])}
    over = module.peak(golden["config"]) if name == "cerebras" else 1.0

    assert set(rows) - {ATTENTION, LOOKED_UP} == set(golden["rows"])
    for parameter, (std, rate, decay, eps) in golden["rows"].items():
        row = rows[parameter]
        assert same(row.init_std, std), parameter
        assert same(row.learning_rate / over, rate), parameter
        assert same(row.weight_decay, decay), parameter
        assert same(row.eps, eps), parameter


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_a_record_has_the_factors_of_forward(name: str, case: str) -> None:
    """What the framework's own `forward` multiplied by, measured in it."""
    golden, module = GOLDEN[name]["cases"][case], MODULES[name]
    rows = {row.name: row for row in module.applied(golden["config"])}
    factors, names = golden["factors"], module.NAMES
    table = next(name for part, name in names.items() if part == "embedding")
    readout = next(name for part, name in names.items() if part == "readout")
    dims = {"lm_engine": 16, "cerebras": 16}

    looked_up = rows[LOOKED_UP] if LOOKED_UP in rows else rows[table]
    assert same(looked_up.multiplier, factors["embedding"], 1e-9)
    assert same(rows[readout if readout in rows else table].multiplier, factors["logits"], 1e-9)
    assert same(rows[ATTENTION].multiplier / math.sqrt(dims[name]), factors["attention"], 1e-7)
    for part, factor in (("attention output", "attention branch"), ("down", "mlp branch")):
        if factor in factors:
            writer = next(name for each, name in names.items() if each == part).replace("{layer}", "0")
            assert same(rows[writer].multiplier, factors[factor], 1e-9)


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_a_record_has_the_schedule(name: str, case: str) -> None:
    """Shares of the peak at every step that was looked at; cerebras_pytorch computes its rates in float32."""
    golden, module = GOLDEN[name]["cases"][case], MODULES[name]
    config = golden["config"]
    if name == "lm_engine":
        for step, share in golden["schedule"].items():
            assert module.factor_of(config, int(step)) == pytest.approx(share, rel=1e-12, abs=1e-15)
        return
    for step, (smallest, largest) in golden["rates"].items():
        expected = module.peak(config) * module.factor_of(config, int(step))
        # one factor for all groups, so that their ratios stay
        assert smallest == pytest.approx(expected, rel=1e-6, abs=1e-8)
        assert largest == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("name", "case"), [("lm-engine", case) for case in (*CASES, *DEEP_CASES)] + [("cerebras", case) for case in CASES]
)
def test_what_was_executed_is_what_is_written(name: str, case: str) -> None:
    """The golden files are of what the exporter writes today."""
    files = export_target(name, in_gauge({**CASES, **DEEP_CASES}[case](), None, "multipliers"))
    (text,) = files.values()

    assert yaml.safe_load(text) == GOLDEN[name.replace("-", "_")]["cases"][case]["config"]


LEVANTER: dict[str, Any] = json.loads((DATA / "levanter.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", list(LEVANTER["cases"]))
def test_levanters_optimizer_trains_as_the_record_says(case: str) -> None:
    """Which optimizer, rate and decay each parameter has, seen in one update of its own optimizer, in float32."""
    section = LEVANTER["cases"][case]["optimizer"]
    optimizer, rows = levanter.optimizer_of({"optimizer": section}), LEVANTER["cases"][case]["rows"]

    assert set(rows) == set(levanter.PATHS.values())
    for part, path in levanter.PATHS.items():
        by, rate, shrunk = rows[path]
        own = optimizer["type"] == "muon" and levanter.managed(part)
        used = optimizer["adam_lr" if optimizer["type"] == "muon" and not own else "learning_rate"]
        assert by == ("muon" if own else "adamw")
        assert rate is None or rate == pytest.approx(used, rel=1e-4)
        decay = optimizer["weight_decay"] if levanter.decays(part, optimizer) else 0.0
        assert shrunk == pytest.approx(used * decay, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("case", list(LEVANTER["schedules"]))
def test_levanters_schedule_is_the_records(case: str) -> None:
    """A warmup of 1 is the whole run, as in its own code; float32."""
    given = LEVANTER["schedules"][case]
    config = {"optimizer": given["optimizer"], "trainer": {"num_train_steps": 100}}
    for step, share in given["shares"].items():
        assert levanter.factor_of(config, int(step)) == pytest.approx(share, rel=1e-5, abs=1e-6)


def test_levanters_defaults_are_the_records() -> None:
    """Of Adam and of Muon, whose weight decay is 0."""
    for kind, own in LEVANTER["defaults"].items():
        recorded = levanter.optimizer_of({"optimizer": {"type": kind}})
        assert {key: recorded[key] for key, value in own.items() if value is not None} == {
            key: value for key, value in own.items() if value is not None
        }


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        ({"name": "normal", "std": 0.02}, 0.02),
        # scipy.stats.truncnorm(-2, 2).std(), and of (-3, 3)
        ({"name": "truncated_normal", "std": 0.02}, 0.02 * 0.8796256610342398),
        ({"name": "truncated_normal", "std": 0.01, "a": -0.03, "b": 0.03}, 0.01 * 0.9865783925581086),
    ],
)
def test_a_cut_distribution_has_a_smaller_std(initializer: dict[str, Any], std: float) -> None:
    """The real std is compared, not the parameter."""
    assert cerebras.real_std(initializer) == pytest.approx(std, rel=1e-12)


@pytest.mark.parametrize(
    "initializer", [{"name": "xavier_uniform"}, {"name": "truncated_normal", "std": 1.0, "a": 0.0}]
)
def test_another_initializer_is_refused(initializer: dict[str, Any]) -> None:
    """Its muP scales normal and truncated_normal alone."""
    with pytest.raises(UsageError, match="normal"):
        cerebras.real_std(initializer)
