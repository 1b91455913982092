"""nanoGPT-mup: what is written is read back through its own code (or the record of it), and trains as the plan does.

The framework's code runs where the environment variable HPTRANSFER_NANOGPT_MUP names a git clone of
EleutherAI/nanoGPT-mup: both branches are taken from it, at the commits that were read, unmodified.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hptransfer
from benchmarks.nanogpt_mup_golden import checked_out
from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover.nanogpt_mup import FILE, MASTER, branch_named
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import GptModel, HuggingFaceModel
from hptransfer.roundtrip.nanogpt_mup import CHECKOUT
from hptransfer.scaling.groups import in_gauge
from hptransfer.sizes import Size
from tests.support.exported import llama_target, round_trip, write_export
from tests.support.nanogpt import CONTEXT, VOCABULARY, nanogpt
from tests.support.nanogpt_mup import BASE, WIDER, framework, target

DEEPER = Size(192, 4, 8, 8192)
CLONE = os.environ.get(CHECKOUT)
WHO = [
    "record",
    pytest.param("code", marks=pytest.mark.skipif(CLONE is None, reason=f"{CHECKOUT} names no clone of nanoGPT-mup")),
]
needs_code = pytest.mark.skipif(CLONE is None, reason=f"{CHECKOUT} names no clone of nanoGPT-mup")


def of_a_program(**options: bool | str) -> TargetFile:
    """A target without rows: the framework applied the rules in the runs, too."""
    made = target()
    assert made.training is not None
    own = made.training.model_copy(update={"schedule": "own", "warmup": None, "clip": None})
    provenance = made.provenance.model_copy(update={"intervals": {"learning_rate": (None, None)}})
    return made.model_copy(
        update={"parameters": (), "training": own, "provenance": provenance, "options": options, "model": None}
    )


@pytest.fixture(autouse=True)
def _by_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader has the record alone, until a test names a checkout."""
    monkeypatch.delenv(CHECKOUT, raising=False)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Branch -> a folder with its code."""
    assert CLONE is not None
    folder = tmp_path_factory.mktemp("nanogpt-mup")
    return functools.cache(lambda branch: checked_out(Path(CLONE), branch, folder))


def through(who: str, branch: str, request: pytest.FixtureRequest) -> None:
    """The reader runs a branch's own code, or has the record alone."""
    if who == "code":
        patched: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        patched.setenv(CHECKOUT, str(request.getfixturevalue("code")(branch)))


SIZES = [("mup", BASE), ("mup", WIDER), ("mup", Size(128, 4, 8, 8192)), ("completep", BASE), ("completep", WIDER)]
SIZES += [("completep", DEEPER), ("completep", Size(128, 6, 8, 8192))]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("parameterization", "size"), SIZES, ids=lambda each: getattr(each, "width", each))
def test_the_plan_is_read_back_whole(
    parameterization: str, size: Size, bias: bool, who: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Init, rate, decay, eps and forward factors of every parameter, the schedule, betas and clipping."""
    through(who, branch_named(parameterization).name, request)
    found = round_trip(tmp_path, "nanogpt-mup", target(parameterization, size, model={"bias": bias}))

    assert [each.sentence for each in found.differences] == []
    assert found.schedule is None
    assert found.parameters == 2 + (1 + bias) * (1 + 2 * size.depth) + (1 + bias) * 4 * size.depth
    assert ("own" in found.through or "its configurator" in found.through) == (who == "code") or who == "record"


MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "scaled by hand too": ("learning_rate = 0.01\n", "learning_rate = 0.01 / 3\n", "learning_rate", "scaled twice"),
    "the switch is missing": ("mup_enabled = True\n", "mup_enabled = False\n", "learning_rate", "not scaled"),
    "the growth is left at 1": ("mup_width_multiplier = 3.0\n", "", "learning_rate", "not scaled"),
    "init scaled by hand too": ("init_std = 0.02\n", "init_std = 0.02 / 3**0.5\n", "init_std", "the width's"),
    "beta2 left at the default": ("beta2 = 0.98\n", "", "beta2", "the framework's default"),
    "decay left at the default": ("weight_decay = 0.2\n", "", "weight_decay", "off by 0.5"),
    "hidden rates not scaled": (
        "mup_disable_hidden_lr_scaling = False\n", "mup_disable_hidden_lr_scaling = True\n", "learning_rate",
        "not scaled",
    ),
    "the minimum left at the default": ("min_lr = 0.001\n", "", "floor", "the framework's default"),
    "clipping left at the default": ("grad_clip = 0.5\n", "", "clip", "the framework's default"),
    "accumulation left at the default": ("gradient_accumulation_steps = 1\n", "", "batch_size", "the framework's"),
    "attention of another model": (
        "mup_disable_attention_scaling = True\n", "mup_disable_attention_scaling = 0\n", "multiplier", "off by 0.25",
    ),
    "logits multiplied by hand": ("mup_output_alpha = 1.0\n", "mup_output_alpha = 1 / 3\n", "multiplier", "width's"),
    "the embedding multiplied": ("mup_input_alpha = 1.0\n", "mup_input_alpha = 10.0\n", "multiplier", "off by 10"),
}  # fmt: skip


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(
    name: str, who: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Doubled, forgotten, and defaults that differ: a difference in that quantity, with its cause."""
    through(who, "master", request)
    old, new, quantity, cause = MISTAKES[name]
    planned = target(beta2=0.98, weight_decay=0.2)
    found = round_trip(tmp_path, "nanogpt-mup", planned, {FILE: (old, new)})

    assert not found.holds
    assert any(each.quantity == quantity and cause in each.cause for each in found.differences), found.document
    assert found.changed == (FILE,)


#: mistake in CompleteP's depth -> (text, its replacement, quantities that differ)
SHALLOW = {
    "no switch": ("depth_alpha_enabled = True\n", "", {"weight_decay", "eps", "multiplier"}),
    "growth left at 1": ("depth_multiplier = 2.0\n", "", {"eps", "multiplier"}),
    "another exponent": (
        "depth_alpha_exp = 1.0\n", "depth_alpha_exp = 0.5\n", {"learning_rate", "eps", "multiplier"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", list(SHALLOW))
def test_depth_left_out_is_found(name: str, who: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """CompleteP without its switch has eps, decay and branches of muP; its growth and exponent are compared too."""
    through(who, "completep", request)
    old, new, quantities = SHALLOW[name]
    found = round_trip(tmp_path, "nanogpt-mup", target("completep", DEEPER), {FILE: (old, new)})

    assert {each.quantity for each in found.differences} == quantities
    assert name == "no switch" or any("depth's growth" in each.cause for each in found.differences)


@needs_code
def test_the_other_branch_is_found(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Master takes the file for completep without a word, and trains otherwise: its own code says so."""
    through("code", "master", request)
    found = round_trip(tmp_path, "nanogpt-mup", target("completep", DEEPER))

    assert {"eps", "multiplier", "weight_decay"} <= {each.quantity for each in found.differences}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "decay that keeps its product": ({"options": Options("constant", "none", decay_vectors=False)}, "weight_decay"),
    "decayed vectors": ({"options": Options("unscaled", "none")}, "ln_"),
    "eps by role": ({"options": Options("unscaled", "gradient", decay_vectors=False)}, "eps"),
    "eps that is not torch's": ({"eps": 1e-10}, "eps 1e-08, planned 1e-10"),
    "a rate of one role": ({"embedding_learning_rate": 2.0}, "embedding_learning_rate"),
    "an init of one role": ({"hidden_init": 2.0}, "hidden_init"),
    "a linear schedule": ({"schedule": "linear"}, "linear"),
    "a depth without a rule": ({"size": DEEPER, "same_depth": False}, "c_proj"),
    "depth counted twice": (
        {"parameterization": "completep", "size": DEEPER, "model": {"smaller_writers": True}}, "c_proj",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_cannot_hold_is_refused_by_row(name: str) -> None:
    """The message names rows or values, and what can be done."""
    arguments, said = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        export_target("nanogpt-mup", in_gauge(target(**arguments), None, "multipliers"))

    (finding,) = caught.value.findings
    assert said in str(finding.received)
    assert finding.hint


def test_other_models_rules_and_optimizers_are_refused() -> None:
    """An untied decoder, Muon, heads that grow, rules that neither branch has."""
    grown = target().model_copy(update={"notes": ("heads grow (16 -> 48): `forward` must scale",)})
    muon = target().model_copy(update={"optimizer": "muon"})
    other = target().model_copy(update={"parameterization": "u-mup"})
    untied = llama_target("mup", size=WIDER, options=MASTER.options, model=GptModel(kind="gpt", context=8, head_dim=16))
    for refused, said in ((grown, "heads grow"), (muon, "muon"), (other, "u-mup"), (untied, "a readout of its own")):
        with pytest.raises(UsageError) as caught:
            export_target("nanogpt-mup", in_gauge(refused, None, "multipliers"))
        assert said in str(caught.value.findings[0].received) or said in caught.value.findings[0].rule


def test_a_gpt2_of_transformers_is_nanogpts(tmp_path: Path) -> None:
    """The same names, init and activation; its dropouts are written, and must be one number."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    settings = {
        "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 32, "activation_function": "gelu",
    }  # fmt: skip
    model = HuggingFaceModel.model_validate({"kind": "huggingface", "config": "gpt2", "settings": settings})
    planned = llama_target("mup", base=BASE, size=replace(BASE, width=128), options=MASTER.options, model=model)
    assert planned.training is not None
    cosine = planned.training.model_copy(update={"schedule": "cosine", "steps": 100})
    planned = planned.model_copy(update={"training": cosine})
    folder = write_export(tmp_path / "written", "nanogpt-mup", planned)

    assert round_trip(tmp_path / "read", "nanogpt-mup", planned).differences == ()
    assert "bias = True\ndropout = 0.1\n" in (folder / FILE).read_text()
    assert "n_head = 8\nblock_size = 32\n" in (folder / FILE).read_text()


def test_an_output_multiplier_is_its_alpha(tmp_path: Path) -> None:
    """The one multiplier of a role that nanoGPT-mup has a key for."""
    planned = target(output_multiplier=2.0)
    folder = write_export(tmp_path / "written", "nanogpt-mup", planned)

    assert "mup_output_alpha = 2.0\n" in (folder / FILE).read_text()
    assert round_trip(tmp_path / "read", "nanogpt-mup", planned).differences == ()


def test_a_constant_rate_is_a_cosine_that_ends_at_the_peak(tmp_path: Path) -> None:
    """`decay_lr = False` would leave the warmup out."""
    found = round_trip(tmp_path, "nanogpt-mup", target(schedule="constant", floor=0.0))

    assert found.holds, found.document


# Where the framework applied the rules in the runs, too: no rows.


def test_without_rows_what_was_tuned_is_written(tmp_path: Path) -> None:
    """Base rate, switch, sizes; nothing of what the runs had from the user's own configuration."""
    folder = write_export(tmp_path, "nanogpt-mup", of_a_program())
    lines = [line for line in (folder / FILE).read_text().splitlines() if line and not line.startswith("#")]

    assert lines == [
        "n_layer = 2",
        "n_embd = 192",
        "batch_size = 8",
        "gradient_accumulation_steps = 1",
        "learning_rate = 0.01",
        "max_iters = 100",
        "mup_enabled = True",
        "mup_disable_hidden_lr_scaling = False",
        "mup_width_multiplier = 3.0",
    ]


WITHOUT_ROWS = {
    "as it is": (("n_layer = 2\n", "n_layer = 2\n"), ""),
    "scaled by hand too": (("learning_rate = 0.01", f"learning_rate = {0.01 / 3!r}"), "scaled twice, by 0.3333"),
    "the switch is missing": (("mup_enabled = True", "mup_enabled = False"), "not scaled"),
    "the growth is left at 1": (("mup_width_multiplier = 3.0\n", ""), "not scaled"),
    "init scaled by hand": (("n_layer = 2\n", "n_layer = 2\ninit_std = 0.01\n"), "init_std 0.01, planned none"),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", list(WITHOUT_ROWS))
def test_without_rows_mistakes_are_found(name: str, who: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The rules' own values for the framework's model are compared with what its code makes of the file."""
    through(who, "master", request)
    edit, said = WITHOUT_ROWS[name]
    found = round_trip(tmp_path, "nanogpt-mup", of_a_program(), {FILE: edit})

    assert found.holds == (not said)
    assert found.parameters == 15
    assert not said or any(said in each.sentence for each in found.differences), found.document
    assert any("no part of the export" in each for each in found.unread)


def test_a_claim_that_is_none_of_its_rules_is_refused() -> None:
    """The recipe of a program says which rules it applies; nanoGPT-mup scales no decay."""
    with pytest.raises(UsageError, match="must claim the rules"):
        export_target("nanogpt-mup", of_a_program(weight_decay="constant"))
    export_target("nanogpt-mup", of_a_program(weight_decay="unscaled", eps="none", decay_vectors=False))


def test_a_tuned_value_without_a_key_is_refused() -> None:
    """init_scale reached the program in a way that nobody wrote down."""
    made = of_a_program()
    tuned = made.provenance.model_copy(update={"intervals": {"init_scale": (None, None)}})
    with pytest.raises(UsageError, match="a key for"):
        export_target("nanogpt-mup", made.model_copy(update={"provenance": tuned}))


def test_the_header_says_forced_branch_and_what_is_left() -> None:
    """The evidence comes first, and the branch that has the rules."""
    text = export_target("nanogpt-mup", in_gauge(target(objections=("it DRIFTS",)), None, "multipliers"))[FILE]

    assert "FORCED: it DRIFTS" in text
    assert "read at b2a5e60, branch master" in text
    assert "eval_interval" in text


# Through the framework's own model.


def row_of(planned: TargetFile, name: str) -> ParameterGroup:
    """The plan's row of a parameter."""
    (row,) = [group for group in planned.parameters if re.fullmatch(group.pattern, name)]
    return row


def factor_in(planned: TargetFile, name: str) -> float:
    """What the plan has in a weight that the framework has in `forward`: the residual branch's factor."""
    return row_of(planned, name).absorbed or 1.0 if "c_proj" in name else 1.0


CASES = [("mup", WIDER), ("mup", Size(256, 4, 8, 8192)), ("completep", WIDER), ("completep", Size(256, 4, 8, 8192))]


@needs_code
@pytest.mark.parametrize(("parameterization", "size"), CASES, ids=lambda each: getattr(each, "width", each))
def test_its_own_init_is_the_plans(
    parameterization: str, size: Size, tmp_path: Path, code: Callable[[str], Path]
) -> None:
    """Every std within five standard errors of the plan's."""
    planned = target(parameterization, size, model={"bias": True})
    export = write_export(tmp_path, "nanogpt-mup", planned) / FILE
    torch.manual_seed(0)
    model, _, _ = framework(code(branch_named(parameterization).name), export)

    for name, parameter in model.named_parameters():
        row = row_of(planned, name)
        if row.init_std is None:
            assert float(parameter.detach().std()) == 0.0, name
        else:
            expected = row.init_std / factor_in(planned, name)
            assert float(parameter.detach().std()) == pytest.approx(
                expected, rel=5 / math.sqrt(2 * parameter.numel())
            ), name


@needs_code
@pytest.mark.parametrize(("parameterization", "size"), CASES, ids=lambda each: getattr(each, "width", each))
def test_logits_and_steps_are_the_plans(
    parameterization: str, size: Size, tmp_path: Path, code: Callable[[str], Path]
) -> None:
    """The user's model under the plan and the framework's under its own rules: equal in float64, step by step."""
    planned = target(parameterization, size, model={"bias": True})
    export = write_export(tmp_path, "nanogpt-mup", planned) / FILE
    torch.manual_seed(0)
    theirs, their_optimizer, _ = framework(code(branch_named(parameterization).name), export)
    theirs = theirs.double()
    plan = AppliedPlan.from_target(planned)
    ours = nanogpt(size.width, size.depth, bias=True).double()
    with torch.no_grad():
        weights = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            # what the framework multiplies in `forward` is in the weight of the plan's model
            parameter.copy_(weights[name] * factor_in(planned, name))
    hptransfer.scale_logits(ours, plan)
    our_optimizer = torch.optim.AdamW(plan.param_groups(ours), betas=(0.9, 0.95))
    drawn = torch.Generator().manual_seed(1)
    for _ in range(3):
        tokens = torch.randint(VOCABULARY, (2, CONTEXT + 1), generator=drawn)
        x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        their_logits, their_loss = theirs(x, y)
        our_logits = ours(x)
        torch.testing.assert_close(our_logits, their_logits, rtol=1e-11, atol=1e-13)
        their_loss.backward()
        our_loss = nn.functional.cross_entropy(our_logits.flatten(0, 1), y.flatten())
        our_loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for optimizer in (their_optimizer, our_optimizer):
            optimizer.step()
            optimizer.zero_grad()
    for name, parameter in ours.named_parameters():
        expected = dict(theirs.named_parameters())[name] * factor_in(planned, name)
        torch.testing.assert_close(parameter, expected, rtol=1e-10, atol=1e-13)


EDITED = {
    "width": ("n_embd = 192\n", "n_embd = 384\n", "width 384, planned 192"),
    "heads": ("n_head = 12\n", "n_head = 6\n", "heads 6, planned 12"),
    "positions": ("block_size = 32\n", "block_size = 64\n", "block_size 64, planned 32"),
    "dropout": ("dropout = 0.1\n", "dropout = 0.5\n", "dropout 0.5, planned 0.1"),
    "no dropout": ("dropout = 0.1\n", "", "dropout 0, planned 0.1"),
    "steps": ("max_iters = 100\n", "max_iters = 50\n", "steps 50, planned 100"),
}


@functools.cache
def gpt2_of_transformers() -> TargetFile:
    """A GPT-2 with nanoGPT's activation."""
    settings = {
        "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 32, "activation_function": "gelu",
    }  # fmt: skip
    model = HuggingFaceModel.model_validate({"kind": "huggingface", "config": "gpt2", "settings": settings})
    planned = llama_target("mup", base=BASE, size=WIDER, options=MASTER.options, model=model)
    assert planned.training is not None
    cosine = planned.training.model_copy(update={"schedule": "cosine", "steps": 100})
    return planned.model_copy(update={"training": cosine})


@pytest.mark.parametrize("name", list(EDITED))
def test_what_no_row_says_is_compared_too(name: str, tmp_path: Path) -> None:
    """Sizes, positions and dropout."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    old, new, said = EDITED[name]
    found = round_trip(tmp_path, "nanogpt-mup", gpt2_of_transformers(), {FILE: (old, new)})

    assert any(said in each.sentence for each in found.differences), [each.sentence for each in found.differences]


def test_a_width_without_rows_and_keys_of_ones_own_are_told(tmp_path: Path) -> None:
    """A width that no rate follows, and a key whose effect is not known."""
    edit = {FILE: ("n_embd = 192\n", "n_embd = 384\ndtype = 'float16'\n")}
    found = round_trip(tmp_path, "nanogpt-mup", of_a_program(), edit)

    assert [each.sentence for each in found.differences] == ["all parameters: n_embd 384, planned 192"]
    assert any("dtype" in each for each in found.unread)


def test_layers_without_end_are_refused(tmp_path: Path) -> None:
    """By the key's name, and at once."""
    with pytest.raises(UsageError, match="`n_layer` must be"):
        round_trip(tmp_path, "nanogpt-mup", target(), {FILE: ("n_layer = 2\n", "n_layer = 99999999\n")})


def test_a_llama_is_refused_by_its_own_activation() -> None:
    """SiLU, not GPT-2's default; and a header names no prediction where there is none."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    with pytest.raises(UsageError) as caught:
        export_target("nanogpt-mup", in_gauge(llama_target("mup", options=MASTER.options), None, "multipliers"))
    text = export_target("nanogpt-mup", in_gauge(target(), None, "multipliers"))[FILE]

    assert "the activation silu, where nanoGPT has gelu" in str(caught.value.findings[0].received)
    assert "the prediction names" not in text
