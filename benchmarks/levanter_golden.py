"""Records what levanter's own optimizer makes of its configuration, for tests on machines without it.

`PYTHON benchmarks/levanter_golden.py CHECKOUT > tests/data/levanter.json`: CHECKOUT is a folder with the sources of
stanford-crfm/levanter at commit 9263f81e, outside this repository, and PYTHON an environment of its own with jax 0.7.2,
haliax 1.4.dev404, equinox, optax and draccus. Its optimizer configurations, the mask of the decay, Muon's split, the
schedule and its Llama are imported unmodified; its trackers, data, callbacks, and what else is not installed are stubs.
One update of ones and of zeros says which rate and decay each parameter has. This file imports nothing of hptransfer.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

COMMIT = "9263f81e8b453241332c2c0b2d2001bfb2d2241c"
STEPS = (0, 1, 9, 10, 11, 50, 69, 70, 71, 99, 100)
_STUBS = ("tracker", "callbacks", "data", "inference", "trainer", "checkpoint")
_PLAIN = {"learning_rate": 0.01, "warmup": 0.0, "lr_schedule": "constant", "max_grad_norm": 0.0, "weight_decay": 0.1}
_MATRICES = [f"transformer.layers.stacked.{name}" for name in ("self_attn.q_proj", "mlp.down_proj")]
#: optimizer sections
CASES: dict[str, dict[str, Any]] = {
    "adam": {"type": "adam", **_PLAIN},
    "mask off": {"type": "adam", **_PLAIN, "default_weight_decay_mask": False},
    "mask written": {
        "type": "adam", **_PLAIN, "default_weight_decay_mask": False,
        "weight_decay_modules": ["embeddings.token_embeddings", *_MATRICES, "transformer.norm"],
    },
    "mask and default": {
        "type": "adam", **_PLAIN, "default_weight_decay_mask": True, "weight_decay_modules": ["token_embeddings"],
    },
    "regex": {"type": "adam", **_PLAIN, "weight_decay_modules": r".*self_attn.*weight|.*lm_head"},
    "muon": {"type": "muon", **_PLAIN, "adam_lr": 0.003},
    "muon, mask written": {
        "type": "muon", **_PLAIN, "adam_lr": 0.003, "default_weight_decay_mask": False,
        "weight_decay_modules": ["embeddings.token_embeddings", *_MATRICES],
    },
}  # fmt: skip
#: schedules over 100 steps
SCHEDULES: dict[str, dict[str, Any]] = {
    "cosine": {"warmup": 10, "min_lr_ratio": 0.1, "lr_schedule": "cosine"},
    "linear": {"warmup": 10, "min_lr_ratio": 0.0, "lr_schedule": "linear"},
    "wsd": {"warmup": 10, "decay": 30, "min_lr_ratio": 0.0, "lr_schedule": "linear"},
    "constant": {"warmup": 10, "lr_schedule": "constant"},
    "a warmup of one": {"warmup": 1, "lr_schedule": "constant"},
    "half": {"warmup": 0.015, "min_lr_ratio": 0.1, "lr_schedule": "cosine"},
}


#: fields whose defaults matter
_DEFAULTS = (
    "learning_rate", "adam_lr", "weight_decay", "min_lr_ratio", "warmup", "decay", "lr_schedule",
    "weight_decay_modules", "default_weight_decay_mask", "beta1", "beta2", "epsilon", "momentum", "max_grad_norm",
    "use_kimi_scaling",
)  # fmt: skip


class _Module(types.ModuleType):
    """A module in which every name is there."""

    __path__: list[str] = []  # noqa: RUF012  # what the import system asks of a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        own = {"__init__": lambda *_, **__: None, "__class_getitem__": classmethod(lambda cls, _: cls)}
        value = type(name, (), own) if name[0].isupper() else MagicMock(name=name)
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stubs of parts of levanter that train no weight."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.startswith(tuple(f"levanter.{stub}" for stub in _STUBS)):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: the module was made whole."""


class _Missing(_Finder):
    """Stubs of packages that are not installed, of which no optimizer makes use."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        package = name.partition(".")[0]
        known = package in sys.stdlib_module_names or package in (
            "jax",
            "jaxlib",
            "levanter",
            "haliax",
            "numpy",
            "torch",
        )
        asked = sys._getframe(1)
        while asked is not None and "importlib" in asked.f_code.co_filename:
            asked = asked.f_back  # type: ignore[assignment]  # the frame that imports
        levanters = asked is not None and asked.f_globals.get("__name__", "").startswith("levanter")
        stubbed = isinstance(sys.modules.get(package), _Module)
        return (
            importlib.machinery.ModuleSpec(name, self, is_package=True)
            if stubbed or (levanters and not known)
            else None
        )


def main() -> None:
    """Print the JSON."""
    checkout = Path(sys.argv[1])
    sys.meta_path.insert(0, _Finder())
    sys.meta_path.append(_Missing())
    package = types.ModuleType("levanter")
    package.__path__ = [str(checkout / "src/levanter")]
    sys.modules["levanter"] = package
    package.tracker = importlib.import_module("levanter.tracker")  # type: ignore[attr-defined]  # a stub
    jax, hax = importlib.import_module("jax"), importlib.import_module("haliax")
    kinds: dict[str, Any] = {
        "adam": importlib.import_module("levanter.optim.config").AdamConfig,
        "muon": importlib.import_module("levanter.optim.muon").MuonConfig,
    }
    llama = importlib.import_module("levanter.models.llama")
    paths_of = importlib.import_module("levanter.utils.jax_utils").leaf_key_paths
    config = llama.LlamaConfig(
        seq_len=16, hidden_dim=32, intermediate_dim=48, num_layers=2, num_heads=4, num_kv_heads=2
    )
    model = llama.LlamaLMHeadModel.init(hax.Axis("vocab", 64), config, key=jax.random.PRNGKey(0))
    trained = importlib.import_module("equinox").filter(model, importlib.import_module("equinox").is_inexact_array)
    paths = jax.tree_util.tree_leaves(paths_of(trained, is_leaf=hax.is_named_array))

    def filled(value: float) -> Any:
        return jax.tree_util.tree_map(lambda leaf: leaf * 0 + value, trained)

    def rows(section: dict[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in section.items() if key != "type"}
        kind = kinds[section["type"]](**given)
        updates = []
        for value in (0.0, 1.0):
            optimizer = kind.build(100)
            parameters = filled(value)
            found, _ = optimizer.update(filled(1.0), optimizer.init(parameters), parameters)
            updates.append([float(leaf.mean()) for leaf in jax.tree_util.tree_leaves(found)])
        muon = (
            jax.tree_util.tree_leaves(kind.create_mask(trained))
            if section["type"] == "muon"
            else ["adamw"] * len(paths)
        )
        # one step of Adam on ones is the rate; what a weight of one loses besides is rate times decay
        return {
            path: [by, None if by == "muon" else -zero, zero - one]
            for path, by, zero, one in zip(paths, muon, *updates, strict=True)
        }

    # its Muon asks for a mesh, here of one device
    mesh = jax.sharding.Mesh(importlib.import_module("numpy").array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
    with mesh:
        cases = {name: {"optimizer": section, "rows": rows(section)} for name, section in CASES.items()}
    content = {
        "source": "stanford-crfm/levanter, unmodified; trackers, data, callbacks and checkpoints are stubs",
        "commit": COMMIT,
        "command": "PYTHON benchmarks/levanter_golden.py CHECKOUT > tests/data/levanter.json",
        "jax": jax.__version__,
        "defaults": {name: {key: getattr(kind(), key, None) for key in _DEFAULTS} for name, kind in kinds.items()},
        "cases": cases,
        "schedules": {
            name: {"optimizer": section, "shares": {step: _share(kinds["adam"], section, step) for step in STEPS}}
            for name, section in SCHEDULES.items()
        },
    }
    print(json.dumps(content, indent=1))


def _share(kind: Any, section: dict[str, Any], step: int) -> float:
    return float(kind(learning_rate=1.0, **section).lr_scheduler(100)(step))


if __name__ == "__main__":
    main()
