"""A plan survives what muP's parameter attributes do not: every row was measured with mup 1.0.0 on torch 2.13."""

from __future__ import annotations

import copy
import io
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hptransfer.errors import UsageError
from hptransfer.models.api import plan
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.audit import audit_optimizer
from hptransfer.models.gpt import Gpt

HYPERPARAMETERS = {"learning_rate": 0.01, "weight_decay": 0.1}


def build(width: int, depth: int) -> nn.Module:
    """A small decoder that the plan is told nothing about but its residual writers."""
    return Gpt(width, depth, context=8, head_dim=16)


@pytest.fixture(scope="module")
def planned() -> AppliedPlan:
    """CompleteP at twice the width and depth."""
    return plan(build, base=(16, 1), target=(32, 2), hyperparameters=HYPERPARAMETERS, preset="gpt", init="rule")


def rates(planned: AppliedPlan, module: nn.Module) -> list[tuple[float, float, int]]:
    """Learning rate, decay and size of every group."""
    groups = planned.param_groups(module)
    return [(group["lr"], group["weight_decay"], sum(t.numel() for t in group["params"])) for group in groups]


def weights(module: nn.Module) -> list[Tensor]:
    """All parameters as plain tensors."""
    return [parameter.detach().clone() for parameter in module.parameters()]


@pytest.fixture(scope="module")
def expected(planned: AppliedPlan) -> tuple[list[tuple[float, float, int]], list[Tensor]]:
    """Groups and initial weights of the bare module."""
    module = build(32, 2)
    planned.init_(module, seed=0)
    return rates(planned, module), weights(module)


Expected = tuple[list[tuple[float, float, int]], list[Tensor]]


def check(planned: AppliedPlan, module: nn.Module, expected: Expected) -> None:
    """Groups and initial weights are those of the bare module."""
    assert rates(planned, module) == expected[0]
    planned.init_(module, seed=0)
    torch.testing.assert_close(weights(module), expected[1], rtol=0, atol=0)


def test_deepcopy(planned: AppliedPlan, expected: Expected) -> None:
    """copy.deepcopy (mup: infshape lost)."""
    check(planned, copy.deepcopy(build(32, 2)), expected)


def test_averaged_models(planned: AppliedPlan, expected: Expected) -> None:
    """EMA with AveragedModel (mup: infshape lost)."""
    check(planned, AveragedModel(build(32, 2), multi_avg_fn=get_ema_multi_avg_fn(0.9)), expected)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def test_state_dict(planned: AppliedPlan, expected: Expected) -> None:
    """state_dict and load_state_dict(assign=True) (mup: infshape lost)."""
    module = build(32, 2)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    with torch.device("meta"):
        fresh = build(32, 2)
    fresh.load_state_dict(torch.load(buffer), assign=True)

    check(planned, fresh, expected)


def test_meta_to_empty(planned: AppliedPlan, expected: Expected) -> None:
    """Built on the meta device, then to_empty (mup: infshape lost)."""
    with torch.device("meta"):
        module = build(32, 2)

    check(planned, module.to_empty(device="cpu"), expected)


def test_compiled_model(planned: AppliedPlan, expected: Expected) -> None:
    """torch.compile of the whole model: names get a prefix."""
    check(planned, torch.compile(build(32, 2), backend="eager"), expected)  # type: ignore[arg-type]  # a module goes in, a module comes out


def test_compiled_layers(planned: AppliedPlan, expected: Expected) -> None:
    """torch.compile of each block, as large trainers do."""
    module = build(32, 2)
    assert isinstance(module, Gpt)
    for index, block in enumerate(module.blocks):
        module.blocks[index] = torch.compile(block, backend="eager")  # type: ignore[assignment]  # a module stays one

    check(planned, module, expected)


def test_compiled_training_step(planned: AppliedPlan) -> None:
    """A compiled model trains with the plan's groups and loses nothing against the plain one."""

    def loss_after_a_step(module: nn.Module, call: nn.Module) -> float:
        planned.init_(call, seed=0)
        optimizer = torch.optim.AdamW(planned.param_groups(call))
        tokens = torch.arange(16).view(2, 8)
        for _ in range(2):
            loss = nn.functional.cross_entropy(call(tokens).flatten(0, 1), tokens.flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        return loss.item()

    plain, compiled = build(32, 2), build(32, 2)

    assert loss_after_a_step(plain, plain) == pytest.approx(
        loss_after_a_step(compiled, torch.compile(compiled, backend="aot_eager")),  # type: ignore[arg-type]  # see above
        rel=1e-5,
    )


def test_functional_call_and_export(planned: AppliedPlan) -> None:
    """torch.func.functional_call and torch.export (mup: AssertionError): nothing of the plan is in `forward`."""
    module = build(32, 2)
    planned.init_(module, seed=0)
    tokens = torch.arange(16).view(2, 8)
    plain = module(tokens)

    torch.testing.assert_close(torch.func.functional_call(module, dict(module.named_parameters()), (tokens,)), plain)
    torch.testing.assert_close(torch.export.export(module, (tokens,)).module()(tokens), plain)


def test_lower_precision(planned: AppliedPlan, expected: Expected) -> None:
    """A model in bfloat16 has the same groups."""
    assert rates(planned, build(32, 2).to(torch.bfloat16)) == expected[0]


def test_weight_norm_after_planning_is_refused(planned: AppliedPlan) -> None:
    """A parametrization puts other parameters in place of planned ones; the error says what to do."""
    module = build(32, 2)
    assert isinstance(module, Gpt)
    weight_norm(module.readout)

    with pytest.raises(UsageError) as caught:
        planned.param_groups(module)
    assert "readout.parametrizations.weight.original0" in str(caught.value.findings[0].received)
    assert "weight_norm" in str(caught.value.findings[0].hint)


def test_weight_norm_before_planning_asks() -> None:
    """A model with a parametrization is asked for its role, by name."""

    def normed(width: int, depth: int) -> nn.Module:
        module = Gpt(width, depth, context=8, head_dim=16)
        weight_norm(module.readout)
        return module

    with pytest.raises(UsageError) as caught:
        plan(normed, base=(16, 1), target=(32, 2), hyperparameters=HYPERPARAMETERS, preset="gpt", init="rule")
    assert {str(finding.received).split(" ")[0] for finding in caught.value.findings} == {
        "readout.parametrizations.weight.original0",
        "readout.parametrizations.weight.original1",
    }


def test_init_twice_is_init_once(planned: AppliedPlan, expected: Expected) -> None:
    """init_ may be called again, after reset_parameters too (mup: the readout's rescaling is undone, or an error)."""
    module = build(32, 2)
    planned.init_(module, seed=1)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()

    check(planned, module, expected)


def test_resume(planned: AppliedPlan, tmp_path: Path) -> None:
    """A run that is saved and resumed has the same groups, and the audit finds nothing."""
    module = build(32, 2)
    planned.init_(module, seed=0)
    optimizer = torch.optim.AdamW(planned.param_groups(module))
    torch.save({"model": module.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pt")

    resumed = build(32, 2)
    saved = torch.load(tmp_path / "checkpoint.pt")
    resumed.load_state_dict(saved["model"])
    restored = torch.optim.AdamW(planned.param_groups(resumed))
    restored.load_state_dict(saved["optimizer"])

    assert audit_optimizer(restored, planned, resumed) == ()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def shard(rank: int, port: int, folder: str) -> None:
    """One of two ranks: FSDP2 and DDP, each initialised and grouped by the plan, one training step."""
    from torch.distributed.fsdp import fully_shard

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    planned = plan(build, base=(16, 1), target=(32, 2), hyperparameters=HYPERPARAMETERS, preset="gpt", init="rule")
    replicated = nn.parallel.DistributedDataParallel(build(32, 2))
    planned.init_(replicated, seed=0)
    with torch.device("meta"):
        module = build(32, 2)
    assert isinstance(module, Gpt)
    for block in module.blocks:
        fully_shard(block)
    fully_shard(module)
    module.to_empty(device="cpu")
    planned.init_(module, seed=0)
    start = {name: tensor.full_tensor() for name, tensor in module.state_dict().items()}
    optimizer = torch.optim.AdamW(planned.param_groups(module))
    audited = audit_optimizer(optimizer, planned, module)
    tokens = torch.arange(16).view(2, 8)
    loss = nn.functional.cross_entropy(module(tokens).flatten(0, 1), tokens.flatten())
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    norm = planned.clip_grad_norm_(module, 1e-3)
    optimizer.step()
    result = {
        "ddp": weights(replicated),
        "ddp rates": rates(planned, replicated),
        "start": list(start.values()),
        "rates": rates(planned, module),
        "audited": audited,
        "norm": norm,
        "end": [tensor.full_tensor() for tensor in module.state_dict().values()],
    }
    if rank == 0:
        torch.save(result, f"{folder}/result.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_sharded_and_replicated(planned: AppliedPlan, expected: Expected, tmp_path: Path) -> None:
    """FSDP2 from the meta device and DDP on two gloo ranks (mup under FSDP2: attributes lost, asserts)."""
    multiprocessing.spawn(shard, (free_port(), str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call, attr-defined]  # torch leaves it untyped
    result = torch.load(tmp_path / "result.pt", weights_only=False)
    alone = build(32, 2)
    planned.init_(alone, seed=0)
    optimizer = torch.optim.AdamW(planned.param_groups(alone))
    tokens = torch.arange(16).view(2, 8)
    nn.functional.cross_entropy(alone(tokens).flatten(0, 1), tokens.flatten()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    norm = planned.clip_grad_norm_(alone, 1e-3)
    optimizer.step()

    torch.testing.assert_close(result["ddp"], expected[1], rtol=0, atol=0)
    torch.testing.assert_close(result["start"], expected[1], rtol=0, atol=0)
    assert result["ddp rates"] == expected[0]
    assert result["rates"] == expected[0]
    assert result["audited"] == ()
    assert result["norm"] == pytest.approx(norm, rel=1e-5)
    torch.testing.assert_close(result["end"], weights(alone), rtol=1e-4, atol=1e-6)
