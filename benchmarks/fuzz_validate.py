"""Recipes and files of run folders, damaged at random, read in this process: no traceback, no hang, every rule fires.

`python -m benchmarks.fuzz_validate recipes|artifacts [--count N] [--seed S] [--start K]`. A case is fixed by the seed
and its number, so one that falls is made again by `--start K --count 1`. Prints a line of JSON: cases, how many passed
the YAML gate, how often each rule fired, rules that never did, the longest time, and what fell with its number.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from hptransfer.artifacts.plan_file import PlanFile
from hptransfer.artifacts.recipe_snapshot import load_snapshot
from hptransfer.artifacts.transfer import read_transfer
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.errors import HptransferError
from hptransfer.linting.base import LINT_RULES
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from hptransfer.recipe.form_rules import CODES
from hptransfer.recipe.rules.base import recipe_rules
from hptransfer.recipe.shipped import shipped_recipes, template, templates
from hptransfer.recipe.yaml.gate import read_yaml
from hptransfer.recipe.yaml.outline import KINDS, keys_at
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore
from hptransfer.storage.snapshot import read_trials
from tests.support.combinations import combinations
from tests.support.recipe_texts import GPT, MLP, edited

_DATA = "{kind: stdlib-text}"
PLANTED = (
    (_DATA, "{kind: text, files: [out.txt]}"),
    (_DATA, "{kind: text, files: ['deep/**/none']}"),
    (_DATA, "{kind: text, files: [short.txt]}"),
    (_DATA, "{kind: text, files: [../x.txt]}"),
    (_DATA, "{kind: tokens, train: [odd.bin], dtype: uint16, vocabulary: 256}"),
    ("tune:", "check: {spacing: 0.03125, octaves: 16, seeds: 100}\ntune:"),
    ("tune:", "check: {hyperparameter: learning_rate, hyperparameters: [learning_rate, learning_rate]}\ntune:"),
    ("tune:", "check: {adaptive: true, max_trials: 3}\ntune:"),
    ("tune:", "check: {seeds: 1}\ntune:"),
    ("tune:", "check: {criteria: {cost: null}}\ntune:"),
    ("tune:", "check: {diagnostics: [sharpness, sharpness]}\ntune:"),
    ("tune:", "check: {diagnostics: [linearization]}\ntune:"),
    ("steps: 100", "steps: 100\n  momentum: 0.5"),
    ("{kind: mlp}", "{kind: huggingface, config: llam, settings: {hidden_size: 64}}"),
    ("{kind: mlp}", "{kind: huggingface, config: llama, settings: {_attn_implementation: x, auto_map: x}}"),
    (
        "1e-1}",
        "1e-1}\n    output_multiplier: {low: 0.1, high: 10}\n    readout_init: {low: 0.1, high: 10}"
        "\n    readout_learning_rate: {low: 0.1, high: 10}",
    ),
)
PLANTED_GPT = (
    ("{name: completep}", "{name: complete-d-p, betas: half-life}"),
    ("depth: 4}", "depth: 4, batch_size: 4096, tokens: 409600}"),
    ("base: {width: 64", "base: {width: 60"),
    ("head_dim: 16", "head_dim: 1, positions: rotary"),
    ("head_dim: 16", "head_dim: 16, vocabulary: 16"),
    ("name: small", "name: small\ncheck: {diagnostics: [linearization]}"),
    ("steps: 100", "steps: 100\n  loss: {name: cross-entropy}"),
    ("{name: completep}", "{name: completep, init: own}"),
)
#: further keys of `training`, an offence each
TRAINING = (
    "tokens: 6400",
    "tokens_per_parameter: 0",
    "warmup: 0.1\n  warmup_steps: 20",
    "schedule: constant\n  floor: 0.1",
    "clip_norm: scaled",
    "batch_size: 8\n  accumulation: 5\n  processes: 2",
    "device: mps\n  precision: float64",
    "loss_arguments: {a: 1}",
    "batch_size: 4\n  processes: 8",
    "processes: 100000",
)
#: sections that are appended
SECTIONS = (
    "check: {max_trials: 10}\n",
    "check: {criteria: {cost: null}}\n",
    "check: {octaves: 0.25, spacing: 1}\n",
    "check: {coordinate: {steps: [3, 1]}}\n",
    "check: {hyperparameters: [learning_rate, learning_rate]}\n",
    "budget: {trials: 10}\n",
    "budget: {flops: 1e3}\n",
)
COMMAND = """\
name: told
trainer:
  command: [python, train.py, "--width={width}", "{learning_rate}", "{seed}"]
  results: {stdout: "loss (.*)"}
training: {steps: 5}
parameterization: {name: measured}
sizes:
  base: {width: 16, depth: 2}
  widths: [16, 32]
  target: {width: 64, depth: 2}
tune:
  space:
    learning_rate: {low: 0.001, high: 1.0}
"""
PLANTED_COMMAND = (
    ("{seed}", "{learnin_rate}"),
    ("results:", "accepts: [hiden.eps]\n  results:"),
    (', "{seed}"', ""),
    ("loss (.*)", "loss ("),
    ("results:", "files: [../secret]\n  results:"),
    ("results:", "files: [none.py]\n  results:"),
    ('{stdout: "loss (.*)"}', "{jsonl: ../x.jsonl, value: loss}"),
    ("steps: 5", "steps: 5, processes: 4"),
    ("trainer:", "budget: {flops: 1e15}\ntrainer:"),
    ("trainer:", "model: {kind: external, patterns: ['(']}\ntrainer:"),
    ("{name: measured}", "{name: mup}"),
    ("widths: [16, 32]", "widths: [16, 32]\n  depths: [2, 4]"),
)

#: processor seconds of one case
PATIENCE = 2.0
#: said by the form of a file before its YAML, or of no file at all
NUMBERS = (0, 1, -1, 2, 3, 7, 16, 60, 64, 65, 100, 128, 1024, 4096, 2**20, 10**9, 10**30, 0.5, 1e-300, 1e300, -0.0, 0.1)
TEXTS = (
    "",
    "x",
    "none",
    "auto",
    "true",
    "1e-3",
    "a:b",
    "evil:make",
    "../../etc/passwd",
    "*.txt",
    "**/*",
    "\u202e",
    "[",
    "mup",
    "completep",
    "standard",
    "u-mup",
    "spectral",
    "complete-d-p",
    "adamw",
    "sgd",
    "muon",
    "lion",
    "adafactor",
    "width",
    "depth",
    "batch_size",
    "tokens",
    "learning_rate",
    "weight_decay",
    "init_scale",
    "eps",
    "log",
    "linear",
    "gpt",
    "mlp",
    "huggingface",
    "factory",
    "external",
    "llama",
    "gpt2",
    "Llama",
    "my.mod",
    "stdlib-text",
    "text",
    "command",
    "function",
    "torch",
    "{width}",
    "{learning_rate}",
    "{config}",
    "python",
    "TRANSFERS",
    "DRIFTS",
    "own",
    "bfloat16",
    "inverse",
    "held",
    "multipliers",
    "half-life",
    "gradient",
    "{run_dir}/x",
    "(",
    "a.b",
    "1h",
    "3 days",
)
PATHS = (
    ("tune", "space"),
    ("training",),
    ("check",),
    ("check", "criteria"),
    ("check", "coordinate"),
    ("sizes",),
    ("sizes", "base"),
    ("sizes", "target"),
    ("sizes", "proxy"),
    ("budget",),
    ("expect",),
    ("parameterization",),
    ("model",),
    ("data",),
    ("trainer",),
    ("objective",),
    (),
)


def bases() -> list[dict[str, Any]]:
    """Valid recipes of every sort: shipped ones, templates, and those of the combinations of models and rules."""
    files = [*shipped_recipes().values(), *(template(name) for name in templates())]
    texts = [*(path.read_text(encoding="utf-8") for path in files), *(each.text for each in combinations())][:120]
    valid = [data for text in texts if isinstance(data := read_yaml(text.encode(), "base").data, dict)]
    return valid + planted()


def planted() -> list[dict[str, Any]]:
    """Recipes that break one rule each, what chance alone would seldom come to."""
    texts = [edited(MLP, change) for change in PLANTED] + [edited(GPT, change) for change in PLANTED_GPT]
    texts += [edited(COMMAND, change) for change in PLANTED_COMMAND]
    texts += [MLP + section for section in SECTIONS]
    texts += [edited(MLP, ("steps: 100", f"steps: 100\n  {keys}")) for keys in TRAINING]
    return [data for text in texts if isinstance(data := read_yaml(text.encode(), "base").data, dict)]


def pool(documents: Sequence[Any]) -> list[Any]:
    """Every value that stands anywhere in the recipes."""
    return [value for document in documents for _, _, value in places(document)]


def places(value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Every container with its keys and values."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key, inner
        yield from places(inner)


def damaged(document: dict[str, Any], chance: random.Random, values: Sequence[Any]) -> dict[str, Any]:
    """A recipe with some entries replaced, left out, added, copied or renamed."""
    document = copy.deepcopy(document)
    for _ in range(chance.choice((0, 1, 1, 1, 1, 2, 3))):
        found = list(places(document))
        if not found:
            return document
        container, key, value = chance.choice(found)
        match chance.randrange(7):
            case 0:
                del container[key]
            case 1:
                container[key] = _value(chance, values)
            case 2 | 3:
                _add_known_key(document, chance, values)
            case 4 if isinstance(container, list):
                container.insert(chance.randrange(len(container) + 1), copy.deepcopy(value))
            case 5 if isinstance(value, int | float) and not isinstance(value, bool):
                container[key] = type(value)(value * chance.choice((-1, 0, 0.5, 2, 3, 1000)))
            case 6 if isinstance(container, dict):
                container[str(key)[:-1] or "x"] = container.pop(key)
            case _:
                container[key] = copy.deepcopy(chance.choice(values))
    return document


def _add_known_key(document: dict[str, Any], chance: random.Random, values: Sequence[Any]) -> None:
    path = chance.choice(PATHS)
    section: Any = document
    for part in path:
        section = section.setdefault(part, {}) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        return
    if path in (("model",), ("data",)) and chance.random() < 0.3:
        section["kind"] = chance.choice([*KINDS[path[0]]])
    known = keys_at(path, document)
    if known:
        section[chance.choice(known)] = _value(chance, values)


def _value(chance: random.Random, values: Sequence[Any]) -> Any:
    kind = chance.randrange(8)
    if kind < 2:
        return chance.choice(NUMBERS)
    if kind < 4:
        return chance.choice(TEXTS)
    if kind < 6:
        return copy.deepcopy(chance.choice(values))
    if kind == 6:
        return [_value(chance, values) for _ in range(chance.randrange(4))]
    names = [chance.choice(TEXTS) or "k" for _ in range(chance.randrange(3))]
    plain: tuple[Any, ...] = (None, True, False)
    return {name: _value(chance, values) for name in names} or chance.choice(plain)


def written(document: dict[str, Any], chance: random.Random) -> bytes:
    """The text of a recipe; one in eight has its characters damaged as well."""
    text = yaml.safe_dump(document, default_flow_style=chance.choice((None, False, True)), sort_keys=False)
    content = text.encode("utf-8", "surrogatepass")
    if chance.random() < 0.125:
        start, length = chance.randrange(len(content) + 1), chance.choice((0, 1, 5, 40))
        noise = bytes(
            chance.choice(b"ab:{}[],-&*!|>'\"#%@\n\t \x00\x1b\xff\xe2\x80\xae019.e") for _ in range(chance.randrange(6))
        )
        content = content[:start] + noise + content[start + length :]
    return content


class Tally:
    """What became of the cases."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.longest, self.fallen = 0.0, list[dict[str, Any]]()

    def run(self, number: int, case: Callable[[], None]) -> None:
        """Runs one case; whatever it raises is kept."""
        before = time.process_time()
        try:
            case()
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
            self.fallen.append({"case": number, "error": f"{type(error).__name__}: {str(error)[:200]}", "where": where})
        seconds = time.process_time() - before
        self.longest = max(self.longest, seconds)
        if seconds > PATIENCE:
            self.fallen.append({"case": number, "error": f"{seconds:.1f} s of processor time"})


def recipes(count: int, seed: int, start: int) -> dict[str, Any]:
    """Validates damaged recipes, statically."""
    documents = bases()
    values, tally = pool(documents), Tally()
    options = ValidationOptions(max_trials=300)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in ("a.txt", "b.txt"):
            Path(name).write_text("text " * 400)
        Path("short.txt").write_text("short")
        Path("odd.bin").write_bytes(b"abc")
        Path("out.txt").symlink_to("../out.txt")
        Path("deep", *"d" * 70).mkdir(parents=True)
        path = Path("r.yaml")
        for number in range(start, start + count):
            chance = random.Random(f"{seed}-{number}")
            content = written(damaged(chance.choice(documents), chance, values), chance)
            path.write_bytes(content)

            def case(content: bytes = content) -> None:
                found = validate("r.yaml", options)
                gate = not read_yaml(content, "r.yaml").faults
                tally.counts.update({"passed the YAML gate": int(gate), "valid": int(not found.errors)})
                tally.codes.update({finding.code for finding in (*found.errors, *found.warnings)})

            tally.run(number, case)
        os.chdir("/")
    static = [rule.code for topic in LINT_RULES.built_in for rule in LINT_RULES.look_up(topic) if rule.at == "static"]
    known = [*CODES, *(rule.code for rule in recipe_rules()), *static]
    return _result(count, tally) | {"never": [code for code in known if not tally.codes[code]]}


def artifacts(count: int, seed: int, start: int) -> dict[str, Any]:
    """Reads damaged tuned.yaml, transfer.json, recipe.json, plan files and databases."""
    from tests.support.hostile_folders import committed

    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        run = committed(Path(folder)).runs / "tiny"
        readers: dict[str, Callable[[Path], object]] = {
            "tuned.yaml": lambda path: read_tuned(path, "tiny"),
            "transfer.json": read_transfer,
            "recipe.json": load_snapshot,
            "plan.json": lambda path: PlanFile.read(path, missing=FileNotFoundError),
        }
        texts = {name: (run / name).read_text() for name in list(readers)[:3]}
        texts["plan.json"] = json.dumps({"format": PlanFile.FORMAT})
        data = {name: yaml.safe_load(text) if name[-1] == "l" else json.loads(text) for name, text in texts.items()}
        values = [value for each in data.values() for _, _, value in places(each)]
        readers["study.db"] = _both
        database = (run / "study.db").read_bytes()
        for number in range(start, start + count):
            chance = random.Random(f"{seed}-{number}")
            name = chance.choice(list(readers))
            path = run / name
            if name == "study.db":
                path.write_bytes(_torn(database, chance))
                tally.run(number, partial(_read, readers[name], path, tally))
                continue
            changed = damaged(data[name], chance, values) if chance.random() < 0.9 else data[name]
            path.write_bytes(written(changed, chance) if name[-1] == "l" else _json(changed, chance))
            tally.run(number, partial(_read, readers[name], path, tally))
    return _result(count, tally)


def _read(reader: Callable[[Path], object], path: Path, tally: Tally) -> None:
    try:
        reader(path)
        tally.counts[f"{path.name} read"] += 1
    except HptransferError as error:
        tally.codes.update({f"{error.exit_status}: {finding.rule[:60]}" for finding in error.findings})


def _both(path: Path) -> None:
    """As `status` reads it, and as its owner does."""
    trials = read_trials(path)
    experiment = trials[0].study.rpartition("-")[2] if trials else "0" * 8
    OptunaStore(SQLiteFile(path, patience=1.0), experiment, {}).close()


def _torn(content: bytes, chance: random.Random) -> bytes:
    """A database cut off, or with stretches of other bytes."""
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    torn = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        length = chance.choice((1, 1, 2, 8, 64, 4096))
        start = chance.randrange(len(torn) - length)
        torn[start : start + length] = chance.randbytes(length) if chance.random() < 0.7 else bytes(length)
    return bytes(torn)


def _json(document: Any, chance: random.Random) -> bytes:
    content = json.dumps(document, default=str).encode("utf-8", "surrogatepass")
    if chance.random() < 0.125:
        start = chance.randrange(len(content) + 1)
        content = content[:start] + bytes(chance.choice(b'{}[]",:0\x00\xff') for _ in range(3)) + content[start + 3 :]
    return content


def _result(count: int, tally: Tally) -> dict[str, Any]:
    return {
        "cases": count,
        **tally.counts,
        "longest seconds": round(tally.longest, 3),
        "fired": dict(tally.codes.most_common()),
        "fallen": tally.fallen[:50],
        "fell": len(tally.fallen),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("recipes", "artifacts"))
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--start", type=int, default=0)
    asked = parser.parse_args()
    count = asked.count or {"recipes": 50_000, "artifacts": 5_000}[asked.what]
    run = recipes if asked.what == "recipes" else artifacts
    print(json.dumps(run(count, asked.seed, asked.start), indent=1))


if __name__ == "__main__":
    main()
