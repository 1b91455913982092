"""Every key of the recipe schema in a valid recipe, and values of a wrong kind to put there."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hptransfer.recipe.yaml.gate import KeyPath
from hptransfer.recipe.yaml.outline import section_at

_SIZES = {"base": {"width": 64, "depth": 2}, "widths": [64, 128, 256, 512], "target": {"width": 1024, "depth": 4}}
_MLP: dict[str, Any] = {
    "name": "small",
    "description": "what it is for",
    "model": {"kind": "mlp", "context": 16, "embedding": 32, "vocabulary": 256, "activation": "relu"}
    | {"norm": "layernorm"},
    "data": {"kind": "stdlib-text"},
    "trainer": "torch",
    "objective": {"name": "loss", "unit": "nats", "direction": "minimize", "evaluation": "held-out bytes"},
    "training": {"steps": 100},
    "parameterization": {"name": "mup"},
    "sizes": _SIZES,
    "tune": {"space": {"learning_rate": {"low": 1e-4, "high": 1e-1}}},
}
_OWN = {"context": 64, "residual_writers": ["proj"], "queries": ["q"], "roles": {"x": "readout"}, "probe": True}
_SETTINGS = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 256}
_COMMAND = {
    "command": ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"],
    "results": {"stdout": "loss (.*)"},
}

#: name -> sections laid over a valid recipe, so that together every key of every variant is given once
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {},
    "gpt": {
        "model": {"kind": "gpt", "context": 64, "head_dim": 16, "positions": "rotary", "mlp_ratio": 4}
        | {"vocabulary": 256},
    },
    "factory": {
        "model": {"kind": "factory", "factory": "a.b:make", "width_argument": "width", "depth_argument": "depth"}
        | {"arguments": {"x": 1}, "example": "a.b:example"}
        | _OWN,
    },
    "huggingface": {
        "model": {"kind": "huggingface", "config": "llama", "settings": _SETTINGS, "depth_key": "num_hidden_layers"}
        | {"follow_width": ["hidden_size"], "task": "causal-lm", "preset": "llama"}
        | _OWN,
    },
    "command": {
        "trainer": _COMMAND
        | {"shell": False, "cwd": ".", "environment": {"A": "b"}, "files": ["a.py"], "accepts": ["plan"]}
        | {"resources": [{"up_to_width": 512, "gpus": 1}, {}], "watches": False, "no_output_for": "30m"}
        | {"retry": {"exit_codes": [75], "attempts": 2}},
        "parameterization": {"name": "measured"},
        "sizes": _SIZES | {"target": {"width": 1024, "depth": 2}},
        "data": {"kind": "external", "version": "1", "predictions_per_example": 4},
        "model": {"kind": "external", "context": 1},
    },
}

#: a value as it is written in YAML, of kinds that people mix up
WRONG = (
    *("no", "off", "yes", '"true"', "true", "0", "1", "64", "64.0", "0.5", "-3", '"64"', '"1e-3 "', '"10k"', "64k"),
    *("1M tokens", "5%", "0,5", "1_000", '"1,000"', "2^-7", "1/2", ".inf", ".nan", "null", "~", '""', '" "', "none"),
    *("text", "Text", "a.b", "[64]", "[text]", "[1, 2, 3]", "64, 128", "[]", "{}", "{a: 1}", "{width}", "[[1]]"),
    *("[{a: 1}]", "[{low: 1}, {high: 2}]", "[0.001, 0.1]", "30", "30 min", "4 gb", "1e400", "mup", "gpt", "torch"),
)


@dataclass(frozen=True)
class Key:
    """A key in a recipe.

    Attributes:
        variant: the name in `VARIANTS` of the recipe that has it.
        path: keys and list indices that lead to it from the top.
        data: the recipe as plain data.
    """

    variant: str
    path: KeyPath
    data: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.variant}: {'.'.join(map(str, self.path))}"


def keys() -> Iterator[Key]:
    """Every key of the schema, those of variants in a recipe of the variant, and an entry of each list and mapping."""
    seen: set[tuple[str, KeyPath]] = set()
    for variant, sections in VARIANTS.items():
        data = {**_MLP, **copy.deepcopy(dict(sections))}
        for path, owner in _paths((), data):
            if (owner, path) not in seen:
                seen.add((owner, path))
                yield Key(variant, path, data)


def _paths(path: KeyPath, data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Paths below a section with the name of the section's class."""
    section = section_at(path, dict(data))
    if section is None:
        return
    for key in section.model_fields:
        inner = (*path, key)
        yield inner, section.__name__
        yield from _paths(inner, data)
        for entry in _ENTRIES.get(key, ()):
            yield (*inner, entry), section.__name__
            yield from _paths((*inner, entry), data)


#: name of a key that holds a list or a mapping -> an entry of it
_ENTRIES: Mapping[str, tuple[str | int, ...]] = {
    **dict.fromkeys(("widths", "depths", "batch_sizes", "command", "files", "accepts", "resources"), (0,)),
    **dict.fromkeys(("residual_writers", "queries", "follow_width", "hyperparameters", "diagnostics", "accept"), (0,)),
    **dict.fromkeys(("exit_codes", "enqueue"), (0,)),
    **dict.fromkeys(("arguments", "settings", "loss_arguments", "set"), ("a",)),
    **dict.fromkeys(("space", "optimum"), ("learning_rate",)),
    "environment": ("A",),
    "roles": ("x",),
    "parameters": ("w64-d2",),
}


def laid_in(data: Mapping[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    """A recipe with a value at a path; sections on the way that it lacks are added.

    Args:
        data: the recipe as plain data.
        path: keys and list indices that lead to the value.
        value: what is put there.
    """
    whole = copy.deepcopy(dict(data))
    inner: Any = whole
    for part, following in zip(path, [*path[1:], None], strict=True):
        lacking: Any = [] if isinstance(following, int) else {}
        if isinstance(part, int):
            kept = inner[part] if part < len(inner) else lacking
            inner[part : part + 1] = [value if following is None else kept]
        elif following is None:
            inner[part] = value
        elif not isinstance(inner.get(part), type(lacking)):
            inner[part] = lacking
        inner = inner[part]
    return whole
