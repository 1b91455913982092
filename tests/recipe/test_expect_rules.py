"""Rules of `expect`: what can never be met, or is never measured, is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipe_texts import MLP, edited, faults, load_text

COMMAND = edited(
    MLP,
    ("model: {kind: mlp}\ndata: {kind: stdlib-text}\n", "trainer: {function: 'mine:train'}\nobjective: {unit: nats}\n"),
    ("{name: mup}", "{name: measured}"),
)


@pytest.mark.parametrize(
    ("expect", "code", "hint"),
    [
        ("{}", "recipe/expects-nothing", "expect: {verdict: TRANSFERS}"),
        ("{optimum: {weight_decay: {low: 0.1, high: 0.2}}}", "recipe/expects-untuned", "learning_rate"),
        ("{optimum: {learning_rate: {low: 0.02, high: 0.01}}}", "recipe/expected-order", "{low: 0.01, high: 0.02}"),
        ("{prediction: {low: 3, high: 2}}", "recipe/expected-order", "{low: 2, high: 3}"),
        ("{optimum: {learning_rate: {low: 0.2, high: 0.4}}}", "recipe/expected-reach", "0.0001 to 0.1"),
        ("{prediction: {low: 2}}", "recipe/expected-loss", "contains: 2.4"),
        ("{prediction: {low: 2, high: 3, contains: 2.5}}", "recipe/expected-loss", "contains: 2.4"),
    ],
)
def test_refused(tmp_path: Path, expect: str, code: str, hint: str) -> None:
    """One finding each, at `expect`, with what to write."""
    (found,) = faults(tmp_path, f"{MLP}expect: {expect}\n")

    assert found.code == code
    assert found.place is not None
    assert found.place.line == MLP.count("\n") + 1
    assert found.hint is not None
    assert hint in found.hint


@pytest.mark.parametrize(
    ("text", "expect", "received"),
    [
        (COMMAND, "{coordinate: HOLDS}", "a function, whose models cannot be measured"),
        (edited(MLP, ("[64, 128, 256, 512]", "[64]")), "{coordinate: HOLDS}", "fewer than two widths"),
        (edited(MLP, ("[64, 128, 256, 512]", "[64]")), "{drift: 0.1}", "no ladder of two sizes"),
        (edited(MLP, ("{width: 1024, depth: 4}", "{width: 64, depth: 2}")), "{prediction: {contains: 2}}", "the proxy"),
    ],
)
def test_what_is_never_measured(tmp_path: Path, text: str, expect: str, received: str) -> None:
    """An expectation that no check can answer would never be met, whatever happens."""
    before = {finding.code for finding in faults(tmp_path, text)}
    found = [each for each in faults(tmp_path, f"{text}expect: {expect}\n") if each.code not in before]

    assert [each.code for each in found] == ["recipe/expects-unmeasured"]
    assert received in (found[0].received or "")


def test_what_may_be_expected(tmp_path: Path) -> None:
    """Negative control: everything at once is clean, and no part of the recipe's hash."""
    everything = (
        "{verdict: TRANSFERS, coordinate: HOLDS, optimum: {learning_rate: {low: 0.001, high: 0.1}}, drift: 0.1, "
        "cost: 0.5, prediction: {low: 2, high: 3}}"
    )
    plain = load_text(tmp_path, MLP).hash

    assert faults(tmp_path, f"{MLP}expect: {everything}\n") == ()
    assert load_text(tmp_path, f"{MLP}expect: {everything}\n").hash == plain
    assert faults(tmp_path, f"{COMMAND}expect: {{verdict: DRIFTS, drift: 0.5}}\n") == faults(tmp_path, COMMAND)
