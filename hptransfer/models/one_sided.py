"""Matrices inside the layers of which only one axis grows with the width: what stands beside them decides their role.

A matrix with fixed outputs is half of a low-rank pair, keys or values of a fixed number of heads, a router or a gate.
Whichever it is, its fan-in grows, so its rate falls as 1/fan-in; only the init and eps of an output (router, gate)
differ from a hidden weight's. A matrix with fixed inputs has m_in = 1, hence an embedding's init and rate, and is a
hidden weight here because what lies in a layer follows the rules for depth and an embedding has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hptransfer.models.weights import Weight
from hptransfer.parameterization.role_presets import GivenRole
from hptransfer.parameterization.roles import Role

Decided = tuple[GivenRole, str]


def one_sided_roles(weights: Mapping[str, Weight]) -> dict[str, Decided]:
    """Name -> role and reason of the matrices that what stands beside them decides.

    Args:
        weights: every parameter of one model.
    """
    beside = _Beside.of(weights.values())
    found: dict[str, Decided] = {}
    for weight in weights.values():
        decided = _decided(weight, beside) if weight.repeats else None
        if decided is not None:
            found[weight.name] = decided
    return found


def _decided(weight: Weight, beside: _Beside) -> Decided | None:
    if weight.fans is None:
        return _raw_router(weight, beside)
    if not weight.is_matrix or beside.forgotten(weight):
        return None
    match weight.sums:
        case (True, False):
            return _reducer(weight, beside)
        case (False, True):
            return GivenRole(Role.HIDDEN_WEIGHT), "fan-out grows in a layer, fan-in is fixed: m_in = 1"
        case (False, False):
            return GivenRole(Role.HIDDEN_WEIGHT), "no axis grows, in a layer: m_in = 1"
    return None


def _reducer(weight: Weight, beside: _Beside) -> Decided | None:
    """Fan-in grows, fan-out is fixed."""
    outputs = int(weight.fan_out.dim)
    if outputs == 1:
        return GivenRole(Role.ROUTER), "one output inside a layer: a gate or a score"
    if beside.counts_experts(weight, outputs):
        return GivenRole(Role.ROUTER), f"it scores {outputs} experts"
    partner = beside.partner(weight)
    if partner is not None:
        return GivenRole(Role.HIDDEN_WEIGHT), f"fan-in grows, its outputs go on through {partner}"
    if beside.has_twin(weight):
        return GivenRole(Role.HIDDEN_WEIGHT), "fan-in grows; two of a shape beside a square matrix: keys and values"
    return None


def _raw_router(weight: Weight, beside: _Beside) -> Decided | None:
    """A raw matrix with as many rows or columns as there are experts."""
    if len(weight.infshape) != 2 or len(weight.growing) != 1:
        return None
    (axis,) = weight.growing
    experts = int(weight.infshape[1 - axis].dim)
    if experts < 2 or not beside.counts_experts(weight, experts):
        return None
    return GivenRole(Role.ROUTER, (axis,)), f"it scores {experts} experts"


@dataclass(frozen=True, slots=True)
class _Beside:
    """What stands beside a matrix in its layer.

    Attributes:
        matrices: path of a module -> one-sided and two-sided matrices in it, at most two modules deep.
        stacks: path of a module -> lengths of fixed first axes of tensors of three axes, and lengths of lists, in it.
        grown: layers with a matrix of which both sides grow.
    """

    matrices: Mapping[str, list[Weight]]
    stacks: Mapping[str, set[int]]
    grown: frozenset[str]

    @classmethod
    def of(cls, weights: Iterable[Weight]) -> _Beside:
        matrices: dict[str, list[Weight]] = defaultdict(list)
        stacks: dict[str, set[int]] = defaultdict(set)
        numbers: dict[str, set[str]] = defaultdict(set)
        grown: set[str] = set()
        for weight in weights:
            if not weight.repeats:
                continue
            if len(weight.growing) >= 2:
                grown.update(weight.layers)
            for scope in _scopes(weight):
                if weight.is_matrix:
                    matrices[scope].append(weight)
                if len(weight.infshape) >= 3 and not weight.infshape[0].isinf() and weight.growing:
                    stacks[scope].add(int(weight.infshape[0].dim))
            path = ""
            for part in weight.owner.path.split("."):
                if part.isdigit():
                    numbers[path].add(part)
                path = f"{path}.{part}" if path else part
        for path, found in numbers.items():
            stacks[path.rpartition(".")[0]].add(len(found))
            stacks[path].add(len(found))
        return cls(matrices, stacks, frozenset(grown))

    def forgotten(self, weight: Weight) -> bool:
        """Whether a pair of one-sided matrices is all there is in the layer: an inner size that was left behind."""
        one_sided = weight.sums in ((True, False), (False, True)) and bool(weight.layers)
        return one_sided and weight.layers[-1] not in self.grown and self.partner(weight) is not None

    def counts_experts(self, weight: Weight, outputs: int) -> bool:
        """Whether there are as many experts beside it, as a list or stacked."""
        return any(outputs in self.stacks.get(scope, ()) for scope in _scopes(weight))

    def partner(self, weight: Weight) -> str | None:
        """Name of the matrix on the other side of a fixed inner size, or None."""
        for scope in _scopes(weight):
            found = self._partner_in(weight, self.matrices.get(scope, []))
            if found is not None:
                return found.name
        return None

    def _partner_in(self, weight: Weight, matrices: Iterable[Weight]) -> Weight | None:
        whole = [other for other in matrices if getattr(other.owner.module, "groups", 1) == 1]
        reducers = {_inner(other): other for other in whole if other.sums == (True, False)}
        expanders = {_inner(other): other for other in whole if other.sums == (False, True)}
        others = expanders if weight.sums == (True, False) else reducers
        if _inner(weight) in others:
            return others[_inner(weight)]
        # outputs that are split, as low-rank keys beside a rotary part: one matrix is left on either side
        left = [reducers[size] for size in reducers.keys() - expanders.keys()]
        right = [expanders[size] for size in expanders.keys() - reducers.keys()]
        if len(left) == len(right) == 1 and _inner(left[0]) > _inner(right[0]):
            return right[0] if weight is left[0] else left[0] if weight is right[0] else None
        return None

    def has_twin(self, weight: Weight) -> bool:
        """Whether a matrix of the same shape and one that keeps the length of their input stand beside it."""
        matrices = [other for scope in _scopes(weight)[:1] for other in self.matrices.get(scope, [])]
        twins = [other for other in matrices if other.infshape == weight.infshape and other.sums == weight.sums]
        squares = [other for other in matrices if other.sums == (True, True) and other.fan_in == weight.fan_in]
        return len(twins) == 2 and bool(squares)


def _inner(weight: Weight) -> int:
    """Length of the side of a one-sided matrix that does not grow."""
    return int(weight.fan_out.dim if weight.fan_in.isinf() else weight.fan_in.dim)


def _scopes(weight: Weight) -> list[str]:
    """Paths of the modules in which a matrix has company: what holds it, and what holds that inside the layer."""
    if not weight.layers:
        return []
    owner = weight.owner
    is_leaf = owner.local == "weight" and not any(True for _ in owner.module.children())
    return list(_inside(owner.path.rpartition(".")[0] if is_leaf else owner.path, weight.layers[-1]))


def _inside(path: str, layer: str) -> Iterator[str]:
    if path != layer and not path.startswith(f"{layer}."):
        return
    yield path
    above = path.rpartition(".")[0]
    if above.startswith(f"{layer}."):
        yield above
