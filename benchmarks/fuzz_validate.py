"""Recipes and files of run folders, damaged at random, read in this process: no traceback, no hang, every rule fires.

`python -m benchmarks.fuzz_validate recipes|artifacts [--count N] [--seed S] [--start K]`. A case is fixed by
the seed and its number, so one that falls is made again by `--start K --count 1`. Prints JSON: cases, how many passed
the YAML gate, how often each rule fired, rules that never did, the longest time, what fell with its number, and the
test that breaks each rule that asks for more than a recipe (`python -m benchmarks.rules_fired` runs those).
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from hptransfer.artifacts.plan_file import PlanFile
from hptransfer.artifacts.recipe_snapshot import load_snapshot
from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import read_transfer
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.errors import HptransferError
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.paths import select
from hptransfer.linting.validate import validate
from hptransfer.recipe.shipped import shipped_recipes, template, templates
from hptransfer.recipe.yaml.gate import read_yaml
from hptransfer.recipe.yaml.outline import KINDS, keys_at
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore
from hptransfer.storage.snapshot import read_trials
from tests.support.broken_folders import BROKEN_FOLDERS
from tests.support.combinations import combinations
from tests.support.hostile_folders import committed
from tests.support.kept_evidence import Kept
from tests.support.offences import FIRED_BY, Planted, fuzzed, planted_texts

#: processor seconds of one case
PATIENCE = 2.0
#: what `validate` is asked for, now and then, in place of the recipe: what is there, and what is not
NAMED = (
    "recpie.yaml",
    "p.yaml",
    "out.yaml",
    "empty",
    ".",
    "*.yaml",
    "no*.yaml",
    "deep",
    "**/x.yaml",
    "../r.yaml",
    "",
    "\x1b[2J",
    "quickstart",
)
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
    return with_noise(content, chance) if chance.random() < 0.125 else content


def with_noise(content: bytes, chance: random.Random) -> bytes:
    """A text of which a stretch is replaced by other characters."""
    start, length = chance.randrange(len(content) + 1), chance.choice((0, 1, 5, 40))
    noise = (
        chance.choice(b"ab:{}[],-&*!|>'\"#%@\n\t \x00\x1b\xff\xe2\x80\xae019.e") for _ in range(chance.randrange(6))
    )
    return content[:start] + bytes(noise) + content[start + length :]


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


#: `--max-trials` of the recipes that break one rule each
_FIRST_CAP: int | None = 50
#: folders of recipes: one with data beside them, one with what `BROKEN_FOLDERS` prepare
ROOMS = ("plain", "plain", "plain", "broken")


def surround(folder: Path) -> None:
    """Files that recipes name, and those beside the broken ones."""
    for room in dict.fromkeys(ROOMS):
        (folder / room).mkdir()
        for name in ("a.txt", "b.txt"):
            (folder / room / name).write_text("text " * 400)
    for case in BROKEN_FOLDERS.values():
        if case.words[0] == "validate":
            case.prepare(folder / "broken")


def recipes(count: int, seed: int, start: int) -> dict[str, Any]:
    """Validates damaged recipes, statically: first those that break one rule each, as they are."""
    documents, planted = bases(), planted_texts()
    values, tally = pool(documents), Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "folder")
        folder.mkdir()
        surround(folder)
        os.chdir(folder)
        for number in range(start, start + count):
            chance, most = random.Random(f"{seed}-{number}"), _FIRST_CAP
            if number < len(planted):
                first = planted[number]
                content, room, named = first.text.encode(), first.room, first.named
            else:
                content, room = _recipe(documents, planted, values, chance), chance.choice(ROOMS)
                named, most = (
                    chance.choice(NAMED) if chance.random() < 0.02 else "r.yaml",
                    chance.choice((None, None, None, 50, 300)),
                )
            (folder / room / "r.yaml").write_bytes(content)
            tally.run(number, partial(_validate, content, f"{room}/{named}", most, tally))
        os.chdir("/")
    return _result(count, tally) | {"never": sorted(fuzzed() - tally.codes.keys()), "fired by": FIRED_BY}


def _validate(content: bytes, named: str, most: int | None, tally: Tally) -> None:
    """As `validate NAMED --max-trials MOST` does."""
    tally.counts["passed the YAML gate"] += not read_yaml(content, "r.yaml").faults
    selected = select([named])
    tally.codes.update(finding.code for _, finding in selected.faults)
    for reference in selected.recipes:
        found = validate(reference, ValidationOptions(max_trials=most))
        tally.counts["valid"] += not found.errors
        tally.codes.update({finding.code for finding in (*found.errors, *found.warnings)})


def _recipe(
    documents: Sequence[Any], planted: Sequence[Planted], values: Sequence[Any], chance: random.Random
) -> bytes:
    """The text of one case: of a valid recipe, or of one that breaks a rule, with some damage."""
    if chance.random() < 0.6:
        return written(damaged(chance.choice(documents), chance, values), chance)
    text = chance.choice(planted).text.encode()
    document = read_yaml(text, "planted").data if chance.random() < 0.5 else None
    if isinstance(document, dict):
        return written(damaged(document, chance, values), chance)
    return with_noise(text, chance)  # what is no plain data has no entries to be damaged


def artifacts(count: int, seed: int, start: int) -> dict[str, Any]:
    """Reads damaged tuned.yaml, transfer.json, target.yaml, recipe.json, plan files and databases.

    In one of fifty a value of the first three is edited, and `validate --level evidence` computes it again.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        run, kept = committed(Path(place)).runs / "tiny", Kept(Path(place), "completep-gpt")
        readers: dict[str, Callable[[Path], object]] = {
            "tuned.yaml": lambda path: read_tuned(path, "tiny"),
            "transfer.json": read_transfer,
            "target.yaml": lambda path: TargetFile.read(path, missing=FileNotFoundError),
            "recipe.json": load_snapshot,
            "plan.json": lambda path: PlanFile.read(path, missing=FileNotFoundError),
            "study.db": _both,
        }
        texts = {name: kept.file(name).read_text() for name in list(readers)[:3]}
        texts |= {
            "recipe.json": (run / "recipe.json").read_text(),
            "plan.json": json.dumps({"format": PlanFile.FORMAT}),
        }
        data = {name: yaml.safe_load(text) if name[-1] == "l" else json.loads(text) for name, text in texts.items()}
        values = [value for each in data.values() for _, _, value in places(each)]
        database = (run / "study.db").read_bytes()
        for number in range(start, start + count):
            chance = random.Random(f"{seed}-{number}")
            name = chance.choice(list(readers))
            path, judged = run / name, name in list(readers)[:3] and chance.random() < 0.04
            content = (
                _torn(database, chance) if name == "study.db" else _damaged_file(texts, data, name, values, chance)
            )
            path.write_bytes(content)
            tally.run(number, partial(_read, readers[name], path, tally))
            if judged:
                kept.file(name).write_bytes(content)
                tally.run(number, partial(_judge, kept, tally))
                kept.file(name).write_text(texts[name])
    return _result(count, tally)


def _damaged_file(
    texts: Mapping[str, str], data: Mapping[str, Any], name: str, values: Sequence[Any], chance: random.Random
) -> bytes:
    """A text file as it is, cut off, or with other entries."""
    kind = chance.random()
    if kind < 0.1:
        return texts[name].encode()
    if kind < 0.2:
        lines = texts[name].encode().splitlines(keepends=True)
        return b"".join(lines[: chance.randrange(len(lines))])
    changed = damaged(data[name], chance, values)
    return written(changed, chance) if name[-1] == "l" else _json(changed, chance)


def _edited(document: dict[str, Any], chance: random.Random, *, yaml_text: bool) -> bytes:
    """A file that can still be read: one value is another of its kind, or an entry of a list is left out."""
    document = copy.deepcopy(document)
    container, key, value = chance.choice(list(places(document)))
    match value:
        case bool():
            container[key] = not value
        case int() | float():
            container[key] = type(value)(value * chance.choice((2, 3, 10)) + 1)
        case str():
            container[key] = chance.choice([each for _, _, each in places(document) if isinstance(each, str)])
        case list():
            del value[:1]
    return yaml.safe_dump(document).encode() if yaml_text else json.dumps(document).encode()


def _read(reader: Callable[[Path], object], path: Path, tally: Tally) -> None:
    try:
        reader(path)
        tally.counts[f"{path.name} read"] += 1
    except HptransferError as error:
        tally.counts[f"{path.name} refused"] += 1
        tally.codes.update({finding.code or f"{error.exit_status}: {finding.rule[:60]}" for finding in error.findings})


def _judge(kept: Kept, tally: Tally) -> None:
    """Whatever the files say, it is said against them, or they are found to hold."""
    found = kept.validate()
    tally.counts["judged"] += 1
    tally.codes.update({finding.code for finding in (*found.errors, *found.warnings)})


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
    runs = {"recipes": (recipes, 50_000), "artifacts": (artifacts, 5_000)}
    parser.add_argument("what", choices=runs)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--start", type=int, default=0)
    asked = parser.parse_args()
    run, usual = runs[asked.what]
    print(json.dumps(run(asked.count or usual, asked.seed, asked.start), indent=1))


if __name__ == "__main__":
    main()
