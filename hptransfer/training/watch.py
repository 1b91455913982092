"""`hptransfer.watch`: a coordinate check recorded in anybody's training loop, which it does not change.

The file is read by `hptransfer judge --coordinates`, and by `hptransfer.artifacts.watch.read_watch_file`.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hptransfer.artifacts.watch import FORMAT, OFF, PATH_VARIABLE, SEED_VARIABLE, SIZE_VARIABLE, line_of
from hptransfer.errors import MachineError, UsageError
from hptransfer.provenance import tool_version
from hptransfer.sizes import AXES
from hptransfer.training._undisturbed import called, copied, undisturbed, unwrapped
from hptransfer.training._watched_model import Look, Structure, is_plain, learn, look, orientation
from hptransfer.training.coordinates import finite_rms, random_share
from hptransfer.training.updates import UpdateMeter

Optimizers = Optimizer | Sequence[Optimizer] | None


def watch(
    model: nn.Module,
    probe: Any = None,
    steps: Sequence[int] = (1, 3, 10),
    *,
    optimizer: Optimizers = None,
    path: str | os.PathLike[str] | None = None,
    size: Mapping[str, int] | None = None,
    seed: int | None = None,
    forward: Callable[[nn.Module, Any], Any] | None = None,
) -> Watcher:
    """Record how far layers and parameters move in the first steps of a training run, for `judge --coordinates`.

    Call it when the model is initialised and before the first step. Training goes on exactly as without it: the extra
    forward passes leave gradients, modes, buffers and random states alone. Of a run on several processes the first one
    records. Memory: a copy of the parameters, and what layers return for the probe, until the last of the steps.

    Args:
        model: as the loop calls it; `torch.compile` and `DistributedDataParallel` are looked through.
        probe: a batch that stays the same in all runs of the check, called as model(probe), model(*probe) of a tuple
            or list, model(**probe) of a mapping; None: only updates of parameters are recorded.
        steps: numbers of optimizer steps after which is measured, each at least 1; all runs take the same.
        optimizer: the loop's optimizer, or several of which the last steps last: steps are then counted by themselves,
            and decay and eps are recorded. None: call `step()` of the watcher after every optimizer step.
        path: of the JSON lines file that is appended to; default: the environment's HPTRANSFER_WATCH, where "off" means
            that nothing is recorded.
        size: {"width": ...}, {"depth": ...} or both; default: the environment's HPTRANSFER_SIZE, as JSON.
        seed: of init and data, at least 0; default: the environment's HPTRANSFER_SEED.
        forward: calls the model, `forward(model, probe)`, where the probe's structure does not say how.

    Returns:
        The watcher; a context manager, which stops watching at its end.

    Raises:
        UsageError: an argument cannot be used, parameters are sharded, or training has begun before.
        MachineError: the file cannot be written.
    """
    if path is None and os.environ.get(PATH_VARIABLE) == OFF:
        idle = Watcher(model, probe, (), (), Path(os.devnull), {}, 0, forward)
        idle.close()
        return idle
    wanted = sorted(set(steps))
    if not wanted or any(isinstance(step, bool) or not isinstance(step, int) or step < 1 for step in wanted):
        raise UsageError(
            "`steps` must be whole numbers, each at least 1", received=repr(steps), hint="steps=(1, 3, 10)"
        )
    watcher = Watcher(
        plain := unwrapped(model),
        None if probe is None else copied(probe),
        wanted,
        _listed(optimizer, plain),
        Path(path if path is not None else _given(PATH_VARIABLE, "a path", 'path="coordinates.jsonl"')),
        _size(size),
        _seed(seed),
        forward,
    )
    watcher.begin()
    return watcher


class Watcher:
    """Watches one run; made by `watch`.

    Attributes:
        path: of the file that is appended to.
        done: optimizer steps that were counted.
    """

    def __init__(
        self,
        model: nn.Module,
        probe: Any,
        steps: Sequence[int],
        optimizers: Sequence[Optimizer],
        path: Path,
        size: Mapping[str, int],
        seed: int,
        forward: Callable[[nn.Module, Any], Any] | None,
    ) -> None:
        self.path = path
        self.done = 0
        self._model, self._probe, self._forward = model, probe, forward
        self._steps, self._optimizers = tuple(steps), tuple(optimizers)
        self._size, self._seed = dict(size), seed
        self._run = uuid.uuid4().hex
        self._closed = not _first_process()
        self._structure = Structure()
        self._initial: dict[str, Tensor] = {}
        self._read: Tensor | None = None
        self._readout: Tensor | None = None
        self._summed: dict[str, float] = {}
        self._rows: dict[str, bool] = {}
        self._hook: Any = None

    def begin(self) -> None:
        """Look at the model as it is at init, and open the run in the file."""
        if self._closed:
            return
        eps = [isinstance(each.defaults.get("eps"), float) and "betas" in each.defaults for each in self._optimizers]
        self._meter = UpdateMeter(self._model, self._groups(), has_eps=bool(eps) and all(eps))
        seen = self._look()
        calls = {} if seen is None else seen.calls
        if seen is not None:
            self._structure = learn(self._model, seen, self._structure)
            self._remember(seen)
        for prefix, owner in self._model.named_modules():
            for local, tensor in owner.named_parameters(recurse=False):
                rows = True if tensor.ndim < 2 else orientation(owner, local, calls.get(prefix))
                if rows is not None:
                    self._rows[f"{prefix}.{local}" if prefix else local] = rows
        self._write(self._opening())
        if self._optimizers:
            self._hook = self._optimizers[-1].register_step_post_hook(lambda *_: self._count())

    def step(self) -> None:
        """Count an optimizer step, and measure after those that are wanted; to be called before gradients are cleared.

        Raises:
            UsageError: the watcher counts the steps of its optimizer by itself.
            MachineError: the file cannot be written.
        """
        if self._optimizers:
            raise UsageError(
                "a step must be counted once",
                received="`step()` of a watcher that was given the optimizer, whose steps it counts",
                hint="leave out `step()`, or `optimizer=`",
            )
        self._count()

    def close(self) -> None:
        """Stop watching; what was measured stays in the file. Happens by itself after the last of the steps."""
        if self._hook is not None:
            self._hook.remove()
        self._hook, self._closed = None, True
        self._initial, self._read, self._readout, self._probe = {}, None, None, None
        self.__dict__.pop("_meter", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _count(self) -> None:
        if self._closed:
            return
        self.done += 1
        if self.done == 1:
            self._meter.see_gradients()
        if self.done in self._steps:
            self._write(self._measured())
        if self.done >= self._steps[-1]:
            self.close()

    def _groups(self) -> list[dict[str, Any]]:
        if self._optimizers:
            return [group for optimizer in self._optimizers for group in optimizer.param_groups]
        return [{"params": [tensor for tensor in self._model.parameters() if tensor.requires_grad], "lr": 0.0}]

    def _look(self) -> Look | None:
        if self._probe is None:
            return None
        with undisturbed(self._model):
            return look(self._model, lambda: called(self._model, self._probe, self._forward))

    def _remember(self, seen: Look) -> None:
        known = self._structure
        self._initial = {name: seen.calls[name].returned for name in seen.calls if self._is_layer(name)}
        self._initial |= seen.attention
        self._summed = dict(seen.summed)
        if seen.logits is not None:
            self._initial[known.readout or "output"] = seen.logits
        if known.readout is not None:
            self._read = seen.calls[known.readout].read
            weight = getattr(self._model.get_submodule(known.readout), "weight", None)
            self._readout = weight.detach().clone() if isinstance(weight, Tensor) and weight.ndim == 2 else None

    def _is_layer(self, name: str) -> bool:
        return name in self._structure.maps or name in self._structure.blocks

    def _opening(self) -> dict[str, Any]:
        names = {type(optimizer).__name__ for optimizer in self._optimizers}
        return {
            "format": FORMAT,
            "run": self._run,
            "size": self._size,
            "seed": self._seed,
            "steps": list(self._steps),
            "probe": self._probe is not None,
            "optimizer": ", ".join(sorted(names)) or None,
            "model": type(self._model).__name__,
            "version": tool_version(),
        }

    def _measured(self) -> dict[str, Any]:
        seen = self._look()
        layers = []
        if seen is not None:
            self._structure = learn(self._model, seen, self._structure)
            now = {name: call.returned for name, call in seen.calls.items()} | seen.attention
            if seen.logits is not None:
                now[self._structure.readout or "output"] = seen.logits
            same = {name: value for name, value in now.items() if self._comparable(name, value)}
            layers = [self._layer(name, same[name], seen) for name in self._initial if name in same]
        parameters, left_out = [], []
        for row in self._meter.rows(self.done):
            weight = self._weight(row)
            if weight is None:
                left_out.append(row["name"])
            else:
                parameters.append(weight)
        blocks = "none" if not self._structure.blocks else "read" if self._structure.writers_known else "unknown"
        known = blocks if self._probe is not None else "unknown"
        measured = {"blocks": known, "layers": layers, "parameters": parameters, "left_out": left_out}
        return {"run": self._run, "step": self.done} | measured

    def _comparable(self, name: str, value: Tensor) -> bool:
        return name in self._initial and self._initial[name].shape == value.shape

    def _layer(self, name: str, now: Tensor, seen: Look) -> dict[str, Any]:
        initial = self._initial[name]
        kind = "attention" if name in seen.attention else "logits" if name == "output" else self._structure.kind(name)
        if kind in ("hidden", "branch") and isinstance(self._model.get_submodule(name), nn.Embedding):
            kind = "embedding"
        return {
            "layer": name,
            "kind": kind,
            "change": finite_rms(now - initial),
            "initial": finite_rms(initial),
            "random": self._random(name, seen) if kind == "logits" else None,
            "summed": self._summed.get(name),
        }

    def _random(self, name: str, seen: Look) -> float | None:
        """What a readout that knows nothing of the data would add to the logits' change; see `random_share`."""
        factor = self._structure.factor(name)
        if self._readout is None or self._read is None or factor is None or name not in seen.calls:
            return None
        read = seen.calls[name].read
        if read is None or read.shape != self._read.shape:
            return None
        share = random_share(self._readout, read - self._read)
        return None if share is None else share * abs(factor)

    def _weight(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """A row of the meter with axes and factors as the forward pass shows them; None where they are not known."""
        owner, _, _ = row["name"].rpartition(".")
        module = self._model.get_submodule(owner)
        factor: float | None = 1.0
        if row["kind"] != "vector":
            factor = self._structure.factor(owner) if owner in self._structure.maps else self._unseen_factor(module)
        if factor is None or row["name"] not in self._rows:
            return None
        outer = owner.rpartition(".")[0]
        attention = isinstance(module, nn.MultiheadAttention)
        if owner.endswith("out_proj") and isinstance(self._model.get_submodule(outer), nn.MultiheadAttention):
            writes = self._structure.writes(outer)  # it computes with its projections and does not call them
        else:
            writes = self._structure.writes(owner) and not attention
        fans = {} if self._rows[row["name"]] else {"fan_in": row["fan_out"], "fan_out": row["fan_in"]}
        scaled = {key: None if row[key] is None else row[key] * abs(factor) for key in ("update", "initial")}
        known = {"in_block": any(owner.startswith(f"{block}.") for block in self._structure.blocks)}
        rate = row["learning_rate"] if self._optimizers and math.isfinite(row["learning_rate"]) else None
        rates = {"learning_rate": rate, "decay": row["decay"] if math.isfinite(row["decay"]) else 0.0}
        kept = {key: row[key] for key in row if key != "step"}
        return kept | fans | scaled | known | rates | {"writes_residual": writes}

    def _unseen_factor(self, module: nn.Module) -> float | None:
        """Without a probe a class of torch's own is taken at its word, and another one may multiply."""
        return 1.0 if self._probe is not None or is_plain(module) else None

    def _write(self, row: dict[str, Any]) -> None:
        try:
            _append(self.path, line_of(row).encode())
        except OSError as error:
            raise MachineError(
                "the file of coordinates must be writable",
                received=f"{self.path}: {error.strerror}",
                hint="give `path=` a file in a folder that exists",
            ) from None


def _append(path: Path, line: bytes) -> None:
    """One write at the end of the file, on a line of its own whatever a killed run has left there."""
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)


def _first_process() -> bool:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


def _listed(optimizer: Optimizers, model: nn.Module) -> list[Optimizer]:
    listed = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer or ())
    foreign = next((each for each in listed if not isinstance(each, Optimizer)), None)
    if foreign is not None:
        raise UsageError(
            "`optimizer` must be a torch optimizer, or several",
            received=type(foreign).__name__,
            hint="leave it out, and call `watcher.step()` after every optimizer step",
        )
    if any(state for each in listed for state in each.state.values()):
        raise UsageError(
            "watch must begin before the first optimizer step",
            received="an optimizer with state",
            hint="call `hptransfer.watch` where the model was just initialised",
        )
    own = {id(tensor) for tensor in model.parameters()}
    trained = [tensor for each in listed for group in each.param_groups for tensor in group["params"]]
    if listed and not any(id(tensor) in own for tensor in trained):
        raise UsageError(
            "`optimizer` must train the model's parameters", received="an optimizer that holds none of them"
        )
    return listed


def _given(variable: str, what: str, hint: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise UsageError(
            f"watch must be given {what}, or find it in the environment's {variable}", received="neither", hint=hint
        )
    return value


def _size(size: Mapping[str, int] | None) -> dict[str, int]:
    hint = 'size={"width": 256}, or {"depth": 4}, or both'
    found: Any = size
    if found is None:
        text = _given(SIZE_VARIABLE, "the run's size", hint)
        try:
            found = json.loads(text)
        except ValueError:
            found = text
    right = isinstance(found, Mapping) and bool(found)
    if not right or not all(key in AXES and type(value) is int and value >= 1 for key, value in found.items()):
        raise UsageError(
            f"a size must map some of {', '.join(AXES)} to whole numbers, each at least 1",
            received=repr(found)[:120],
            hint=hint,
        )
    return dict(found)


def _seed(seed: int | None) -> int:
    found: Any = _given(SEED_VARIABLE, "the run's seed", "seed=0") if seed is None else seed
    if isinstance(found, str) and found.isascii() and found.isdigit():
        found = int(found)
    if type(found) is not int or found < 0:
        raise UsageError("a seed must be a whole number, at least 0", received=repr(found)[:80], hint="seed=0")
    return found
