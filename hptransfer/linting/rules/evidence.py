"""What weakens the evidence that a recipe can give."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.rule_text import Explanation
from hptransfer.sizes import AXES, LADDERS

LADDER_SPAN = 8
"""a width ladder that spans less shows little: drift hides in the noise of the optima"""
LONG_WARMUP = 0.9
"""from this share of a run on hardly a step has the full learning rate"""
SMALL_BASE = 64
"""below it, widths are far from the limit the rules come from"""


def _short_ladder(loaded: LoadedRecipe) -> Iterator[Finding]:
    sizes = loaded.recipe.sizes
    low, high = sizes.widths[0], sizes.widths[-1]
    if high < LADDER_SPAN * low:
        rule = f"a ladder of widths should span at least a factor of {LADDER_SPAN}"
        received = f"{low} to {high}, a factor of {high / low:.3g}"
        hint = f"add a width of {LADDER_SPAN * low} or more"
        yield Finding(rule, received, hint, loaded.place(("sizes", "widths")))
    elif len(sizes.widths) == 2:
        rule, received = "a ladder of widths should have at least 3 entries", f"{low} and {high}"
        yield Finding(
            rule, received, "add a width between: two points cannot show curvature", loaded.place(("sizes", "widths"))
        )
    for name in (LADDERS[axis] for axis in AXES if axis != "width"):
        values: tuple[int, ...] = getattr(sizes, name)
        if len(values) == 2:
            what = name.replace("_", " ")
            rule, received = f"a ladder of {what} should have at least 3 entries", f"{values[0]} and {values[1]}"
            hint = f"add {'more tokens' if name == 'tokens' else f'a {what[:-1]}'}: two points cannot show curvature"
            yield Finding(rule, received, hint, loaded.place(("sizes", name)))


def _small_base(loaded: LoadedRecipe) -> Iterator[Finding]:
    width = loaded.recipe.sizes.base.width
    if width < SMALL_BASE:
        rule = f"the base width should be at least {SMALL_BASE}"
        hint = f"write {SMALL_BASE} or more: small widths are far from the limit the rules come from"
        yield Finding(rule, str(width), hint, loaded.place(("sizes", "base", "width")))


def _single_seed(loaded: LoadedRecipe) -> Iterator[Finding]:
    seeds = loaded.recipe.check.seeds
    if seeds < 2:
        rule, hint = "the check should use at least 2 seeds", "write `seeds: 2`: one seed cannot tell drift from noise"
        yield Finding(rule, str(seeds), hint, loaded.place(("check", "seeds")))


def _long_warmup(loaded: LoadedRecipe) -> Iterator[Finding]:
    """The proxy's; of a fixed one that is longer than the run another rule speaks."""
    training = loaded.recipe.training
    share, key = training.warmup, "warmup"
    try:
        tokens = loaded.recipe.proxy_size.tokens
    except UsageError:  # durations that follow parameters, which are not counted yet
        tokens = None
    if training.warmup_steps is not None or training.warmup_tokens is not None:
        key = "warmup_steps" if training.warmup_steps is not None else "warmup_tokens"
        step = training.batch_size * loaded.recipe.predictions_per_example
        length = training.warmup_tokens or (training.warmup_steps or 0) * step
        share = 0.0 if tokens is None else length / tokens
    if share >= LONG_WARMUP:
        rule = "a warmup should leave most of the run to the full learning rate"
        whole = "the whole run" if share == 1 else f"{share:.0%} of the run"
        hint = "write for example `warmup: 0.1`, a tenth of the steps"
        hint += "" if key == "warmup" else f", in the place of `{key}`"
        yield Finding(rule, f"{getattr(training, key):g}, {whole}", hint, loaded.place(("training", key), value=True))


def _no_transfer(loaded: LoadedRecipe) -> Iterator[Finding]:
    """A target that no axis takes beyond what is trained anyway: tuned there, or measured, not transferred."""
    recipe = loaded.recipe
    try:
        target, proxy = recipe.target_size(), recipe.proxy_size
    except UsageError:  # durations that follow parameters, which are not counted yet: the target's are more
        return
    reach = {axis: max((getattr(proxy, axis), *getattr(recipe.sizes, LADDERS[axis]))) for axis in AXES}
    if any(getattr(target, axis) > reach[axis] for axis in AXES):
        return
    place = loaded.place(("sizes", "target"))
    size = f"width {target.width}, depth {target.depth}"
    if target == proxy:
        rule, hint = (
            "the target should be larger than the proxy",
            "what is tuned there needs no transfer: write a larger one",
        )
        yield Finding(rule, f"{size}, which is the proxy's", hint, place)
    else:
        rule = "the target should be larger than the ladder on some axis"
        hint = "the check trains at least as large a model: write a larger target, or end the ladder below it"
        yield Finding(rule, f"{size}; the ladder reaches width {reach['width']}, depth {reach['depth']}", hint, place)


RULES = (
    FunctionRule(
        "advice/short-ladder",
        f"a ladder of widths spans at least a factor of {LADDER_SPAN}, any other has at least 3 sizes",
        _short_ladder,
        explanation=Explanation(
            "HPT200",
            "Over less the drift hides in the noise of the optima, and two points show no curvature.",
            "add a larger size to the ladder",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128]\n  target: {width: 1024, depth: 4}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^widths",
        ),
    ),
    FunctionRule(
        "advice/no-transfer",
        "the target is larger than everything that is trained to find it",
        _no_transfer,
        explanation=Explanation(
            "HPT203",
            "What is trained at the target's size, or above it, can be tuned there, and shows nothing about transfer.",
            "write a larger target, or end the ladder below it",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 256, depth: 2}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^target",
        ),
    ),
    FunctionRule(
        "advice/small-base",
        f"the base width is at least {SMALL_BASE}",
        _small_base,
        explanation=Explanation(
            "HPT201",
            "Small widths are far from the limit that the rules come from, so their optimum misleads.",
            "write a base width of at least 64, and ladder and target with it",
            "sizes:\n  base: {width: 32, depth: 2}\n  widths: [32, 64, 128, 256]\n  target: {width: 1024, depth: 4}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^width: 32",
        ),
    ),
    FunctionRule(
        "advice/single-seed",
        "the check uses at least 2 seeds",
        _single_seed,
        explanation=Explanation(
            "HPT202",
            "One seed cannot tell drift from noise.",
            "write `seeds: 2` or more",
            "check: {seeds: 1}",
            "check: {seeds: 2}",
            at="^seeds",
        ),
    ),
    FunctionRule(
        "advice/long-warmup",
        f"a warmup takes less than {LONG_WARMUP:.0%} of the proxy's run",
        _long_warmup,
        explanation=Explanation(
            "HPT204",
            "A warmup is a fraction of the steps: 1 is the whole run, in which no step has the learning rate that is "
            "tuned, so its optimum says little about runs that have it.",
            "write the fraction that is meant: 0.1 is a tenth of the steps",
            "training: {steps: 100, warmup: 1}",
            "training: {steps: 100, warmup: 0.01}",
            at="warmup: ^1}",
        ),
    ),
)
