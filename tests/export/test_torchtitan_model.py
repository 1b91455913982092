"""torchtitan: the exported Llama3 computes and trains as the recipe's does; what its own code drew is on record."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.base import EXPORTERS
from hptransfer.export.torchtitan import FILE
from hptransfer.handover.trained import Trained
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.huggingface import build_huggingface
from hptransfer.roundtrip.torch import load_module
from tests.support.exported import LLAMA, llama_target, write_export

pytest.importorskip("torchtitan")
#: torch itself, where torchtitan asks it for its compiler
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/torchtitan-0.3.0.json").read_text())


def module_of(folder: Path, target: TargetFile) -> Any:
    """The exported file, imported."""
    from hptransfer.roundtrip.torchtitan import import_llama3

    import_llama3()
    return load_module(write_export(folder, "torchtitan", target) / FILE)


def test_the_record_of_its_own_init_is_what_the_header_says() -> None:
    """Stock: 0.02, depth-scaled writers and w3 too, embedding 1, head cut at 3 std (0.98658 of dim^-1/2 = 1/16)."""
    stock = GOLDEN["stock"]

    def std(name: str) -> float:
        return float(stock[name]["std"])

    assert std("tok_embeddings.weight") == pytest.approx(1.0, rel=0.01)
    assert std("lm_head.weight") == pytest.approx(0.98658 / 16, rel=0.005)
    for layer in (0, 5):
        block = f"layers.{layer}."
        assert std(f"{block}attention.qkv_linear.wqkv.weight") == pytest.approx(0.02, rel=0.01)
        assert std(f"{block}feed_forward.w1.weight") == pytest.approx(0.02, rel=0.01)
        for name in ("attention.wo", "feed_forward.w2", "feed_forward.w3"):
            assert std(f"{block}{name}.weight") == pytest.approx(0.02 / math.sqrt(2 * (layer + 1)), rel=0.01)


def test_the_record_of_what_its_model_draws_is_the_plan() -> None:
    """The exported model drew its weights on a CPU: names, shapes and stds are the plan's, within sampling error."""
    exporter: Any = EXPORTERS.look_up("torchtitan")
    planned: dict[str, Trained] = {each.name: each for each in exporter.trained(llama_target())}
    drawn = GOLDEN["exported"]

    assert set(planned) == set(drawn)
    for name, each in planned.items():
        if each.init_std is None:
            assert drawn[name]["std"] == 0
            continue
        error = 1 / math.sqrt(2 * math.prod(drawn[name]["shape"]))
        assert abs(drawn[name]["std"] / each.init_std - 1) < 4.5 * error


def test_the_record_of_the_command_line_is_the_plan() -> None:
    """`--module hptransfer_torchtitan --config hptransfer_target` through its ConfigManager, with an override."""
    exporter: Any = EXPORTERS.look_up("torchtitan")
    said = GOLDEN["command line"]
    rates = {group["lr"] for group in said["groups"]}

    assert rates == {each.learning_rate for each in exporter.trained(llama_target())}
    assert (said["steps"], said["global_batch_size"], said["local_batch_size"]) == (3, 8, 2)
    assert said["max_norm"] == "inf"
    assert "pipeline_parallel_degree must be 1" in said["two stages"]


def test_the_proxy_of_the_page_trains_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`titan_proxy.py` of the page, run on a plan, gives torchtitan's own Llama3 the groups and stds of the plan."""
    from hptransfer.roundtrip._recorded_init import recorded_init
    from hptransfer.roundtrip.torchtitan import build_optimizers

    target = llama_target()
    module = module_of(tmp_path, target)
    page = (Path(__file__).parents[2] / "docs/export-torchtitan.md").read_text()
    proxy = tmp_path / "titan_proxy.py"
    proxy.write_text(page.split("```python\n")[1].split("```")[0])
    monkeypatch.setenv("HPTRANSFER_PLAN_FILE", str(tmp_path / "target.yaml"))
    titan_proxy = load_module(proxy)

    from torchtitan.models.common import ComplexRoPE
    from torchtitan.models.llama3 import _build_llama3_layers

    config = module.model()
    rope = ComplexRoPE.Config(dim=16, max_seq_len=64)
    config.layers = _build_llama3_layers(
        n_layers=4, dim=192, n_heads=12, n_kv_heads=6, hidden_dim=528, rope=rope, fuse_qkv=False, attn_backend="flex"
    )
    with recorded_init() as record:
        model = titan_proxy.started(config).build()
        model.init_states()
        stds = record.stds(model)
    container, _ = build_optimizers(titan_proxy.optimizer(), model)
    found = {
        name: (stds[name], group["lr"], group["weight_decay"], group["eps"], group["betas"])
        for group in container.optimizers[0].param_groups
        for name in group["param_names"]
    }

    assert len(found) == 3 + 9 * 4
    wo, key = found["layers.2.attention.wo.weight"], found["layers.1.attention.qkv_linear.wk.weight"]
    # as in test_torchtitan.py, from the paper
    assert wo[:3] == pytest.approx((0.02 / math.sqrt(3) / 2, 0.01 / 6, 0.6), rel=1e-12)
    assert key[:3] == pytest.approx((0.02 / math.sqrt(3), 0.01 / 3, 0.3), rel=1e-12)
    assert found["norm.weight"][0] is None
    assert {each[4] for each in found.values()} == {(0.9, 0.95)}


def logits_after(steps: int, module: Any, target: TargetFile) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the user's Llama under the plan, and of the exported one in torchtitan, after steps.

    Weights are carried over by torchtitan's own adapter. Its FlexAttention needs a compiler; its SDPA module is used.
    """
    from torchtitan.models.common.attention import ScaledDotProductAttention
    from torchtitan.models.llama3.state_dict_adapter import Llama3StateDictAdapter

    from hptransfer.roundtrip.torchtitan import build_optimizers

    torch.manual_seed(0)
    user = build_huggingface(LLAMA, target.size.width, target.size.depth).double()
    plan, config = AppliedPlan.from_target(target), module.model()
    plan.init_(user, seed=0)
    titan = config.build()
    titan.init_states()
    titan = titan.double()
    titan.load_state_dict(Llama3StateDictAdapter(config, None).from_hf(user.state_dict()))
    for layer in titan.layers.values():
        layer.attention.inner_attention = ScaledDotProductAttention.Config().build()
    own = torch.optim.AdamW(plan.param_groups(user), betas=(0.9, 0.95))
    theirs, _ = build_optimizers(module.optimizer(), titan)
    tokens = torch.randint(256, (2, 32), generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        users = user(input_ids=tokens).logits
        for optimizer, logits in ((own, users), (theirs, titan(tokens))):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
    return user(input_ids=tokens).logits.detach(), titan(tokens).detach()


def test_torchtitans_llama_computes_what_the_users_does(tmp_path: Path) -> None:
    """Equal logits: heads, rotations (in float32), norms and their eps, and the gated MLP."""
    target = llama_target()
    user, titan = logits_after(0, module_of(tmp_path, target), target)

    torch.testing.assert_close(titan, user, rtol=0, atol=1e-6)
    assert float(user.std()) > 0.01


#: so large that Adam's step is smooth: transformers' norms and torchtitan's rotations round to float32 whatever the
#: weights are, and a step that follows signs alone would blow that up where a gradient is nearly zero
SMOOTH = 1e-2


def test_torchtitans_llama_trains_as_the_users_does(tmp_path: Path) -> None:
    """Three steps of its optimizers with the written groups are those of the plan in the user's own model."""
    target = llama_target(eps=SMOOTH)
    user, titan = logits_after(3, module_of(tmp_path, target), target)

    torch.testing.assert_close(titan, user, rtol=0, atol=1e-5)


def test_a_wrong_rate_trains_otherwise(tmp_path: Path) -> None:
    """The control of the test above: with hidden rates scaled twice logits part."""
    target = llama_target(eps=SMOOTH)
    path = write_export(tmp_path, "torchtitan", target) / FILE
    module_of(tmp_path / "imported", target)
    path.write_text(path.read_text().replace('"lr": 0.003333333333333333', '"lr": 0.001111111111111111'))
    user, titan = logits_after(3, load_module(path), target)

    assert float((user - titan).abs().max()) > 1e-3
