"""Widths of a ladder that can be built and that end below the width that matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import gcd, lcm

from hptransfer.errors import UsageError
from hptransfer.models.build import build_model
from hptransfer.models.huggingface import family_of
from hptransfer.recipe.model_sections import FactoryModel, HuggingFaceModel

Section = FactoryModel | HuggingFaceModel
#: least base; below it the optimum misleads
_LEAST = 64
#: base widths that are tried first, the smallest first
_BASES = (64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536, 2048)
#: widths of the ladder, as multiples of the base
LADDER = (1, 2, 4, 8)
#: fewest widths of a ladder
_FEWEST = 2
#: a width's own divisors that are tried as a base
_DIVISORS = (32, 24, 20, 16, 12, 10, 9, 8, 7, 6, 5, 4, 3)
#: multiples of the least width that a configuration's proportions allow
_MULTIPLES = 32


def ladder(
    section: Section, own: int, depth: int, heads: Callable[[int], int] | None, *, asked: bool
) -> tuple[int, ...]:
    """The ladder of the base that suits best; all its widths can be built.

    A base whose double, fourfold and eightfold lie below the target is taken first, then one whose ladder is shorter.

    Args:
        section: what a recipe says of the model.
        own: the target's width; 0 where it is not known.
        depth: number of repeated layers, at least 1.
        heads: number of attention heads at a width, where a configuration says it; two are wanted at the base.
        asked: whether that target was asked for, so that a ladder which does not end below it is refused. A function's
            defaults are often a toy's, and decide nothing; a configuration's width is one that somebody trained.

    Raises:
        UsageError: no base has two widths that can be built, or, of a target that was asked for, none lie below it.
    """
    every = (_BASES, tuple(_bases_of(section, own)))
    shortest = _FEWEST if asked or isinstance(section, HuggingFaceModel) else len(LADDER)
    for count in range(len(LADDER), shortest - 1, -1) if own else ():
        for bases in every:
            found = _buildable(section, [base for base in bases if base * LADDER[count - 1] < own], depth, count)
            if found:
                return _of_base(_headed(found, heads)[0], count)
    if asked:
        raise _none_below(section, own, depth, every)
    fallback = next(filter(None, (_buildable(section, bases, depth, len(LADDER)) for bases in every)), None)
    if fallback is None:
        error = why_not(section, _BASES[0], depth)
        raise UsageError(
            "a base width of 64 or more must be found whose double, fourfold and eightfold can be built",
            received=error.findings[0].received if error is not None else f"none of {_BASES[0]} to {_BASES[-1]}",
            hint="make what divides the width follow it, for example `heads = width // head_dim`",
        )
    return _of_base(_headed(fallback, heads)[0], len(LADDER))


def _of_base(base: int, count: int) -> tuple[int, ...]:
    return tuple(base * factor for factor in LADDER[:count])


def _headed(bases: Sequence[int], heads: Callable[[int], int] | None) -> Sequence[int]:
    """Those with two heads, where there are any."""
    return [base for base in bases if heads is None or heads(base) >= 2] or bases


def _buildable(section: Section, bases: Sequence[int], depth: int, count: int) -> list[int]:
    return [base for base in bases if all(builds(section, width, depth) for width in _of_base(base, count))]


def _bases_of(section: Section, own: int) -> Iterator[int]:
    """Bases that a model's own numbers give: multiples of what its proportions allow, divisors of its width."""
    if isinstance(section, HuggingFaceModel):
        family, settings = family_of(section), section.settings
        width = settings.get(family.width)
        values = [settings.get(key) for key in family.following]
        if isinstance(width, int) and width > 0:
            step = lcm(*(width // gcd(value, width) for value in values if isinstance(value, int) and value > 0))
            first = -(-_LEAST // step)
            yield from (step * factor for factor in range(first, first + _MULTIPLES))
    else:
        yield from (own // by for by in _DIVISORS if own % by == 0 and own // by >= _LEAST)


def _none_below(section: Section, own: int, depth: int, every: Sequence[Sequence[int]]) -> UsageError:
    """Why a target that was asked for has no ladder below it."""
    found = next(filter(None, (_buildable(section, bases, depth, _FEWEST) for bases in every)), None)
    rule = "a ladder must have two widths that can be built, the base's of 64 or more and its double, below the target"
    if found is None:
        error = why_not(section, _BASES[0], depth)
        return UsageError(
            rule,
            received=error.findings[0].received if error is not None else f"none below {own}",
            hint="make what divides the width follow it, for example `heads = width // head_dim`",
        )
    least = _of_base(found[0], _FEWEST)
    larger = next((width for width in (2 * least[1], 4 * least[1], 3 * least[0]) if builds(section, width, depth)), 0)
    return UsageError(
        rule,
        received=f"the width {own}; the smallest ladder is {', '.join(map(str, least))}",
        hint=f"a target of that width needs no transfer: tune it by itself; the smallest here is `--target {larger}x"
        f"{depth}`"
        if larger
        else "a target of that width needs no transfer: tune it by itself",
    )


@lru_cache(maxsize=1024)
def _built(section: str, kind: str, width: int, depth: int) -> UsageError | None:
    model: Section = (FactoryModel if kind == "factory" else HuggingFaceModel).model_validate_json(section)
    try:
        build_model(model, width, depth, "meta")
    except UsageError as error:
        return error
    return None


def why_not(section: Section, width: int, depth: int) -> UsageError | None:
    """Why a model cannot be built at a size, without memory; None where it can.

    Args:
        section: what a recipe says of the model.
        width: of the model, at least 1.
        depth: number of its repeated layers, at least 1.
    """
    return _built(section.model_dump_json(), section.kind, width, depth)


def builds(section: Section, width: int, depth: int) -> bool:
    """Whether a model can be built at a size, without memory.

    Args:
        section: what a recipe says of the model.
        width: of the model, at least 1.
        depth: number of its repeated layers, at least 1.
    """
    return why_not(section, width, depth) is None
