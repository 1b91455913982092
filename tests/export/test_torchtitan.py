"""torchtitan: what is written is read back through its own Llama3, init, optimizers and scheduler, on a CPU."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.export.torchtitan import FILE
from hptransfer.parameterization.rules import Options
from hptransfer.roundtrip._torchtitan_config import configured
from hptransfer.roundtrip.base import READERS
from hptransfer.roundtrip.torch import load_module
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, TARGET, llama_target, round_trip, write_export

pytest.importorskip("torchtitan")
#: torch itself, where torchtitan asks it for its compiler
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")

SIZES = [Size(128, 2, 8, 8192), Size(192, 2, 8, 8192), Size(128, 4, 8, 8192), TARGET]
WIDE = Size(192, 2, 8, 8192)


def with_training(target: TargetFile, **values: object) -> TargetFile:
    """The target with another schedule, length or clipping."""
    assert target.training is not None
    return target.model_copy(update={"training": target.training.model_copy(update=values)})


def muon(scale: str = "original", size: Size = WIDE) -> TargetFile:
    """Hidden matrices by Muon under mup."""
    return llama_target("mup", optimizer="muon", size=size, options=Options(muon_scale=scale))  # type: ignore[arg-type]  # a parameter of the test


def module_of(folder: Path, target: TargetFile) -> Any:
    """The exported file, imported."""
    from hptransfer.roundtrip.torchtitan import import_llama3

    import_llama3()
    return load_module(write_export(folder, "torchtitan", target) / FILE)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.depth}")
@pytest.mark.parametrize("parameterization", ["mup", "completep"])
def test_the_plan_is_read_back_whole(parameterization: str, size: Size, tmp_path: Path) -> None:
    """Init, rate, decay, eps, betas and clipping of every parameter; query, key and value are one matrix."""
    if parameterization == "mup" and size.depth != 2:
        pytest.skip("mup has no rule for depth")
    found = round_trip(tmp_path, "torchtitan", llama_target(parameterization, size=size))

    assert found.differences == ()
    assert found.schedule is None
    assert found.parameters == 3 + 7 * size.depth
    assert found.changed == ()
    assert "OptimizersContainer" in found.through


def test_the_groups_are_those_of_the_paper(tmp_path: Path) -> None:
    """Width x3 and depth x2 under completep, alpha 1: Table 1 of arXiv 2505.01618, branches absorbed (abc-symmetry)."""
    target = llama_target()
    folder = write_export(tmp_path, "torchtitan", target)
    rows = {each.name: each for each in READERS.look_up("torchtitan").read(folder, target).parameters}

    hidden, writer = rows["layers.3.feed_forward.w1.weight"], rows["layers.0.attention.wo.weight"]
    assert hidden.learning_rate == pytest.approx(0.01 / 3, rel=1e-12)
    assert hidden.weight_decay == pytest.approx(0.1 * 3, rel=1e-12)
    assert hidden.init_std == pytest.approx(0.02 / math.sqrt(3), rel=1e-12)
    # a branch of 1/2 in forward, moved into the weight: rate and init halve, decay doubles
    assert writer.learning_rate == pytest.approx(0.01 / 3 / 2, rel=1e-12)
    assert writer.weight_decay == pytest.approx(0.1 * 3 * 2, rel=1e-12)
    assert writer.init_std == pytest.approx(0.02 / math.sqrt(3) / 2, rel=1e-12)
    assert rows["lm_head.weight"].learning_rate == pytest.approx(0.01 / 3, rel=1e-12)
    assert rows["tok_embeddings.weight"].learning_rate == 0.01
    assert rows["layers.1.ffn_norm.weight"].init_std is None


def test_query_key_and_value_that_differ_are_three_matrices(tmp_path: Path) -> None:
    """`fuse_qkv=True` holds one rate; a target with several writes `fuse_qkv=False`, and all parts are read back."""
    target = llama_target()
    rows = tuple(
        replace(group, learning_rate=group.learning_rate / 2) if "q_proj" in group.pattern else group
        for group in target.parameters
    )
    found = round_trip(tmp_path, "torchtitan", target.model_copy(update={"parameters": rows}))

    assert found.differences == ()
    assert found.parameters == 3 + 9 * TARGET.depth


def test_layers_that_differ_have_patterns_of_their_own(tmp_path: Path) -> None:
    """A plan may start and train single layers otherwise."""
    target = llama_target()
    rows = []
    for group in target.parameters:
        if "down_proj" in group.pattern:
            first = group.pattern.replace(r"\d+", "0")
            rows.append(replace(group, pattern=first, count=1, learning_rate=0.25, init_std=0.5))
            rows += [replace(group, pattern=group.pattern.replace(r"\d+", str(n)), count=1) for n in (1, 2, 3)]
        else:
            rows.append(group)
    found = round_trip(tmp_path, "torchtitan", target.model_copy(update={"parameters": tuple(rows)}))

    assert found.differences == ()


SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {"schedule": "linear", "floor": 0.1},
    "cosine": {"schedule": "cosine", "floor": 0.1},
    "wsd": {"schedule": "wsd", "decay_share": 0.3, "floor": 0.0},
    "constant": {"schedule": "constant"},
}


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_ratios_and_schedule_hold_at_every_step(name: str, tmp_path: Path) -> None:
    """All groups keep the ratios of their peaks through torchtitan's scheduler, whose factor is the plan's."""
    target = with_training(llama_target(size=SIZES[0]), steps=60, warmup=0.1, **SCHEDULES[name])
    assert target.training is not None
    assert round_trip(tmp_path / "whole", "torchtitan", target).holds
    module = module_of(tmp_path, target)
    assert_ratios(module, target.training.factor)


def test_ratios_hold_under_its_sqrt_decay(tmp_path: Path) -> None:
    """No plan has such a schedule: it is found as another one, and leaves ratios alone."""
    target = with_training(llama_target(size=SIZES[0]), steps=60, warmup=0.1)
    edit = {FILE: ("decay_type='linear'", "decay_type='sqrt'")}
    found = round_trip(tmp_path, "torchtitan", target, edit)
    assert found.schedule is not None
    assert_ratios(load_module(tmp_path / "export/torchtitan" / FILE), None)


def assert_ratios(module: Any, factor: Any) -> None:
    """Steps torchtitan's optimizers and schedulers, and compares all rates with their peaks."""
    from hptransfer.roundtrip.torchtitan import build_optimizers

    with torch.device("meta"):
        model = module.model().build()
    container, _ = build_optimizers(module.optimizer(), model)
    peaks = [group.kwargs["lr"] for group in map(Written, module.optimizer().param_groups)]
    scheduler = module.lr_scheduler().build(optimizers=container, training_steps=60)
    for step in range(60):
        rates = [group["lr"] for group in container.optimizers[0].param_groups]
        shares = [rate / peak for rate, peak in zip(rates, peaks, strict=True)]
        assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-12)
        if factor is not None:
            assert shares[0] == pytest.approx(factor(step), rel=1e-12)
        for optimizer in container:
            optimizer.step()
        scheduler.step()


class Written:
    """A written group of parameters."""

    def __init__(self, group: Any) -> None:
        self.kwargs: dict[str, Any] = group.optimizer_kwargs


EMBEDDING_GROUP = """\
            ParamGroupConfig(
                pattern=r"^tok_embeddings\\.weight$",
                optimizer_name="AdamW",
                optimizer_kwargs={
                    "lr": 0.01,
                    "betas": (0.9, 0.95),
                    "eps": 3.3333333333333334e-09,
                    "weight_decay": 0.1,
                },
            ),
"""
#: name -> (text of the file, its replacement, quantity, what the sentence says)
MISTAKES = {
    "scaled twice": ('"lr": 0.003333333333333333,', '"lr": 0.001111111111111111,', "learning_rate", "scaled twice"),
    "not scaled": ('"lr": 0.003333333333333333,', '"lr": 0.01,', "learning_rate", "not scaled"),
    "eps left out": ('                    "eps": 3.3333333333333334e-09,\n', "", "eps", "framework's default"),
    "decay left out": (
        '                    "weight_decay": 0.30000000000000004,\n', "", "weight_decay", "framework's default",
    ),
    "betas left out": ('                    "betas": (0.9, 0.95),\n', "", "beta2", "framework's default"),
    "default clipping": ('    config.training.max_norm = float("inf")', "    #", "clip", "all parameters: clip 1"),
    "stock init": (
        "in_features=inputs, out_features=outputs, param_init=init(name, layer)",
        "in_features=inputs, out_features=outputs",
        "init_std", "init_std",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """An edited file is a difference of the edited quantity, with what it comes from."""
    old, new, quantity, said = MISTAKES[name]
    found = round_trip(tmp_path, "torchtitan", llama_target("mup", size=WIDE), {FILE: (old, new)})

    sentences = [each.sentence for each in found.differences if each.quantity == quantity]
    assert sentences
    assert all(said in sentence for sentence in sentences)
    assert {each.quantity for each in found.differences} <= {quantity, "beta1"}
    assert found.changed == (FILE,)
    assert not found.holds


BROAD = """\
        param_groups=[
            ParamGroupConfig(
                pattern=r"PATTERN",
                optimizer_name="AdamW",
                optimizer_kwargs={"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1},
            ),
"""


def test_patterns_in_the_wrong_order_are_found(tmp_path: Path) -> None:
    """The first match wins: what stands in front takes the first block's matrices to the base's rate."""
    edit = {FILE: ("        param_groups=[\n", BROAD.replace("PATTERN", r"^layers\.0\."))}
    found = round_trip(tmp_path, "torchtitan", llama_target("mup", size=WIDE), edit)

    rates = [each for each in found.differences if each.quantity == "learning_rate"]
    assert rates
    assert all(name.startswith("layers.0.") for each in rates for name in each.names)
    assert all("not scaled" in each.sentence for each in rates)


def test_a_catch_all_in_front_is_refused(tmp_path: Path) -> None:
    """Then nothing is left for the patterns behind it, which torchtitan refuses."""
    edit = {FILE: ("        param_groups=[\n", BROAD.replace("PATTERN", ".*"))}

    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "torchtitan", llama_target("mup", size=WIDE), edit)
    assert "matched no parameters" in str(caught.value.findings[0].received)


REFUSED = {
    "uncovered": (EMBEDDING_GROUP, "", "Parameter mismatch"),
    "no match": (r"^tok_embeddings\.weight$", r"^embeddings\.weight$", "matched no parameters"),
    "not allowing for checkpointing": (r"(?:_checkpoint_wrapped_module\.)?", "", "matched no parameters"),
    "another size": ("DIM, LAYERS, FFN = 192, 2, 528", "DIM, LAYERS, FFN = 192, 2, 512", "must have the size"),
    "no such file": ("def model_spec", "def other_spec", "model_spec"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_torchtitan_refuses_is_said(name: str, tmp_path: Path) -> None:
    """Its own error is in the message."""
    old, new, said = REFUSED[name]

    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "torchtitan", llama_target("mup", size=WIDE), {FILE: (old, new)})
    finding = caught.value.findings[0]
    assert said in f"{finding.rule} {finding.received}"


SCHEDULE_MISTAKES = {
    "floor": ("min_lr_factor=0.1", "min_lr_factor=0.0"),
    "warmup left at 200": ("        warmup_steps=60,\n", ""),
    "cosine": ("decay_type='linear'", "decay_type='cosine'"),
    "length of another run": ("total_steps=600", "total_steps=6000"),
}


@pytest.mark.parametrize("name", list(SCHEDULE_MISTAKES))
def test_another_schedule_is_found(name: str, tmp_path: Path) -> None:
    """The factor of torchtitan's scheduler is compared with the plan's over the whole run."""
    target = with_training(llama_target("mup", size=WIDE), steps=600, warmup=0.1, floor=0.1)
    assert round_trip(tmp_path / "right", "torchtitan", target).schedule is None
    found = round_trip(tmp_path / "wrong", "torchtitan", target, {FILE: SCHEDULE_MISTAKES[name]})

    assert found.schedule is not None
    assert "of their peaks, planned" in found.schedule


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw", "spectral"])
def test_muon_is_read_back(scale: str, tmp_path: Path) -> None:
    """Hidden matrices by DistMuon with the plan's factor of the shape, the rest by AdamW."""
    found = round_trip(tmp_path, "torchtitan", muon(scale))

    assert found.differences == ()
    assert any("needs GPUs" in sentence for sentence in found.unread)


def test_muons_rates_are_those_of_the_formulas(tmp_path: Path) -> None:
    """What moves w1 (528 x 192): 0.01 sqrt(528/192) (torch's `original`), decayed by lr alone."""
    target = muon()
    folder = write_export(tmp_path, "torchtitan", target)
    rows = {each.name: each for each in READERS.look_up("torchtitan").read(folder, target).parameters}
    wide, square = rows["layers.0.feed_forward.w1.weight"], rows["layers.0.feed_forward.w2.weight"]

    assert wide.learning_rate == pytest.approx(0.01 * math.sqrt(528 / 192), rel=1e-12)
    assert wide.weight_decay is not None
    assert wide.learning_rate * wide.weight_decay == pytest.approx(0.01 * 0.1, rel=1e-12)
    assert square.learning_rate == pytest.approx(0.01, rel=1e-12)
    assert wide.optimizer == "DistMuon with adjust_lr_fn original"
    assert rows["lm_head.weight"].optimizer == "adamw"


MUON_MISTAKES = {
    "another factor": ("'original'", "'match_rms_adamw'", "learning_rate"),
    "factor left out, planned another": ("'spectral_unclamped'", "None", "learning_rate"),
    "momentum left out": ('                    "momentum": 0.9,\n', "", "momentum"),
}


@pytest.mark.parametrize("name", list(MUON_MISTAKES))
def test_a_mistake_with_muon_is_found(name: str, tmp_path: Path) -> None:
    """DistMuon's own defaults: momentum 0.95, adjust_lr_fn `original`."""
    old, new, quantity = MUON_MISTAKES[name]
    target = muon("spectral" if "spectral" in old else "original")
    found = round_trip(tmp_path, "torchtitan", target, {FILE: (old, new)})

    assert quantity in {each.quantity for each in found.differences}
    if "factor" in name:
        assert any("DistMuon with adjust_lr_fn" in each.sentence for each in found.differences)


def test_muon_with_a_matrix_left_out_of_its_layout_is_refused(tmp_path: Path) -> None:
    """DistMuon's own check of names."""
    edit = {FILE: ('"feed_forward.w3.weight")', ")")}

    with pytest.raises(UsageError, match="must be able to build") as caught:
        round_trip(tmp_path, "torchtitan", muon(), edit)
    assert "missing compute sharding" in str(caught.value.findings[0].received)


def test_a_step_of_its_muon_is_torchs() -> None:
    """DistMuon's own functions against torch.optim.Muon, over three steps of one matrix, bfloat16 iterations alike."""
    from torchtitan.distributed.flex_shard import dist_muon

    torch.manual_seed(0)
    start, gradients = torch.randn(48, 16), torch.randn(3, 48, 16)
    weight = torch.nn.Parameter(start.clone())
    theirs = torch.optim.Muon([weight], lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="original")
    own, momentum = start.clone(), torch.zeros(48, 16)
    for gradient in gradients:
        weight.grad = gradient.clone()
        theirs.step()  # type: ignore[no-untyped-call]  # torch's own
        update = torch.empty_like(own)
        dist_muon._prepare_muon_input(gradient, momentum, momentum=0.9, nesterov=True, out=update)
        dist_muon._compute_muon_direction(
            update, ns_coefficients=(3.4445, -4.7750, 2.0315), ns_steps=5, eps=1e-7, out=update
        )
        dist_muon._apply_muon_update(
            own, update, lr=0.02, weight_decay=0.1, adjust_lr_fn="original", compute_matrix_shape=own.shape
        )

    torch.testing.assert_close(own, weight.detach(), rtol=1e-6, atol=1e-6)


def test_stages_of_a_pipeline_are_refused_by_both(tmp_path: Path) -> None:
    """torchtitan: a pattern without a match in a stage raises; the file: says so before there are stages."""
    from torchtitan.components.optimizer import OptimizersContainer

    module = module_of(tmp_path, llama_target(size=SIZES[2]))
    stages = []
    with torch.device("meta"):
        for first in (True, False):
            stage = module.model().build()
            for layer in range(4):
                if (layer < 2) != first:
                    del stage.layers[str(layer)]
            if first:
                stage.norm = stage.lm_head = None
            else:
                stage.tok_embeddings = None
            stages.append(stage)
    config = replace(module.optimizer(), implementation="foreach")
    assert isinstance(config, OptimizersContainer.Config)

    with pytest.raises(ValueError, match="matched no parameters"):
        config.build(model_parts=stages)
    with pytest.raises(ValueError, match="pipeline_parallel_degree must be 1"):
        module.model_spec().pipelining_fn(stages[0], parallel_dims=None)
    assert "no pipeline parallelism" in (tmp_path / "export/torchtitan" / FILE).read_text()


def test_muon_refuses_tensor_parallelism(tmp_path: Path) -> None:
    """As torchtitan's own configuration with DistMuon does."""

    class Dimensions:
        tp_enabled = True

    with pytest.raises(ValueError, match="tensor_parallel_degree must be 1"):
        module_of(tmp_path, muon()).parallelize(None, parallel_dims=Dimensions())


def test_a_schedule_of_the_trainers_own_stays_there(tmp_path: Path) -> None:
    """Then only model and optimizer are put into the configuration that was tuned."""
    target = with_training(llama_target(size=SIZES[0]), schedule="own", warmup=None)
    found = round_trip(tmp_path, "torchtitan", target)

    assert found.holds
    text = (tmp_path / "export/torchtitan" / FILE).read_text()
    assert "LRSchedulersContainer.Config" not in text
    assert "the schedule was the trainer's own" in text


def test_a_tied_table_at_the_base_is_written(tmp_path: Path) -> None:
    """With no factor on its logits; torchtitan ties it too, and starts it as lm_head."""
    tied = LLAMA.model_copy(update={"settings": {**LLAMA.settings, "tie_word_embeddings": True}})
    found = round_trip(tmp_path, "torchtitan", llama_target("mup", size=Size(64, 2, 8, 8192), model=tied))

    assert found.differences == ()
    assert found.parameters == 2 + 7 * 2


def with_settings(**settings: object) -> TargetFile:
    """The Llama with other settings."""
    model = LLAMA.model_copy(update={"settings": {**LLAMA.settings, **settings}})
    return llama_target("mup", size=WIDE, model=model)


def test_what_it_cannot_hold_is_named() -> None:
    """A factor on tied logits, other functions of the model, schedules, clipping, and several rates of Muon."""
    cases = [
        (with_settings(tie_word_embeddings=True), "embed_tokens"),
        (with_settings(hidden_act="gelu"), "hidden_act: 'gelu'"),
        (with_training(llama_target(), schedule="inverse-sqrt"), "inverse-sqrt"),
        (with_training(llama_target(), clip=1.0, clip_norm="scaled"), "clip_norm: scaled"),
        (llama_target("completep", optimizer="muon"), "o_proj"),
        (muon("none"), "muon_scale: none"),
        (llama_target("mup", optimizer="lion", size=WIDE), "lion"),
        (llama_target().model_copy(update={"model": None}), "an earlier version wrote it"),
    ]
    for target, said in cases:
        with pytest.raises(UsageError) as caught:
            export_target("torchtitan", target)
        assert said in str(caught.value.findings[0].received)


def test_the_header_says_forced_and_what_was_not_run() -> None:
    """FORCED is not hidden, and neither is what needs GPUs."""
    (text,) = export_target("torchtitan", llama_target(objections=("the check DRIFTS",))).values()

    assert "FORCED: the check DRIFTS" in text[:600]
    assert "not executed: a step on GPUs" in " ".join(text.replace("#", " ").split())


def test_a_stand_in_names_what_to_install() -> None:
    """After `make install-dev` the trainer of torchtitan cannot be imported."""
    made = SimpleNamespace(model_spec=object())
    module: Any = SimpleNamespace(hptransfer_target=Mock(side_effect=[ImportError("No module named 'datasets'"), made]))
    config, (said,) = configured(module)

    assert config is made
    assert "No module named 'datasets'" in said
    assert said.endswith("`pip install torchdata 'datasets<4.8' tensorboard` has it run itself")
