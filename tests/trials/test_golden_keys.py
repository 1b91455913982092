"""Keys that must never change unless `identity.VERSION` is raised: `python -m tests.trials.test_golden_keys` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hptransfer.recipe import model_sections, schema
from hptransfer.recipe.registered import DATA_SOURCES
from hptransfer.recipe.sections import Section
from hptransfer.recipe.training import Multipliers, Training
from hptransfer.trials.identity import VERSION
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import identity
from tests.support.tiny import recipe

GOLDEN = Path(__file__).with_name("golden_keys.json")
ADVICE = (
    "the same run would get another key, so finished trials would be trained again: undo that, or raise "
    "`hptransfer.trials.identity.VERSION` and run `python -m tests.trials.test_golden_keys`"
)
LLAMA = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4}
MODELS: Mapping[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "context": 4, "embedding": 4},
    "mlp-tanh": {"kind": "mlp", "context": 4, "embedding": 4, "activation": "tanh", "norm": "none"},
    "gpt": {"kind": "gpt", "context": 8, "head_dim": 8},
    "gpt-learned": {"kind": "gpt", "context": 8, "head_dim": 8, "positions": "learned", "mlp_ratio": 2},
    "factory": {"kind": "factory", "factory": "tests.trials.golden_model:build", "context": 8},
    "huggingface": {
        "kind": "huggingface",
        "config": "llama",
        "context": 8,
        "settings": LLAMA | {"num_hidden_layers": 2, "vocab_size": 256},
    },
}
OPTIONS: Mapping[str, dict[str, Any]] = {
    "standard": {"name": "standard"},
    "ntk": {"name": "ntk"},
    "mean-field": {"name": "mean-field"},
    "mup": {"name": "mup"},
    "mup-options": {
        "name": "mup",
        "weight_decay": "independent",
        "eps": "published",
        "batch_rule": "sde",
        "token_exponent": 0.32,
        "betas": "half-life",
    },
    "spectral": {"name": "spectral"},
    "depth-mup": {"name": "depth-mup"},
    "completep": {"name": "completep"},
    "completep-alpha": {"name": "completep", "alpha": 0.5},
    "complete-d-p": {"name": "complete-d-p"},
    "u-mup": {"name": "u-mup"},
}
RESIDUAL = ("depth-mup", "completep", "completep-alpha", "complete-d-p", "u-mup")
TRAININGS: Mapping[str, dict[str, Any]] = {
    "adamw": {"optimizer": "adamw", "schedule": "cosine"},
    "sgd": {"optimizer": "sgd", "schedule": "constant", "momentum": 0.8, "clip": 1.0, "evaluation_batches": 3},
    "multipliers": {"multipliers": {"readout_init": 2.0, "hidden_learning_rate": 0.5}},
}


def specs() -> Iterator[tuple[str, TrialSpec]]:
    """A trial over each thing that recipes can say, by name."""
    for name, model in MODELS.items():
        yield f"model {name}", spec(model=whole(model))
    for name in ("factory", "huggingface"):  # the keys that these models had before own inits
        yield f"model {name} by rule", spec(model=whole(MODELS[name]), parameterization={"init": "rule"})
    for name, choice in OPTIONS.items():
        model = MODELS["gpt"] if name in RESIDUAL else MODELS["mlp"]
        yield f"parameterization {name}", spec(model=whole(model), parameterization=choice)
    for name, training in TRAININGS.items():
        yield f"training {name}", spec(training=training)
    yield "data text", spec(data={"kind": "text", "files": ["*.txt"], "validation_fraction": 0.2})
    yield "size", TrialSpec(recipe(), Path(), recipe().size(32, 4, batch_size=16, tokens=640), {}, 0)
    yield "values", TrialSpec(recipe(), Path(), recipe().size(16, 2), {"learning_rate": 0.5, "warmup": 0.2}, 3)


def whole(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section in place of the tiny recipe's, whose keys it does not share."""
    return {"context": None, "embedding": None, **section}


def spec(**sections: Mapping[str, Any]) -> TrialSpec:
    """A trial of the tiny recipe with other sections."""
    wanted = recipe(**sections)
    return TrialSpec(wanted, Path(), wanted.size(16, 2), {}, 0)


def computed() -> dict[str, Any]:
    """What the golden file holds."""
    keys = {}
    for name, wanted in specs():
        of = identity(wanted)
        keys[name] = {"key": of.key(wanted), "experiment": of.experiment}
    return {"version": VERSION, "keys": keys, "defaults": defaults()}


def defaults() -> dict[str, dict[str, Any]]:
    """Defaults of every section whose fields are left out of keys where they are at them."""
    sections: list[type[Section]] = [
        model_sections.MlpModel,
        model_sections.GptModel,
        model_sections.FactoryModel,
        model_sections.HuggingFaceModel,
        Training,
        Multipliers,
        schema.ParameterizationChoice,
        *(DATA_SOURCES.look_up(name).section for name in DATA_SOURCES.built_in),
    ]
    return {
        section.__name__: {
            name: _plain(field.get_default(call_default_factory=True))
            for name, field in section.model_fields.items()
            if not field.is_required()
        }
        for section in sections
    }


def _known(now: Any, before: Any) -> Any:
    """A default without the fields of nested sections that did not exist before."""
    if not (isinstance(now, dict) and isinstance(before, dict)):
        return now
    return {name: _known(value, before[name]) for name, value in now.items() if name in before}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda section: section.model_dump(mode="json")))


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """The file."""
    content: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize(("name", "wanted"), list(specs()), ids=lambda value: value if isinstance(value, str) else "")
def test_keys_are_as_they_were(golden: dict[str, Any], name: str, wanted: TrialSpec) -> None:
    """Over every model, data source, optimizer, schedule, parameterization and option; all of one identity version."""
    of = identity(wanted)

    assert golden["version"] == VERSION, "run `python -m tests.trials.test_golden_keys`"
    assert golden["keys"][name] == {"key": of.key(wanted), "experiment": of.experiment}, ADVICE


def test_golden_keys_are_all_different(golden: dict[str, Any]) -> None:
    """Each entry says something that the others do not; the tiny recipe itself is an MLP under muP."""
    keys = {name: entry["key"] for name, entry in golden["keys"].items()}
    same = {name for name in keys if keys[name] == keys["model mlp"]}

    assert same == {"model mlp", "parameterization mup"}
    assert len(set(keys.values())) == len(keys) - 1


def test_defaults_are_as_they_were(golden: dict[str, Any]) -> None:
    """Fields at their default are left out of keys, so another default would give another run an old key."""
    now = defaults()
    changed = {
        f"{section}.{name}": (value, now.get(section, {}).get(name))
        for section, fields in golden["defaults"].items()
        for name, value in fields.items()
        if name in now.get(section, {}) and _known(now[section][name], value) != value
    }

    assert changed == {}, "raise `hptransfer.trials.identity.VERSION` with every changed default"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(computed(), indent=1) + "\n", encoding="utf-8")
