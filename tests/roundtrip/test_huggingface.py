"""What was exported for Hugging Face trains the plan: real models, Trainer and schedules of transformers on a CPU."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hptransfer
from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.logit_scale import scale_logits
from hptransfer.roundtrip.torch import load_module
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, TARGET, llama_target, round_trip, write_export
from tests.support.huggingface_exports import (
    BAMBA,
    FALCON_H1,
    GPT2,
    GRANITE,
    MAMBA2,
    QWEN2,
    RWKV,
    TIED_LLAMA,
    Windows,
    with_training,
    written,
)

transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
accelerate = pytest.importorskip("accelerate", reason="Trainer needs it")

pytestmark = pytest.mark.filterwarnings(
    # torch, of a machine without an accelerator
    "ignore:'pin_memory' argument is set as true:UserWarning",
)

WIDE = Size(192, 2, 8, 8192)
SIZES = [Size(128, 2, 8, 8192), WIDE, Size(128, 4, 8, 8192), TARGET]
ALIKE = [LLAMA, TIED_LLAMA, QWEN2, GPT2, GRANITE]


def row_of(target: TargetFile, name: str) -> Any:
    """The plan's row of a parameter."""
    (row,) = [group for group in target.parameters if re.fullmatch(group.pattern, name)]
    return row


@pytest.mark.parametrize("model", [LLAMA, GPT2, QWEN2], ids=lambda model: str(model.config))
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.depth}")
def test_the_model_that_is_built_starts_as_planned(model: Any, size: Size, tmp_path: Path) -> None:
    """The draws of transformers, scaled: each std within five standard errors of the plan's, constants equal."""
    target = llama_target("completep", size=size, model=model)
    torch.manual_seed(0)
    built = written(tmp_path, target).build_model()

    for name, tensor in built.named_parameters():
        row = row_of(target, name)
        if row.init_std is None:
            assert tensor.unique().tolist() == [{"ones": 1.0, "zeros": 0.0}[row.init]]
        else:
            # the standard error of a std of n normal draws is std / sqrt(2 n)
            assert tensor.std().item() == pytest.approx(row.init_std, rel=5 / (2 * tensor.numel()) ** 0.5), name


@pytest.mark.parametrize("model", [LLAMA, GPT2, QWEN2], ids=lambda model: str(model.config))
@pytest.mark.parametrize("size", [WIDE, TARGET], ids=lambda size: f"{size.width}x{size.depth}")
@pytest.mark.parametrize(
    "training", [{"schedule": "cosine", "floor": 0.1}, {"schedule": "wsd"}], ids=["cosine to a floor", "wsd"]
)
def test_trainer_makes_the_plans_groups_and_keeps_their_ratios(
    model: Any, size: Size, training: dict[str, Any], tmp_path: Path
) -> None:
    """Rate, decay and eps of every parameter, and each rate over the first at every step of Trainer's schedule."""
    target = with_training(llama_target("completep", size=size, model=model), decay_share=0.2, **training)
    folder = write_export(tmp_path, "huggingface", target)
    module = load_module(folder / "hptransfer_hf.py")
    (args,) = transformers.HfArgumentParser(transformers.TrainingArguments).parse_json_file(
        folder / "training_args.json"
    )
    args.output_dir = str(tmp_path / "out")
    trainer = transformers.Trainer(
        module.build_model(), args, optimizer_cls_and_kwargs=module.optimizer_cls_and_kwargs(args)
    )
    trainer.create_optimizer_and_scheduler(args.max_steps)
    names = {id(tensor): name for name, tensor in trainer.model.named_parameters()}
    groups = [(group, names[id(tensor)]) for group in trainer.optimizer.param_groups for tensor in group["params"]]

    assert {name for _, name in groups} == set(names.values())
    for group, name in groups:
        row = row_of(target, name)
        assert group["initial_lr"] == pytest.approx(row.learning_rate, rel=1e-12)
        assert group["weight_decay"] == pytest.approx(row.weight_decay, rel=1e-12)
        assert group["eps"] == pytest.approx(row.eps, rel=1e-12)
        assert group["betas"] == (0.9, 0.95)
    for _ in range(args.max_steps):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        shares = {group["lr"] / group["initial_lr"] for group in trainer.optimizer.param_groups}
        assert max(shares) - min(shares) <= 1e-15


def plans_own(plan: AppliedPlan, model: nn.Module) -> Any:
    """The optimizer that hptransfer's own users make of a plan."""
    groups, values = plan.param_groups(model), plan.optimizer_values
    betas = (values["beta1"], values["beta2"])
    if plan.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=values["momentum"])
    if plan.optimizer == "muon":
        return hptransfer.Muon(groups, values["momentum"], betas)
    return torch.optim.AdamW(groups, betas=betas)


def stepped(target: TargetFile, folder: Path, who: str, steps: int = 2) -> tuple[Tensor, Tensor]:
    """Logits at the start and weights after steps in float64, by the written module or by the plan itself."""
    module = written(folder / who, target)
    torch.manual_seed(0)
    if who == "module":
        model = module.build_model(dtype=torch.float64)
        optimizer: Any
        optimizer, scheduler = module.optimizers(model, module.training_arguments(output_dir=str(folder)))
    else:
        config = transformers.AutoConfig.from_pretrained(folder / "module" / "export" / "huggingface")
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float64)
        plan = AppliedPlan.from_target(target)
        if target.gauge == "plain":
            scale_logits(model, plan)
        plan.init_(model)
        optimizer = plans_own(plan, model)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, plan.schedule)
    model.eval()  # without GPT-2's dropout
    tokens = Windows(2, same=False).tokens
    logits = model(input_ids=tokens).logits.detach()
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(model(input_ids=tokens, labels=tokens).loss)
        optimizer.step()
        scheduler.step()
    return logits, nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("model", ALIKE, ids=lambda model: f"{model.config}")
@pytest.mark.parametrize("size", [WIDE, TARGET], ids=lambda size: f"{size.width}x{size.depth}")
def test_steps_of_the_written_module_are_the_plans(model: Any, size: Size, tmp_path: Path) -> None:
    """The same draws, logits and gradients: equal logits and equal weights after two steps in float64."""
    target = llama_target("completep", size=size, model=model)

    for by_module, by_plan in zip(stepped(target, tmp_path, "module"), stepped(target, tmp_path, "plan"), strict=True):
        torch.testing.assert_close(by_module, by_plan, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_steps_of_other_optimizers_are_the_plans(optimizer: str, tmp_path: Path) -> None:
    """Muon with AdamW beside it in one object, and SGD."""
    target = llama_target("mup", size=WIDE, optimizer=optimizer)

    for by_module, by_plan in zip(stepped(target, tmp_path, "module"), stepped(target, tmp_path, "plan"), strict=True):
        torch.testing.assert_close(by_module, by_plan, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("model", [GRANITE, LLAMA, GPT2], ids=lambda model: f"{model.config}")
def test_multipliers_of_the_configuration_train_as_those_that_were_absorbed(model: Any, tmp_path: Path) -> None:
    """The gauge `multipliers`, by Granite's keys, and by init and optimizer where a family has none."""
    ends = [
        stepped(llama_target("completep", model=model, gauge=gauge), tmp_path / gauge, "module")[0]
        for gauge in ("plain", "multipliers")
    ]

    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-14)


def trained_by_trainer(module: Any, folder: Path, *, exact: bool, **changes: Any) -> Any:
    """A Trainer that has trained on windows that are all the same, from the files as they are."""
    args = module.training_arguments(output_dir=str(folder / "out"), disable_tqdm=True, **changes)
    transformers.set_seed(args.seed)
    model = module.build_model(dtype=torch.float64)
    way = (
        {"optimizers": module.optimizers(model, args)}
        if exact
        else {"optimizer_cls_and_kwargs": module.optimizer_cls_and_kwargs(args)}
    )
    trainer = transformers.Trainer(model, args, train_dataset=Windows(), **way)
    trainer.train()
    return trainer


@pytest.mark.parametrize("exact", [True, False], ids=["optimizers", "factory"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_trainer_trains_what_the_plan_trains(optimizer: str, exact: bool, tmp_path: Path) -> None:
    """Three steps of `Trainer.train()` end where the plan's own do, clipping and all."""
    target = llama_target("mup", size=WIDE, optimizer=optimizer, model=TIED_LLAMA)
    module = written(tmp_path, target)
    trainer = trained_by_trainer(module, tmp_path, exact=exact)

    plan = AppliedPlan.from_target(target)
    transformers.set_seed(0)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "export" / "huggingface")
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    scale_logits(model, plan)
    plan.init_(model)
    made = plans_own(plan, model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(made, plan.schedule)
    tokens = Windows(8).tokens
    for _ in range(3):
        made.zero_grad()
        torch.autograd.backward(model(input_ids=tokens, labels=tokens).loss)
        made.step()
        scheduler.step()

    assert trainer.state.global_step == 3
    for by_trainer, by_plan in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(by_trainer, by_plan, rtol=1e-9, atol=1e-12)


def test_accelerate_takes_what_was_written(tmp_path: Path) -> None:
    """A loop of one's own with `accelerator.prepare`: the rates after two steps are the plan's for the third."""
    target = with_training(llama_target("mup", size=WIDE), schedule="cosine", steps=10)
    module = written(tmp_path, target)
    args = module.training_arguments(output_dir=str(tmp_path / "out"))
    accelerator = accelerate.Accelerator(cpu=True)
    model = module.build_model()
    optimizer, scheduler = module.optimizers(model, args)
    loader = torch.utils.data.DataLoader(Windows(16), batch_size=args.per_device_train_batch_size)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch in loader:
        accelerator.backward(model(**batch).loss)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    assert target.training is not None
    factor = target.training.factor(2)
    assert [group["lr"] / group["initial_lr"] for group in optimizer.param_groups] == pytest.approx(
        [factor] * len(optimizer.param_groups), rel=1e-12
    )


def test_a_resumed_run_of_two_optimizers_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    """Muon and AdamW in one object: state and rates of both come out of Trainer's checkpoint."""
    module = written(tmp_path, llama_target("mup", size=WIDE, optimizer="muon"))
    whole = trained_by_trainer(module, tmp_path / "whole", exact=False, save_strategy="steps", save_steps=2)
    args = module.training_arguments(output_dir=str(tmp_path / "again"), disable_tqdm=True)
    again = transformers.Trainer(
        module.build_model(dtype=torch.float64),
        args,
        train_dataset=Windows(),
        optimizer_cls_and_kwargs=module.optimizer_cls_and_kwargs(args),
    )
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "out" / "checkpoint-2"))

    for resumed, expected in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(resumed, expected, rtol=1e-9, atol=1e-12)


SCHEDULES = [
    {"schedule": schedule, "floor": floor, "warmup": warmup, "decay_share": 0.25 if schedule == "wsd" else None}
    for schedule in ("constant", "linear", "cosine", "wsd", "inverse-sqrt")
    for floor in (0.0, 0.1)
    for warmup in (0.0, 0.1)
]
#: transformers has none of these shapes
WITHOUT = [("wsd", 0.1, 0.1), ("inverse-sqrt", 0.1, 0.0), ("inverse-sqrt", 0.1, 0.1)]


@pytest.mark.parametrize("said", SCHEDULES, ids=lambda said: f"{said['schedule']}-{said['floor']}-{said['warmup']}")
def test_trainers_schedule_is_the_plans(said: dict[str, Any], tmp_path: Path) -> None:
    """Equal at every step after the warmup; a step later in it. The module's own is equal at every step."""
    target = with_training(llama_target("mup", size=WIDE), **said)
    module = written(tmp_path, target)
    args = module.training_arguments(output_dir=str(tmp_path))
    plan = TrainingRecord(steps=100, batch_size=8, clip=None, **said)
    model = module.build_model()
    own = module.optimizers(model, args)[1].lr_lambdas[0]
    assert [own(step) for step in range(100)] == pytest.approx([plan.factor(step) for step in range(100)], rel=1e-12)
    if (said["schedule"], said["floor"], said["warmup"]) in WITHOUT:
        with pytest.raises(RuntimeError, match="no schedule of this shape"):
            module.optimizer_cls_and_kwargs(args)
    else:
        trainer = transformers.Trainer(model, args, optimizer_cls_and_kwargs=module.optimizer_cls_and_kwargs(args))
        trainer.create_optimizer_and_scheduler(100)
        rising = round(said["warmup"] * 100)
        used = [trainer.lr_scheduler.lr_lambdas[0](step) for step in range(100)]
        planned = [plan.factor(step - 1) if step < rising else plan.factor(step) for step in range(100)]
        assert used == pytest.approx(planned, rel=1e-12, abs=1e-15)
    assert round_trip(tmp_path / "again", "huggingface", target).holds


def test_another_base_rate_moves_every_group(tmp_path: Path) -> None:
    """`--learning_rate` on the command line is the base's, so that it means what it meant for the proxy."""
    module = written(tmp_path, llama_target("mup", size=WIDE, weight_decay=0.0))
    model = module.build_model()
    first, second = (
        module.optimizer(model, module.training_arguments(output_dir=str(tmp_path), learning_rate=rate)).param_groups
        for rate in (0.01, 0.005)
    )

    assert [group["lr"] for group in second] == pytest.approx([group["lr"] / 2 for group in first], rel=1e-15)
    with pytest.raises(ValueError, match="weight_decay was planned as 0"):
        module.optimizer(model, module.training_arguments(output_dir=str(tmp_path), weight_decay=0.1))


def test_a_checkpoint_has_no_factor_until_it_is_called_again(tmp_path: Path) -> None:
    """`from_pretrained` gives logits 3 times too large at 3 times the width; `multiply_logits` mends it, once."""
    module = written(tmp_path, llama_target("mup", size=WIDE, model=QWEN2))
    model = module.build_model()
    tokens = Windows(2, same=False).tokens
    before = model(input_ids=tokens).logits
    model.save_pretrained(tmp_path / "saved")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")

    torch.testing.assert_close(loaded(input_ids=tokens).logits, 3 * before, rtol=1e-4, atol=1e-5)
    module.multiply_logits(loaded)
    module.multiply_logits(loaded)
    torch.testing.assert_close(loaded(input_ids=tokens).logits, before, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(copy.deepcopy(model)(input_ids=tokens).logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("model", [FALCON_H1, MAMBA2, BAMBA, RWKV], ids=lambda model: model.config)
def test_starts_that_are_computed_are_read_back(model: Any, tmp_path: Path) -> None:
    """A_log, steps of time and decays, which no plan changes, are made by the same operations as in their code."""
    target = llama_target("mup", size=WIDE, model=model)
    assert {group.init for group in target.parameters} >= {"kept"}
    found = round_trip(tmp_path, "huggingface", target)

    assert found.differences == ()
    assert found.parameters > 20


def test_another_computed_start_is_found_and_named(tmp_path: Path) -> None:
    """A_log from another number on: nothing but its operations says so, since there is no std to compare."""
    edit = "    init_(model)\n    model.model.layers[1].mamba.A_log.data.copy_(torch.log(torch.arange(2, 14)))\n"
    edits = {"hptransfer_hf.py": ("    init_(model)\n", edit)}

    with pytest.raises(UsageError, match=r"must start .*layers\.1\.mamba\.A_log by other operations than the model's"):
        round_trip(tmp_path, "huggingface", llama_target("mup", size=WIDE, model=FALCON_H1), edits)
