"""Plain PyTorch: what is written is read back through torch, and trains as the plan itself does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.huggingface import build_huggingface
from hptransfer.recipe.model_sections import GptModel
from hptransfer.roundtrip.torch import load_module
from hptransfer.scaling.verify_export import verify_export
from hptransfer.sizes import Size
from hptransfer.statistics.slope import RowVerdict
from tests.support.exported import LLAMA, TARGET, llama_target, round_trip, write_export
from tests.support.exported_coordinates import Trained, judged, next_token_loss

SIZES = [Size(128, 2, 8, 8192), Size(192, 2, 8, 8192), Size(128, 4, 8, 8192), TARGET]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.depth}")
@pytest.mark.parametrize("parameterization", ["mup", "completep"])
def test_the_plan_is_read_back_whole(parameterization: str, size: Size, tmp_path: Path) -> None:
    """Init, rate, decay and eps of every parameter, through the module that was written."""
    if parameterization == "mup" and size.depth != 2:
        pytest.skip("mup has no rule for depth")
    found = round_trip(tmp_path, "torch", llama_target(parameterization, size=size))

    assert found.differences == ()
    assert found.schedule is None
    assert found.parameters == 3 + 9 * size.depth
    assert found.changed == ()


@pytest.mark.parametrize("init", ["own", "rule"])
def test_one_step_of_the_written_module_is_the_plans(init: str, tmp_path: Path) -> None:
    """The same model, init, optimizer and gradient: equal weights after a step in float64."""
    target = llama_target(init="own" if init == "own" else "rule")
    module = load_module(write_export(tmp_path, "torch", target) / "hptransfer_groups.py")
    plan = AppliedPlan.from_target(target)
    tokens = torch.randint(256, (2, 16), generator=torch.Generator().manual_seed(1))
    ends = []
    for who in ("module", "plan"):
        torch.manual_seed(0)
        model = build_huggingface(LLAMA, TARGET.width, TARGET.depth).double()
        plan.init_(model, seed=0)
        if who == "module" and init == "own":
            torch.manual_seed(0)
            model = build_huggingface(LLAMA, TARGET.width, TARGET.depth).double()
            module.init_(model)
        groups = (
            module.optimizer(model)
            if who == "module"
            else torch.optim.AdamW(plan.param_groups(model), betas=(0.9, 0.95))
        )
        scheduler = (
            module.scheduler(groups) if who == "module" else torch.optim.lr_scheduler.LambdaLR(groups, plan.schedule)
        )
        for _ in range(2):
            model(input_ids=tokens, labels=tokens).loss.backward()
            groups.step()
            scheduler.step()
        ends.append(nn.utils.parameters_to_vector(model.parameters()))

    torch.testing.assert_close(ends[0], ends[1], rtol=1e-12, atol=1e-15)


MISTAKES = {
    "scaled twice": ('"lr": 0.003333333333333333', '"lr": 0.001111111111111111', "learning_rate", "scaled twice"),
    "not scaled": ('"lr": 0.003333333333333333', '"lr": 0.01', "learning_rate", "not scaled"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """An edited rate is a difference with its cause, and the file is said to have been edited."""
    old, new, quantity, cause = MISTAKES[name]
    found = round_trip(tmp_path, "torch", llama_target("mup", size=Size(192, 2, 8, 8192)), {"groups.json": (old, new)})

    assert {each.quantity for each in found.differences} == {quantity}
    assert all(cause in each.cause for each in found.differences)
    assert found.changed == ("groups.json",)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_other_optimizers_are_read_back(optimizer: str, tmp_path: Path) -> None:
    """Muon for hidden matrices with AdamW for the rest, and SGD with momentum."""
    decay = 0.1 if optimizer == "muon" else 0.0
    target = llama_target("mup", optimizer=optimizer, size=Size(192, 2, 8, 8192), weight_decay=decay)
    found = round_trip(tmp_path, "torch", target)

    assert found.differences == ()
    assert found.parameters == 21


def test_another_factor_of_shapes_is_found(tmp_path: Path) -> None:
    """Muon multiplies its rate by a factor of the matrix's shape, for which the plan's rates are made."""
    target = llama_target("mup", optimizer="muon", size=Size(192, 2, 8, 8192))
    edit = {"hptransfer_groups.py": ("adjust_lr_fn='original'", "adjust_lr_fn='match_rms_adamw'")}
    (found,) = round_trip(tmp_path, "torch", target, edit).differences

    assert found.sentence == "all parameters: muon_scale match_rms_adamw, planned original"


def test_another_beta_is_found(tmp_path: Path) -> None:
    """What holds for all groups alike is compared as well."""
    edit = {"hptransfer_groups.py": ("betas=(0.9, 0.95)", "betas=(0.9, 0.999)")}
    (found,) = round_trip(tmp_path, "torch", llama_target(), edit).differences

    assert found.sentence == "all parameters: beta2 0.999, planned 0.95"


def test_the_header_says_forced_and_the_rules(tmp_path: Path) -> None:
    """Both files begin with the evidence; FORCED is not hidden."""
    files = export_target("torch", llama_target(objections=("the check DRIFTS",)))

    for text in files.values():
        assert "FORCED: the check DRIFTS" in text[:1500]
        assert "Verdict: TRANSFERS" in text
        assert "completep(alpha=1)" in text


def test_a_tied_table_is_refused_by_name() -> None:
    """Its logits need a factor in `forward`, which no file of groups can apply."""
    tied = LLAMA.model_copy(update={"settings": {**LLAMA.settings, "tie_word_embeddings": True}})

    with pytest.raises(UsageError, match="embed_tokens"):
        export_target("torch", llama_target("mup", size=Size(192, 2, 8, 8192), model=tied))


def test_a_built_in_decoder_is_read_back(tmp_path: Path) -> None:
    """Drawn anew by the tables' rule."""
    model = GptModel(kind="gpt", context=8, head_dim=16)

    assert round_trip(tmp_path, "torch", llama_target(model=model, init="rule")).differences == ()


def trained(folder: Path, width: int, mistake: str) -> Trained:
    """The Llama at a width, by what is written for it, with a planted mistake."""
    target = llama_target("mup", size=Size(width, 2, 8, 8192), learning_rate=2.0**-8)
    written = write_export(folder / f"{width}-{torch.initial_seed()}", "torch", target)
    groups = written / "groups.json"
    if mistake == "scaled twice":
        for group in (groups_before := json.loads(groups.read_text()))["groups"]:
            group["optimizer"]["lr"] *= group["optimizer"]["lr"] / 2.0**-8
        groups.write_text(json.dumps(groups_before))
    module = load_module(written / "hptransfer_groups.py")
    model = build_huggingface(LLAMA, width, 2)
    if mistake != "init_ was not called":
        module.init_(model)
    optimizer = torch.optim.AdamW(model.parameters(), 2.0**-8) if mistake == "one group" else module.optimizer(model)
    return model, [optimizer], next_token_loss


WIDTHS = [64, 128, 256, 512]


@pytest.mark.parametrize("mistake", ["none", "scaled twice", "one group", "init_ was not called"])
def test_the_coordinate_check_fails_for_a_mistake_alone(mistake: str, tmp_path: Path) -> None:
    """Widths 64 to 256, two seeds: FAILS for each planted mistake, and for nothing else."""
    verdict = judged(tmp_path, WIDTHS[:3], lambda width: trained(tmp_path, width, mistake))

    assert (verdict is RowVerdict.FAILS) == (mistake != "none")


@pytest.mark.slow
def test_the_coordinate_check_of_the_written_files_holds(tmp_path: Path) -> None:
    """With twelve seeds every layer's change is seen not to depend on the width; two leave the readout's open."""
    assert judged(tmp_path, WIDTHS, lambda width: trained(tmp_path, width, "none"), seeds=12) is RowVerdict.HOLDS


def edited_rows(folder: Path, **changes: object) -> Path:
    """An exported folder whose rows of vectors (norms) have other values; returns it."""
    written = write_export(folder, "torch", llama_target("mup", size=Size(192, 2, 8, 8192)))
    content = json.loads((written / "groups.json").read_text())
    for row in content["groups"]:
        if "norm" in row["pattern"]:
            row.update({key: value for key, value in changes.items() if key in row})
            row["optimizer"].update({key: value for key, value in changes.items() if key not in row})
    (written / "groups.json").write_text(json.dumps(content))
    return written


OWN: dict[str, tuple[dict[str, object], str]] = {
    "betas": ({"betas": [0.5, 0.95]}, "betas [0.5, 0.95], planned (0.9, 0.95): no plan sets it for a group"),
    "amsgrad": ({"amsgrad": True}, "amsgrad True, planned False: no plan sets it for a group"),
    "start": ({"init_factor": 100.0}, "init_mean 100, planned 1"),
}


@pytest.mark.parametrize("name", list(OWN))
def test_what_one_group_has_of_its_own_is_found(name: str, tmp_path: Path) -> None:
    """Betas and options in a row's optimizer, and a norm that starts at another constant."""
    changes, said = OWN[name]
    found = verify_export(edited_rows(tmp_path, **changes))

    assert len({each.quantity for each in found.differences}) == 1
    assert all("norm" in each.sentence and said in each.sentence for each in found.differences)


MODULE_EDITS = {
    "amsgrad": ("betas=(0.9, 0.95))", "betas=(0.9, 0.95), amsgrad=True)", "amsgrad True, planned False"),
    "maximize": ("betas=(0.9, 0.95))", "betas=(0.9, 0.95), maximize=True)", "maximize True, planned False"),
    "class": ("torch.optim.AdamW(", "torch.optim.Adam(", "optimizer adam, planned adamw"),
    "floor": ("FLOOR = 3, 0, 0.0", "FLOOR = 3, 0, 0.019", "all parameters: floor 0.019, planned 0"),
    "warmup": ("FLOOR = 3, 0,", "FLOOR = 3, 1,", "all parameters: warmup_steps 1, planned 0"),
}


@pytest.mark.parametrize("name", list(MODULE_EDITS))
def test_another_option_of_the_module_is_found(name: str, tmp_path: Path) -> None:
    """The optimizer's class and options, and numbers of the schedule, exactly."""
    old, new, said = MODULE_EDITS[name]
    found = round_trip(tmp_path, "torch", llama_target(), {"hptransfer_groups.py": (old, new)})

    assert not found.holds
    assert any(said in each.sentence for each in found.differences), [each.sentence for each in found.differences]


def test_a_module_starts_a_model_once(tmp_path: Path) -> None:
    """A second call would scale a second time, so it is an error."""
    module = load_module(write_export(tmp_path, "torch", llama_target()) / "hptransfer_groups.py")
    model = build_huggingface(LLAMA, TARGET.width, TARGET.depth)
    module.init_(model)

    with pytest.raises(RuntimeError, match="called on this model before"):
        module.init_(model)


class Wrapped(nn.Module):
    """As DistributedDataParallel names what it wraps."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.module = inner


def test_names_that_wrappers_add_are_left_out(tmp_path: Path) -> None:
    """DDP's `module.` and torch.compile's `_orig_mod.`, at the front and inside."""
    module = load_module(write_export(tmp_path, "torch", llama_target()) / "hptransfer_groups.py")
    model = build_huggingface(LLAMA, TARGET.width, TARGET.depth)
    plain = [group["lr"] for group in module.optimizer(model).param_groups]
    blocks: Any = model.get_submodule("model.layers")
    blocks[1] = torch.compile(blocks[1], backend="eager")
    compiled: Any = torch.compile(model, backend="eager")

    assert [group["lr"] for group in module.optimizer(Wrapped(compiled)).param_groups] == plain


def test_another_model_than_the_plans_is_named(tmp_path: Path) -> None:
    """A parameter more, another shape, fewer layers: the parameter and what the plan has."""
    module = load_module(write_export(tmp_path, "torch", llama_target()) / "hptransfer_groups.py")
    model = build_huggingface(LLAMA, TARGET.width, TARGET.depth)
    model.extra = nn.Parameter(torch.ones(3))

    with pytest.raises(ValueError, match=r"extra \[3\]: the plan has no such parameter"):
        module.init_(model)
    with pytest.raises(ValueError, match=r"embed_tokens.weight \[256, 128\]: the plan has \[\[256, 192\]\]"):
        module.init_(build_huggingface(LLAMA, 128, TARGET.depth))
    with pytest.raises(ValueError, match="2 parameters, the plan has 4"):
        module.init_(build_huggingface(LLAMA, TARGET.width, 2))


def test_a_note_with_control_characters_makes_a_file_that_runs(tmp_path: Path) -> None:
    """A zero byte, an escape and a line break in a note: the comment stays a comment."""
    target = llama_target().model_copy(update={"notes": ("a\0b\x1b[31m c\nimport nothing\r import no\u2028import so",)})

    assert round_trip(tmp_path, "torch", target).holds


def test_another_end_of_the_schedule_is_found(tmp_path: Path) -> None:
    """A cosine that ends at 0.119 of the peak where 0.1 was planned is more than a step early or late."""
    target = llama_target()
    assert target.training is not None
    cosine = {"schedule": "cosine", "steps": 100, "floor": 0.1, "warmup": 0.1}
    planned = target.model_copy(update={"training": target.training.model_copy(update=cosine)})
    edit = {"hptransfer_groups.py": ("return FLOOR + (1 - FLOOR)", "return 0.119 + (1 - 0.119)")}

    assert round_trip(tmp_path / "right", "torch", planned).holds
    said = round_trip(tmp_path / "wrong", "torch", planned, edit).schedule
    assert said is not None
    assert "at step 99 of 100 the rates are 0.1193 of their peaks, planned 0.1003" in said
