"""What was read of a recipe's model at each size: by a worker, where torch lives, and remembered in the run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hptransfer.engine.measurement_cache import MeasurementCache
from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.registered import LOSSES
from hptransfer.recipe.schema import Recipe
from hptransfer.trials.code import code_digests
from hptransfer.trials.identity import READING, ParameterReading
from hptransfer.trials.messages import ENTRY, ReadingsMessage

#: whose versions may change what is read of a model
_LIBRARIES = ("torch", "transformers", "mup")
_PACKAGE = Path(__file__).parents[1]


class Readings:
    """Reads a recipe's model at a width and a depth.

    Args:
        recipe: gives the model and the base size.
        root: the recipe's folder, where a factory's modules are looked for too.
        pool: of idle workers whose entry is `messages.ENTRY`; None reads in this process, which then imports torch.
        path: a JSON file of earlier readings; None remembers nothing.
        writable: whether new readings are kept there.
    """

    def __init__(
        self, recipe: Recipe, root: Path, pool: TaskPool | None, path: Path | None, *, writable: bool = True
    ) -> None:
        self._recipe, self._root, self._pool = recipe, root, pool
        self._cache = MeasurementCache(path, writable=writable)
        self._read: dict[tuple[int, int], ParameterReading] = {}
        self._prefix: str | None = None

    def at(self, width: int, depth: int) -> ParameterReading:
        """What was read at a size.

        Args:
            width: of the model, at least 1.
            depth: number of its repeated layers, at least 1.

        Raises:
            UsageError: the model cannot be built or read at this size.
            MachineError: no worker could do it.
        """
        if (width, depth) not in self._read:
            self._fetch((width, depth))
        return self._read[width, depth]

    def layers(self) -> ParameterReading:
        """What was read at twice the base's depth; at the base's where the model has no layers that repeat.

        Raises:
            UsageError: the model cannot be built or read.
            MachineError: no worker could do it.
        """
        base = self._recipe.sizes.base
        shape = (base.width, 0)

        def read(missing: Sequence[str]) -> dict[str, Any]:
            answers = self._ask([(base.width, 2 * base.depth), (base.width, base.depth)])
            readable = [answer["reading"] for answer in answers if "reading" in answer]
            if not readable:
                raise _unreadable(answers[0]["faults"])
            return {missing[0]: _kept(shape, readable[0])}

        (data,) = self._cache.fill([self._key(shape)], read, lambda _, value: _is_reading(value, shape)).values()
        return READING.validate_python(data["reading"])

    def _fetch(self, wanted: tuple[int, int]) -> None:
        """Read a size, and the recipe's others with it: one worker is asked once."""
        shapes = dict.fromkeys((wanted, *self._shapes()))
        keys = {shape: self._key(shape) for shape in shapes if shape not in self._read}
        by_key = {key: shape for shape, key in keys.items()}
        faults: dict[str, Any] = {}

        def read(missing: Sequence[str]) -> dict[str, Any]:
            if keys[wanted] not in missing:
                return {}  # another size could not be read before, and nobody asks for it now
            answers = self._ask([by_key[key] for key in missing])
            found = {}
            for key, answer in zip(missing, answers, strict=True):
                if "faults" in answer:
                    faults[key] = answer["faults"]
                else:
                    found[key] = _kept(by_key[key], answer["reading"])
            return found

        known = self._cache.fill(keys.values(), read, lambda key, value: _is_reading(value, by_key[key]))
        if keys[wanted] in faults:
            raise _unreadable(faults[keys[wanted]])
        self._read |= {by_key[key]: READING.validate_python(data["reading"]) for key, data in known.items()}

    def _shapes(self) -> list[tuple[int, int]]:
        """Every shape that the recipe's keys need, as far as it says."""
        sizes, proxy = self._recipe.sizes, self._recipe.proxy
        shapes = [(proxy.width, proxy.depth), *((width, proxy.depth) for width in sizes.widths)]
        shapes += [(proxy.width, depth) for depth in sizes.depths]
        return [*shapes, (sizes.widths[-1], sizes.depths[-1])] if sizes.corner else shapes

    def _ask(self, shapes: Sequence[tuple[int, int]]) -> Sequence[Mapping[str, Any]]:
        base = self._recipe.sizes.base
        message = ReadingsMessage(
            model=self._recipe.model,
            root=self._root,
            base=(base.width, base.depth),
            init=self._recipe.init_source,
            covers=tuple(sorted(self._recipe.covers)),
            sizes=tuple(shapes),
        )
        if self._pool is None:
            module, _, function = ENTRY.partition(":")
            answer = getattr(import_module(module), function)(message.payload())
        else:
            self._pool.submit("readings", message.payload(), limited=False)
            outcome = self._pool.next_result()
            if outcome is None or isinstance(outcome, Failure):
                said = "no worker answered" if outcome is None else f"{outcome.cause}: {outcome.message}"
                raise MachineError("a worker must be able to read the model's parameters", received=said)
            answer = outcome.value
        readings: Sequence[Mapping[str, Any]] = answer["readings"]
        return readings

    def _key(self, shape: tuple[int, int]) -> str:
        if self._prefix is None:
            base = self._recipe.sizes.base
            self._prefix = f"{model_digest(self._recipe, self._root)}:{base.width}x{base.depth}"
        return hashlib.sha256(f"{self._prefix}:{shape[0]}x{shape[1]}".encode()).hexdigest()


def _kept(shape: tuple[int, int], reading: Any) -> dict[str, Any]:
    """A reading as the cache keeps it, with its width and its depth: 0 where that is the one that shows every layer."""
    return {"width": shape[0], "depth": shape[1], "reading": reading}


def _is_reading(value: Any, shape: tuple[int, int]) -> bool:
    """Whether a value of the cache is what `_kept` made of a reading for this width and depth."""
    if not isinstance(value, dict) or (value.get("width"), value.get("depth")) != shape:
        return False
    try:
        return bool(READING.validate_python(value.get("reading")).parameters)
    except ValidationError:
        return False


def _unreadable(faults: Sequence[Mapping[str, Any]]) -> UsageError:
    error = UsageError(faults[0]["rule"])
    error.findings = tuple(Finding(fault["rule"], fault["received"], fault["hint"]) for fault in faults)
    return error


def model_digest(recipe: Recipe, root: Path) -> str:
    """Sha256 (hex) of what a reading of a recipe's model depends on besides the size.

    Args:
        recipe: gives the model that is read.
        root: its folder, where a factory's modules are looked for too.
    """
    code = code_digests(recipe.model.factory, root) if recipe.model.kind == "factory" else {}
    parts = {
        "model": recipe.model.model_dump(mode="json"),
        "code": code,
        "init": recipe.init_source,
        "covers": sorted(recipe.covers),
        "with": _sources("models", "parameterization", "probe"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def cost_digest(recipe: Recipe, root: Path) -> str:
    """Sha256 (hex) of what a count of a run's FLOPs depends on besides the size.

    Args:
        recipe: gives the model that runs, and its loss.
        root: its folder, where a factory's or a loss's modules are looked for too.
    """
    reference = LOSSES.reference(recipe.training.loss)
    code = {} if reference is None else code_digests(reference, root)
    counted_by = _sources("trainers", "training")
    parts = {"model": model_digest(recipe, root), "loss": recipe.training.loss, "code": code, "with": counted_by}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _sources(*rooms: str) -> str:
    """Sha256 (hex) of the sources that read or count models, and the versions of libraries under them.

    A changed source must never be answered from a cache that was written before.
    """
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((_PACKAGE / room).rglob("*.py")):
            digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0".encode() + path.read_bytes())
    for name in _LIBRARIES:
        try:
            digest.update(f"{name} {metadata.version(name)}\0".encode())
        except metadata.PackageNotFoundError:
            digest.update(f"{name} none\0".encode())
    return digest.hexdigest()
