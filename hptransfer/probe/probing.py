"""Build a base, a wider and a deeper model on the CPU, run each once, and say what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from hptransfer.parameterization.groups import without_numbers
from hptransfer.probe import attention_sites, residual
from hptransfer.probe.alignment import align
from hptransfer.probe.calm import calm, failure, without_dropout
from hptransfer.probe.example import Example, given, guesses
from hptransfer.probe.factors import Runs, factors
from hptransfer.probe.findings import Movement, Probe, Where
from hptransfer.probe.graph import Graph
from hptransfer.probe.movement import agreed, movements
from hptransfer.probe.readouts import both_ways, looked_up, readouts, uses
from hptransfer.probe.sizes import growth_of, preserve_sizes, size_powers, stds
from hptransfer.probe.summed_axes import SummedAxes
from hptransfer.probe.trace import FailedRunError, Trace, trace

Build = Callable[[int, int], nn.Module]
#: further draws of the weights that must show a size that moves: by chance it does in one
_MORE_SEEDS = 3
#: between seeds of draws, which must not be those of inputs
_SPREAD = 1000
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
    generators and flags is as before afterwards, and nothing is printed. The user's code may raise anything: that is
    said in `Probe.unknown`, never raised.

    Args:
        build: from a width and a depth to a model, under the current device.
        base: width and depth of the base.
        wide: width and depth of a wider model; twice the width where it is left out.
        deep: width and depth of a deeper model; twice the depth where it is left out.
        example: what `forward` takes: a tensor, a tuple, a dict by name, or a function of nothing or of width and depth
            that returns one.
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


@dataclass(frozen=True, slots=True)
class _Measured:
    """Base and wider run of one seed, and the power of the width that each tensor's size follows."""

    runs: Runs
    powers: Mapping[int, float]


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
    measurements: dict[int, _Measured | None] = field(default_factory=dict)
    summed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def run_base(self) -> None:
        """Build the base model and find an input that it takes."""
        width, depth = self.sizes[0]
        try:
            module = self._built(self.sizes[0])
        except (Exception, SystemExit) as error:
            self.unknown.append(f"the model could not be built at width {width}, depth {depth}: {failure(error)}")
            return
        failures: list[tuple[int, str]] = []
        tried = [self.example] if self.example is not None else guesses(module, self.context)
        for each in tried:
            try:
                args, kwargs = _seeded(each, module, width, depth)
                trace(module, args, kwargs)
                self.summed = _summed(module, args, kwargs)
                # a model may count its runs: what is compared is the first run of each size
                fresh = self._built(self.sizes[0])
                self.base = Graph(trace(fresh, *_seeded(each, fresh, width, depth)))
                self.example = each
                return
            except FailedRunError as error:
                failures.append((error.reached, failure(error.error)))
            except (Exception, SystemExit) as error:
                failures.append((0, failure(error)))
        what = "with `model.example`" if self.example is not None else "with any input that was guessed"
        furthest = max(failures, key=lambda each: each[0])[1] if failures else "no input could be guessed"
        self.unknown.append(f"`forward` did not run {what}: {furthest}; {_HINT}")

    def run_wide(self) -> None:
        """Trace the wider model."""
        module = self._module("wider", self.sizes[1])
        if module is not None:
            self.wide = self._traced("wider", module, self.sizes[1])

    def measured(self, seed: int = 0) -> _Measured | None:
        """Base, and wider with weights that preserve sizes as the base's do: how sizes go with the width.

        Both are built again; None where one of them did not run.

        Args:
            seed: of their weights; 0 is that of all other runs.
        """
        if seed in self.measurements or self.base is None or self.wide is None:
            return self.measurements.get(seed)
        self.measurements[seed] = None
        with calm():
            base, wide = self._module("base", self.sizes[0], seed), self._module("wider", self.sizes[1], seed)
            if base is None or wide is None:
                return None
            preserve_sizes(wide, stds(base), growth_of(self.base, self.wide))
            small = self._traced("base", base, self.sizes[0], measure=True)
            large = self._traced("wider", wide, self.sizes[1], measure=True)
        if small is not None and large is not None:
            runs = self._runs(small, large)
            powers = size_powers(small.trace, large.trace, runs.width_growth)
            self.measurements[seed] = _Measured(runs, powers)
        return self.measurements[seed]

    def measured_powers(self) -> Mapping[int, float] | None:
        """Power of the width of each tensor's size, by its index in the run of the base; None where it is not known."""
        measured = self.measured()
        return None if measured is None else measured.powers

    def moving(
        self, explained: frozenset[tuple[Where, str]], repeated: frozenset[str], product: Where | None
    ) -> tuple[Movement, ...]:
        """Sizes that move with the width in runs of several seeds alike.

        Args:
            explained: place and name of operations about which something else is said.
            repeated: names of weights that one run uses more often the deeper the model.
            product: place of an answer that is a product, about which its own power is said.
        """
        found: list[tuple[Movement, ...]] = []
        for seed in range(1 + _MORE_SEEDS):
            measured = self.measured(seed)
            if measured is None:
                return ()
            base = measured.runs.base
            sums, sites = residual.sums(base, repeated), attention_sites.sites(base)
            moving = movements(measured.runs, measured.powers, sums, sites, explained)
            found.append(tuple(each for each in moving if each.where != product))
            if not found[-1]:
                return ()
        return agreed(found[0], found[1:])

    def run_deep(self) -> None:
        """Trace the deeper model."""
        module = self._module("deeper", self.sizes[2])
        if module is not None:
            self.deep = self._traced("deeper", module, self.sizes[2])

    def _built(self, size: tuple[int, int], seed: int = 0) -> nn.Module:
        torch.default_generator.manual_seed(_SPREAD * seed)
        with torch.device("cpu"), torch.enable_grad():
            module = without_dropout(self.build(*size))
        if any(parameter.is_meta for parameter in module.parameters()):
            raise RuntimeError("the function returned a model that was built elsewhere before (without memory)")
        return module

    def _module(self, name: str, size: tuple[int, int], seed: int = 0) -> nn.Module | None:
        try:
            return self._built(size, seed)
        except (Exception, SystemExit) as error:
            self.unknown.append(
                f"the {name} model (width {size[0]}, depth {size[1]}) could not be built: {failure(error)}"
            )
            return None

    def _traced(self, name: str, module: nn.Module, size: tuple[int, int], *, measure: bool = False) -> Graph | None:
        assert self.example is not None  # noqa: S101  # for the type checker
        try:
            args, kwargs = _seeded(self.example, module, *size)
            return Graph(trace(module, args, kwargs, measure=measure))
        except (Exception, SystemExit) as error:
            cause = error.error if isinstance(error, FailedRunError) else error
            self.unknown.append(f"the {name} model (width {size[0]}, depth {size[1]}) did not run: {failure(cause)}")
            return None

    def found(self) -> Probe:
        """All findings, as far as the runs went."""
        base, wide, deep = self.sizes
        text = self.example.text if self.example is not None and self.base is not None else ""
        found = Probe(base, wide, deep, text, tuple(self.unknown))
        if self.base is None:
            return found
        runs = self._runs(self.base, self.wide, self.deep)
        sites = attention_sites.sites(self.base)
        wider = attention_sites.sites(self.wide) if self.wide is not None else []
        repeated = self._repeated(self.base)
        sums = residual.sums(self.base, frozenset(repeated))
        names, product, grows = readouts(runs)
        curves = dict.fromkeys(source.parameters[0] for each in sums for source in each.curves)
        numbers = factors(runs, sites, self.measured_powers)
        explained = [(each.where, each.operation) for each in numbers]
        moving = self.moving(frozenset(explained), frozenset(repeated), product)
        return replace(
            found,
            unknown=(*found.unknown, *(_curve(name) for name in curves)),
            factors=numbers,
            attention=attention_sites.attention(sites, wider, runs.to_wide),
            writers=residual.writers(sums),
            stream_norms=residual.stream_norms(self.base, sums),
            readouts=names,
            product=product,
            product_power=grows,
            repeated_use=repeated,
            looked_up=looked_up(self.base),
            both_ways=both_ways(self.base),
            unused=_unused(self.base.trace),
            summed_axes=self.summed,
            movements=moving,
        )

    def _runs(self, base: Graph, wide: Graph | None, deep: Graph | None = None) -> Runs:
        return Runs(
            base=base,
            wide=wide,
            deep=deep,
            to_wide=align(base.trace, wide.trace) if wide is not None else {},
            to_deep=align(base.trace, deep.trace) if deep is not None else {},
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


def _summed(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> Mapping[str, tuple[int, ...]]:
    """Axes that each parameter is summed over, in a run of its own that sees functions before they are taken apart."""
    seen = SummedAxes(module)
    with torch.no_grad(), seen:
        module(*args, **kwargs)
    return seen.found


def _seeded(
    example: Example, module: nn.Module, width: int, depth: int
) -> tuple[tuple[object, ...], dict[str, object]]:
    torch.default_generator.manual_seed(1)
    with torch.device("cpu"):
        args, kwargs = example.make(module, width, depth)
    torch.default_generator.manual_seed(2)
    return args, kwargs


def _curve(name: str) -> str:
    return f"a curve of `{name}` is added to the residual stream: the weight cannot take a factor of depth exactly"


def _unused(run: Trace) -> tuple[str, ...]:
    """Parameters that nothing read; not those whose like in another layer or expert was read."""
    read = {without_numbers(name) for name, node in run.parameters.items() if node.readers}
    return tuple(
        name for name, node in run.parameters.items() if not node.readers and without_numbers(name) not in read
    )
