"""One cause, one finding: what follows from a broken structure is not listed, and what is wrong besides still is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.recipe.load import parse_source
from tests.support.recipe_texts import MLP, edited
from tests.support.source_tree import ROOT

_JSON = (
    '{"name": "small", "model": {"kind": "mlp"}, "data": {"kind": "stdlib-text"}, "training": {"steps": 100}, '
    '"parameterization": {"name": "mup"}, "sizes": {"base": {"width": 64, "depth": 2}, "widths": [64, 128, 256, 512], '
    '"target": {"width": 1024, "depth": 4}}, "tune": {"space": {"learning_rate": {"low": 1e-4, "high": 1e-1}}}}'
)

#: name -> text, line and column of the one finding, part of its rule, part of its hint
CAUSES = {
    "section misspelt": (edited(MLP, ("training:", "trainning:")), (4, 1), "`trainning` is not", "`training`?"),
    "optional section misspelt": (edited(MLP, ("model:", "modle:")), (2, 1), "`modle` is not", "did you mean `model`?"),
    "inner section misspelt": (edited(MLP, ("  space:", "  spaces:")), (12, 3), "`spaces` is not", "`space`?"),
    "keys not indented": (
        edited(MLP, ("  base", "base"), ("  widths", "widths"), ("  target", "target")),
        (8, 1),
        "`base`, `widths` and `target` must stand below `sizes`",
        "indent lines 8 to 10",
    ),
    "some keys not indented": (
        edited(MLP, ("  widths", "widths"), ("  target", "target")),
        (9, 1),
        "`widths` and `target` must stand below `sizes`",
        "indent lines 9 to 10",
    ),
    "keys that name a kind not indented": (
        edited(MLP, ("model: {kind: mlp}", "model:\nkind: mlp\ncontext: 8")),
        (3, 1),
        "`kind` and `context` must stand below `model`",
        "indent lines 3 to 4",
    ),
    "entries not indented": (edited(MLP, ("    learning", "  learning")), (13, 3), "below `tune.space`", "line 13"),
    "section too deep": (
        edited(MLP, ("tune:\n  space:\n    l", "  tune:\n    space:\n      l")),
        (11, 3),
        "`tune` must stand at the top",
        "as far as `sizes:`",
    ),
    "misspelt and not indented": (
        edited(MLP, ("parameterization: {name: mup}", "parametrization:\n  nmae: mup")),
        (6, 1),
        "`parametrization` is not a key",
        "did you mean `parameterization`?",
    ),
    "template": (edited(MLP, ("64, depth", "{{ w }}, depth"), ("1024", "{{ t }}")), (8, 17), "a template", "fill it"),
    "quoted template": (
        edited(MLP, ("64, depth", '"{{ w }}", depth'), ("1024", '"{{ t }}"')),
        (8, 17),
        "a tem",
        "fill",
    ),
    "variables": (edited(MLP, ("64, depth", "$W, depth"), ("1024", '"${T}"')), (8, 17), "a template must", "fill"),
    "variable in braces": (edited(MLP, ("1024", "${T}")), (10, 19), "a template must", "fill it in"),
    "template's statements": (
        edited(MLP, ("sizes:", "{% if x %}\nsizes:")),
        (7, 1),
        "a template must be",
        "fill it in",
    ),
    "conflict": (
        edited(MLP, ("  steps: 100\n", "<<<<<<< HEAD\n  steps: 100\n=======\n  steps: 200\n>>>>>>> topic\n")),
        (5, 1),
        "a merge that was not finished",
        "conflict markers",
    ),
    "parts used twice": (
        edited(MLP, ("base: {", "base: &b {"), ("widths:", "proxy: *b\n  widths:"), ("target: {", "target: {<<: *b, ")),
        (8, 9),
        "anchors",
        "delete the anchor",
    ),
    "tabs": (edited(MLP, ("  steps", "\tsteps")), (5, 1), "valid YAML", "indent with spaces"),
    "list": ("- name: small\n- sizes: 1\n", (1, 1), "must be a mapping", "begin with `name: my-recipe`"),
    "scalar": ("small\n", (1, 1), "must be a mapping", "begin with `name: my-recipe`"),
    "nothing": ("---\n", (2, 1), "must be a mapping", "begin with `name: my-recipe`"),
    "empty": ("", (1, 1), "must not be empty", "`hptransfer init`"),
    "comments": ("# nothing else\n", (1, 1), "must not be empty", "`hptransfer init`"),
    "two documents": (f"title: x\n---\n{MLP}", (2, 1), "one YAML document", "delete everything from the `---` on"),
    "target": ((ROOT / "recipes/runs/quickstart/target.yaml").read_text(), (25, 1), "a file that a", "`lint --plan`"),
    "tuned": ((ROOT / "recipes/runs/quickstart/tuned.yaml").read_text(), (9, 1), "a file that a", "`hptransfer check"),
    "small transfer": ('{"format": 3, "axes": [], "sentence": "x"}', (1, 2), "a file that a command", "scale RECIPE"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_one_finding(name: str) -> None:
    """The cause, where it is, with what to do about it; none of the keys that are missing or unknown because of it."""
    text, place, rule, hint = CAUSES[name]

    findings = parse_source(text.encode(), Path("r.yaml")).findings

    if name == "misspelt and not indented":  # two misspelt keys, and no required one that is missing
        assert [finding.rule.split()[0] for finding in findings] == ["`parametrization`", "`nmae`"]
    else:
        assert len(findings) == 1, findings
    first = findings[0]
    assert first.place is not None
    assert (first.place.line, first.place.column) == place
    assert rule in first.rule
    assert hint in (first.hint or "")
    assert first.id is not None


def test_what_is_wrong_besides_is_found_at_its_place() -> None:
    """In a misspelt section, and in one whose keys are not indented."""
    text = edited(
        MLP,
        ("training:\n  steps: 100", "trainning:\n  steps: x"),
        ("  widths: [64", "widths: [-64"),
        ("  target", "target"),
    )

    findings = parse_source(text.encode(), Path("r.yaml")).findings

    found = [(finding.place.line, finding.place.column) for finding in findings if finding.place]
    assert found == [(4, 1), (5, 10), (9, 1), (9, 10)]


def test_json_is_a_recipe() -> None:
    """Negative control: a sound recipe in JSON, and text that only looks like a template, have no finding."""
    assert parse_source(_JSON.encode(), Path("r.json")).findings == ()
    described = edited(MLP, ("name: small", 'name: small\ndescription: "{{ kept }} $AS ${IT} is"'))
    assert parse_source(described.encode(), Path("r.yaml")).findings == ()


def test_a_key_that_nothing_resembles_is_only_unknown() -> None:
    """Negative control: what is really missing is said."""
    findings = parse_source(edited(MLP, ("training:", "banana:")).encode(), Path("r.yaml")).findings

    assert [finding.code for finding in findings] == ["recipe/missing-key", "recipe/unknown-key"]


@pytest.mark.parametrize(
    "change",
    [
        (
            "    learning_rate: {low: 1e-4, high: 1e-1}",
            "    learning_rate: {low: 1e-4, high: 1e-1}\n  enqueue: [{a: 1}]",
        ),
        (
            "model: {kind: mlp}",
            "model: {kind: mlp}\ntrainer: {command: [a], results: {stdout: (x)}, resources: [{a: 1}, {}]}",
        ),
    ],
)
def test_unknown_keys_inside_lists(change: tuple[str, str]) -> None:
    """Where entries of a list are checked together too: a finding, and no traceback."""
    findings = parse_source(edited(MLP, change).encode(), Path("r.yaml")).findings

    assert "recipe/unknown-key" in {finding.code for finding in findings}
