"""Build a base, a wider and a deeper model on the CPU, run each once, and say what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from hptransfer.probe import attention_sites, residual
from hptransfer.probe.alignment import align
from hptransfer.probe.calm import calm, failure, without_dropout
from hptransfer.probe.example import Example, given, guesses
from hptransfer.probe.factors import Runs, factors
from hptransfer.probe.findings import Probe
from hptransfer.probe.readouts import readouts, uses
from hptransfer.probe.sizes import growth_of, preserve_sizes, size_powers, stds
from hptransfer.probe.steps import Graph
from hptransfer.probe.trace import Trace, trace

Build = Callable[[int, int], nn.Module]
_HINT = "write `model.example: module:function`, a function that returns what `forward` takes"


def probe(
    build: Build,
    base: tuple[int, int],
    *,
    wide: tuple[int, int] | None = None,
    deep: tuple[int, int] | None = None,
    example: object = None,
    context: int = 64,
) -> Probe:
    """Ask the running model: factors in `forward`, attention, the residual stream, readouts.

    Three models are built one after another on the CPU, seeded, run once without gradients and freed. The state of all
    generators and flags is as before afterwards, and nothing is printed. The user's code may raise anything: that is said in
    `Probe.unknown`, never raised.

    Args:
        build: from a width and a depth to a model, under the current device.
        base: width and depth of the base.
        wide: width and depth of a wider model; twice the width where it is left out.
        deep: width and depth of a deeper model; twice the depth where it is left out.
        example: what `forward` takes: a tensor, a tuple, a dict by name, or a function of nothing or of width and depth.
        context: positions of a sequence at most.
    """
    sizes = base, wide or (2 * base[0], base[1]), deep or (base[0], 2 * base[1])
    asked = _Asked(build, sizes, given(example) if example is not None else None, context)
    with calm():
        asked.run_base()
        if asked.base is not None:
            asked.run_wide()
            asked.run_deep()
    return asked.found()


@dataclass(slots=True)
class _Asked:
    """What is known so far."""

    build: Build
    sizes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    example: Example | None
    context: int
    base: Graph | None = None
    wide: Graph | None = None
    deep: Graph | None = None
    stds: Mapping[str, float] = field(default_factory=dict)
    powers: Mapping[int, float] | None = None
    unknown: list[str] = field(default_factory=list)

    def run_base(self) -> None:
        """Build the base model and find an input that it takes."""
        width, depth = self.sizes[0]
        try:
            module = self._built(self.sizes[0])
        except (Exception, SystemExit) as error:
            self.unknown.append(f"the model could not be built at width {width}, depth {depth}: {failure(error)}")
            return
        self.stds = stds(module)
        failures: list[str] = []
        tried = [self.example] if self.example is not None else guesses(module, self.context)
        for each in tried:
            try:
                args, kwargs = _seeded(each, module, width, depth)
                self.base, self.example = Graph(trace(module, args, kwargs)), each
                return
            except (Exception, SystemExit) as error:
                failures.append(failure(error))
        self._say_no_input(failures)

    def _say_no_input(self, failures: list[str]) -> None:
        what = "the example" if self.example is not None else "none of the inputs that were guessed"
        first = f": {failures[0]}" if failures else ""
        self.unknown.append(
            f"`forward` ran with {what}{first}; {_HINT}"
            if self.example is None
            else f"`forward` did not run with {what}{first}; {_HINT}"
        )

    def run_wide(self) -> None:
        """Trace the wider model as it is, then with weights that preserve sizes as those of the base do."""
        assert self.base is not None  # noqa: S101
        module = self._module("wider", self.sizes[1])
        if module is None:
            return
        self.wide = self._traced("wider", module, self.sizes[1])
        if self.wide is None:
            return
        preserve_sizes(module, self.stds, growth_of(self.base, self.wide))
        again = self._traced("wider", module, self.sizes[1])
        if again is not None:
            growth = self.sizes[1][0] / self.sizes[0][0]
            self.powers = size_powers(self.base.trace, again.trace, growth)

    def run_deep(self) -> None:
        """Trace the deeper model."""
        module = self._module("deeper", self.sizes[2])
        if module is not None:
            self.deep = self._traced("deeper", module, self.sizes[2])

    def _built(self, size: tuple[int, int]) -> nn.Module:
        torch.default_generator.manual_seed(0)
        with torch.device("cpu"), torch.enable_grad():
            return without_dropout(self.build(*size))

    def _module(self, name: str, size: tuple[int, int]) -> nn.Module | None:
        try:
            return self._built(size)
        except (Exception, SystemExit) as error:
            self.unknown.append(
                f"the {name} model (width {size[0]}, depth {size[1]}) could not be built: {failure(error)}"
            )
            return None

    def _traced(self, name: str, module: nn.Module, size: tuple[int, int]) -> Graph | None:
        assert self.example is not None  # noqa: S101
        try:
            args, kwargs = _seeded(self.example, module, *size)
            return Graph(trace(module, args, kwargs))
        except (Exception, SystemExit) as error:
            self.unknown.append(f"the {name} model (width {size[0]}, depth {size[1]}) did not run: {failure(error)}")
            return None

    def found(self) -> Probe:
        """All findings, as far as the runs went."""
        base, wide, deep = self.sizes
        text = self.example.text if self.example is not None and self.base is not None else ""
        found = Probe(base, wide, deep, text, tuple(self.unknown))
        if self.base is None:
            return found
        runs = self._runs(self.base)
        sites = attention_sites.sites(self.base)
        wider = attention_sites.sites(self.wide) if self.wide is not None else []
        sums = residual.sums(self.base)
        names, product = readouts(runs)
        curves = dict.fromkeys(place for each in sums for place in each.curves)
        return replace(
            found,
            unknown=(*found.unknown, *(_curve(place.module, place.code) for place in curves)),
            factors=factors(runs, sites, lambda: self.powers),
            attention=attention_sites.attention(sites, wider, runs.to_wide),
            writers=residual.writers(sums),
            stream_norms=residual.stream_norms(self.base, sums),
            readouts=names,
            product=product if not names else None,
            repeated_use=self._repeated(self.base),
            unused=_unused(self.base.trace, set(uses(self.base))),
        )

    def _runs(self, base: Graph) -> Runs:
        return Runs(
            base=base,
            wide=self.wide,
            deep=self.deep,
            to_wide=align(base.trace, self.wide.trace) if self.wide is not None else {},
            to_deep=align(base.trace, self.deep.trace) if self.deep is not None else {},
            width_growth=self.sizes[1][0] / self.sizes[0][0],
            depth_growth=self.sizes[2][1] / self.sizes[0][1],
        )

    def _repeated(self, base: Graph) -> tuple[str, ...]:
        if self.deep is None:
            return ()
        before, after = uses(base), uses(self.deep)
        more = self.sizes[2][1] - self.sizes[0][1]
        return tuple(
            name
            for name in before
            if after[name] >= before[name] + more and self.deep.trace.shapes.get(name) == base.trace.shapes.get(name)
        )


def _seeded(
    example: Example, module: nn.Module, width: int, depth: int
) -> tuple[tuple[object, ...], dict[str, object]]:
    torch.default_generator.manual_seed(1)
    with torch.device("cpu"):
        args, kwargs = example.make(module, width, depth)
    torch.default_generator.manual_seed(2)
    return args, kwargs


def _curve(module: str, code: str) -> str:
    return f"{code} in `{module}` adds a curve (not relu) of weights to the residual stream: no weight can take its depth factor"


def _unused(run: Trace, used: set[str]) -> tuple[str, ...]:
    """Parameters that nothing read; not those whose like in another layer or expert was used."""
    patterns = {_pattern(name) for name in used}
    return tuple(name for name in run.parameters if name not in used and _pattern(name) not in patterns)


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "*", name)
