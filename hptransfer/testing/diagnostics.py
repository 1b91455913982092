"""What every diagnostic must do; subclass `DiagnosticConformance` and name it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hptransfer.diagnostics.base import DIAGNOSTICS, Columns, Diagnosed, Diagnostic, Facts, Line, Request, Stage
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import AXES, Size
from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trials.messages import DiagnosticMessage
from hptransfer.trials.trial import Trial, TrialState

_RECIPE = {
    "name": "small",
    "model": {"kind": "gpt", "context": 8, "head_dim": 8},
    "data": {"kind": "stdlib-text"},
    "training": {"steps": 8, "batch_size": 4, "learning_rate": 2.0**-6, "evaluation_batches": 1},
    "parameterization": {"name": "completep"},
    "sizes": {
        "base": {"width": 16, "depth": 2},
        "widths": [16, 24, 32],
        "depths": [2, 3, 4],
        "target": {"width": 64, "depth": 4},
    },
    "tune": {"space": {name: {"low": 1e-4, "high": 4.0} for name in ("learning_rate", "init_scale")}, "trials": 16},
    "check": {"seeds": 3, "coordinate": {"steps": [1, 3], "seeds": 2}},
}


class DiagnosticConformance:
    """Behaviour that a check, its workers and `transfer.json` count on."""

    #: the diagnostic's name, or `module:attribute`
    name: ClassVar[str]

    def recipe(self) -> Recipe:
        """A recipe whose models are small; override it where the default does not fit."""
        # through JSON text, because pydantic's strict mode takes a list for a tuple there and nowhere else
        return Recipe.model_validate_json(json.dumps(_RECIPE))

    @pytest.fixture
    def diagnostic(self) -> Diagnostic[Any]:
        """The entry."""
        return DIAGNOSTICS.look_up(self.name)

    @pytest.fixture
    def facts(self) -> Facts:
        """What a check of the recipe knows at its end."""
        return facts_of_recipe(self.recipe())

    def measured(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """What a worker answers to each request, through JSON as between processes."""
        found = []
        for request in requests:
            payload = DiagnosticMessage.of(self.name, request.spec, options=request.options).payload()
            found.append(json.loads(json.dumps(run_diagnostic(json.loads(json.dumps(payload))), allow_nan=False)))
        return found

    def report(self, diagnostic: Diagnostic[Any], facts: Facts) -> Any:
        """The report on measurements of every request."""
        return diagnostic.judge(facts, self.measured(diagnostic.requests(facts)))

    def test_it_can_be_looked_up(self, diagnostic: Diagnostic[Any]) -> None:
        """A recipe may name it, and it says when it is made and what a worker that fails breaks."""
        assert DIAGNOSTICS.accepts(self.name)
        assert isinstance(diagnostic.stage, Stage)
        assert isinstance(diagnostic.always, bool)
        assert diagnostic.version >= 1
        assert diagnostic.rule.strip()

    def test_the_same_facts_ask_for_the_same(self, diagnostic: Diagnostic[Any], facts: Facts) -> None:
        """Measurements are kept by what determines them; options are JSON-able."""
        first, second = diagnostic.requests(facts), diagnostic.requests(facts)

        assert [_plain(request) for request in first] == [_plain(request) for request in second]
        assert len({json.dumps(_plain(request), sort_keys=True) for request in first}) == len(first)

    def test_what_needs_trials_asks_nothing_of_workers_with_the_verdict(
        self, diagnostic: Diagnostic[Any], facts: Facts
    ) -> None:
        """With the verdict there is no time to measure: it is made from trials alone."""
        if diagnostic.stage is Stage.WITH_VERDICT:
            assert not diagnostic.requests(facts)

    def test_a_measurement_can_be_repeated(self, diagnostic: Diagnostic[Any], facts: Facts) -> None:
        """The same request gives the same JSON-able answer, with its size and seed."""
        for request in diagnostic.requests(facts)[:1]:
            first, second = self.measured([request, request])

            assert first == second
            assert (first["size"], first["seed"]) == (asdict(request.spec.size), request.spec.seed)

    def test_a_report_can_be_read_and_written(self, diagnostic: Diagnostic[Any], facts: Facts) -> None:
        """Lines and tables of plain text, each row as wide as its header, and a strict JSON document."""
        found = Diagnosed.of(self.name, self.report(diagnostic, facts))

        assert found.report is not None
        assert json.loads(json.dumps(found.document, allow_nan=False)) == found.document
        for shown in found.shown:
            if isinstance(shown, Line):
                assert "\n" not in shown.text
                assert shown.style in ("", "bold", "dim", "yellow")
            else:
                assert isinstance(shown, Columns)
                assert {len(row) for row in shown.rows} <= {len(shown.header)}
                assert 0 <= shown.left <= len(shown.header)

    def test_judging_twice_gives_the_same(self, diagnostic: Diagnostic[Any], facts: Facts) -> None:
        """The same measurements give the same document."""
        measured = self.measured(diagnostic.requests(facts))
        first, second = (diagnostic.judge(facts, measured) for _ in range(2))

        assert diagnostic.document(first) == diagnostic.document(second)


def _plain(request: Request) -> Mapping[str, Any]:
    return DiagnosticMessage.of("any", request.spec, options=request.options).payload()


def facts_of_recipe(recipe: Recipe) -> Facts:
    """What a check of a recipe knows at its end, with made-up trials whose optimum is the tuned point.

    Args:
        recipe: with a ladder of widths, and perhaps one of depths.
    """
    proxy = recipe.proxy_size
    widths = tuple(recipe.size(width, proxy.depth) for width in recipe.sizes.widths)
    depths = tuple(recipe.size(proxy.width, depth) for depth in recipe.sizes.depths)
    sizes = tuple(dict.fromkeys((proxy, *widths, *depths)))
    values = defaults(recipe.training)
    named = recipe.check.checked[0]
    ladder = tuple(
        _trial(size, values | {named: values[named] * 2.0**step}, seed, step**2)
        for size in sizes
        for step in range(-2, 3)
        for seed in range(recipe.check.seeds)
    )
    first, *others = recipe.tune.space
    searched = tuple(
        _trial(proxy, values | {first: values[first] * 2.0**x, other: values[other] * 2.0**y}, 0, x**2 + y**2 + x * y)
        for other in others[:1]
        for x in range(-2, 3)
        for y in range(-2, 3)
    )
    return Facts(
        recipe=recipe,
        root=Path.cwd(),
        values=values,
        hyperparameter=named,
        checked=recipe.check.checked,
        proxy=proxy,
        ladders=dict.fromkeys(AXES, ()) | {"width": widths, "depth": depths},
        sizes=sizes,
        trials=ladder,
        searched=searched,
    )


def _trial(size: Size, values: Mapping[str, float], seed: int, distance: float) -> Trial:
    """A finished run: a parabola about the tuned point, a power of the width, and a small offset of its seed."""
    loss = 2 + 0.02 * distance + 4 / math.sqrt(size.width) + 0.001 * math.sin(7 * seed + size.width)
    curve = tuple((step, loss + math.sqrt(20 / step) - 1) for step in range(1, 21))
    key = f"{size}-{sorted(values.items())}-{seed}"
    return Trial(key, size, dict(values), seed, TrialState.COMPLETE, loss, curve=curve)
