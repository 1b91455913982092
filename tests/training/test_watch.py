"""Watching leaves training as it is, and measures what the project's own coordinate check measures."""

from __future__ import annotations

import copy
import gc
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import hptransfer
from hptransfer.artifacts.watch import WatchedRun, read_watch_file
from hptransfer.errors import HptransferError, UsageError
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, build_optimizer, training_losses
from tests.support import mistakes, watched

SIZE = {"width": 32, "depth": 2}
SETTINGS = TrainingSettings(steps=3, batch_size=16, context=mistakes.CONTEXT, schedule="constant", warmup=0.0)


class Noisy(nn.Module):
    """All that a forward pass may leave behind: batch statistics, dropout, numpy's and python's random numbers."""

    def __init__(self, *, by_python: bool) -> None:
        super().__init__()
        self.by_python = by_python  # compilers do not know such random numbers
        self.body = nn.Sequential(
            nn.Linear(watched.FEATURES, 32), nn.BatchNorm1d(32), nn.ReLU(inplace=True), nn.Dropout(0.3)
        )
        self.readout = nn.Linear(32, watched.CLASSES)
        self.register_buffer("passes", torch.zeros(()))
        self.passes: Tensor

    def forward(self, x_BxF: Tensor) -> Tensor:
        """Scores of the classes."""
        self.passes = self.passes + 1
        noise = random.random() + np.random.rand() if self.by_python else 0.0
        scores_BxC: Tensor = self.readout(self.body(x_BxF)) + 0.1 * (noise + torch.rand(()))
        return scores_BxC


def only_run(path: Path) -> WatchedRun:
    """The one run of a file, complete."""
    (run,), notes = read_watch_file(path)
    assert notes == []
    assert run.missing == ()
    return run


def hooks_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Hooks on modules and on the optimizer."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    on_modules = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    return on_modules + len(optimizer._optimizer_step_post_hooks)


def losses_of(build: Callable[[], nn.Module], path: Path | None, *, autocast: bool, wrap: Any) -> tuple[Any, ...]:
    """Losses of a short training, its state, and all random numbers afterwards; watched where there is a path."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = build()
    called = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    if path is not None:
        hptransfer.watch(called, watched.probe(), (1, 2, 4), optimizer=optimizer, path=path, size=SIZE, seed=0)

    def forward(x_BxF: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            scores_BxC: Tensor = called(x_BxF)
        return scores_BxC.float()

    losses = list(watched.train(forward, optimizer, seed=0, count=6))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return losses, state, (torch.rand(3).tolist(), random.random(), np.random.rand()), hooks_of(model, optimizer)


def compiled(model: nn.Module) -> Any:
    """As `torch.compile` wraps a module, without a compiler."""
    return torch.compile(model, backend="eager")


def compiled_in_place(model: nn.Module) -> nn.Module:
    """The same, without a wrapper."""
    model.compile(backend="eager")
    return model


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("wrap", [nn.Module.train, compiled, compiled_in_place])
def test_training_is_bit_identical(wrap: Any, autocast: bool, tmp_path: Path) -> None:
    """Dropout, batch statistics, a buffer that `forward` replaces, three sources of random numbers, bf16 autocast."""

    def build() -> nn.Module:
        return Noisy(by_python=wrap is nn.Module.train)

    plain = losses_of(build, None, autocast=autocast, wrap=wrap)
    seen = losses_of(build, tmp_path / "run.jsonl", autocast=autocast, wrap=wrap)

    assert seen[0] == plain[0]
    assert all(torch.equal(seen[1][name], value) for name, value in plain[1].items())
    assert plain[1]["passes"] == 6
    assert seen[2:] == plain[2:]
    assert seen[3] == 0  # hooks
    assert all(layer.change for layer in only_run(tmp_path / "run.jsonl").steps[4].layers)


def test_nothing_is_compiled_for_a_look(tmp_path: Path) -> None:
    """A model that is compiled in place is looked at eagerly: the compiler sees training alone."""
    seen: list[int] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        seen.append(len(graph.graph.nodes))
        return graph

    compilations = []
    for path in (None, tmp_path / "a"):
        seen.clear()
        torch._dynamo.reset()
        model = Noisy(by_python=False)
        model.compile(backend=backend)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        if path is not None:
            hptransfer.watch(model, watched.probe(), (1, 2), optimizer=optimizer, path=path, size=SIZE, seed=0)
        list(watched.train(model, optimizer, seed=0, count=3))
        compilations.append(list(seen))

    assert compilations[0]
    assert compilations[1] == compilations[0]


def test_what_later_layers_change_in_place_is_measured_before(tmp_path: Path) -> None:
    """The same pre-activations whether or not the ReLU behind them writes into them."""
    changes = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(watched.FEATURES, 32), nn.ReLU(inplace), nn.Linear(32, watched.CLASSES))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        path = tmp_path / str(inplace)
        hptransfer.watch(model, watched.probe(), (1,), optimizer=optimizer, path=path, size=SIZE, seed=0)
        list(watched.train(model, optimizer, seed=0, count=1))
        changes.append([(layer.change, layer.initial) for layer in only_run(path).steps[1].layers])

    assert changes[1] == changes[0]


def test_the_looks_of_a_noisy_model_are_without_noise(tmp_path: Path) -> None:
    """Dropout is off in them, and batch norms use the probe's own statistics: a change of nothing is zero."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(watched.FEATURES, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, watched.CLASSES)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    hptransfer.watch(model, watched.probe(), (2,), optimizer=optimizer, path=tmp_path / "a", size=SIZE, seed=0)
    list(watched.train(model, optimizer, seed=0, count=2))

    assert [layer.change for layer in only_run(tmp_path / "a").steps[2].layers] == [0.0, 0.0]
    assert not torch.equal(model.state_dict()["1.running_mean"], torch.zeros(32))  # training itself has moved them


@pytest.mark.parametrize("name", mistakes.CORRECT | mistakes.MISTAKES)
def test_measures_what_the_check_of_a_recipe_measures(name: str, corpus: Corpus, tmp_path: Path) -> None:
    """Oracle: `measure_coordinates`, which is told kinds and residual writers; `watch` finds them by looking."""
    mistake = (mistakes.CORRECT | mistakes.MISTAKES)[name]
    value = 128 if mistake.axis == "width" else 4
    (expected,) = mistakes.runs(mistake, corpus, [value], [0])
    module, groups = mistakes.planned(mistake, value, 0)
    (batch,) = corpus.validation_batches(1, SETTINGS.batch_size, SETTINGS.context)
    optimizer = build_optimizer(groups, SETTINGS)
    path = tmp_path / "run.jsonl"
    hptransfer.watch(module, batch[:, :-1], (1, 3), optimizer=optimizer, path=path, size=SIZE, seed=0)
    list(training_losses(module, groups, corpus, SETTINGS, 0, optimizer=optimizer))
    found = only_run(path).measured()

    for row in expected["layers"]:
        if row["layer"] == "input":
            row["kind"] = "hidden"  # one size does not show that its fan-in is fixed
    by_layer = [{(row["layer"], row["step"]): row for row in rows["layers"]} for rows in (expected, found)]
    assert by_layer[1] == by_layer[0]
    by_name = [{(row["name"], row["step"]): row for row in rows["parameters"]} for rows in (expected, found)]
    assert by_name[1] == by_name[0]


class Scaled(nn.Module):
    """A residual decoder with every multiplier in `forward`, as u-muP and CompleteP's reference code have them."""

    def __init__(self, *, branch: float = 1.0, logits: float = 1.0, before: float = 1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.layers = nn.ModuleList(Branch(branch) for _ in range(2))
        self.norm = nn.LayerNorm(16)
        self.readout = nn.Linear(16, 11, bias=False)
        self.logits, self.before = logits, before

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of every position."""
        x_BxTxD = self.embedding(tokens_BxT)
        for layer in self.layers:
            x_BxTxD = layer(x_BxTxD)
        logits_BxTxV: Tensor = self.readout(self.before * self.norm(x_BxTxD)) * self.logits
        return logits_BxTxV


class Branch(nn.Module):
    """One residual block."""

    def __init__(self, multiplier: float) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.multiplier = multiplier

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        """The stream after the block."""
        added_BxTxD: Tensor = self.down(functional.relu(self.up(self.norm(x_BxTxD))))
        return x_BxTxD + self.multiplier * added_BxTxD


def _weights(path: Path, **multipliers: float) -> dict[str, Any]:
    """Parameters of the scaled model after one step, by name."""
    torch.manual_seed(0)
    model = Scaled(**multipliers)
    tokens = torch.arange(44).reshape(4, 11) % 11
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-20)
    hptransfer.watch(model, tokens, (1,), optimizer=optimizer, path=path, size=SIZE, seed=0)
    functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return {weight.name: weight for weight in only_run(path).steps[1].parameters}


def test_factors_in_forward_are_part_of_a_weight(tmp_path: Path) -> None:
    """A weight counts with the factors that `forward` multiplies it by: a readout's on either side, a branch's.

    Adam's first step has the size of the learning rate whatever the gradient's, so updates differ by the factor alone.
    """
    plain = _weights(tmp_path / "plain")
    scaled = _weights(tmp_path / "scaled", branch=0.25, logits=0.5, before=0.125)

    def ratio(name: str) -> float:
        return float((scaled[name].initial or 0) / (plain[name].initial or 1))

    assert ratio("readout.weight") == pytest.approx(0.5 * 0.125, rel=1e-6)
    assert ratio("layers.0.down.weight") == pytest.approx(0.25, rel=1e-6)
    assert ratio("layers.0.up.weight") == 1
    assert scaled["readout.weight"].update == pytest.approx((plain["readout.weight"].update or 0) / 16, rel=0.1)
    writers = {name for name, weight in scaled.items() if weight.writes_residual and weight.kind == "matrix"}
    assert writers == {"layers.0.down.weight", "layers.1.down.weight"}
    assert {name for name, weight in scaled.items() if weight.in_block} == {
        name for name in scaled if name.startswith("layers.")
    }


class Transposed(nn.Module):
    """A layer that keeps its weight as inputs x outputs, and one that squares it."""

    def __init__(self, *, squared: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(watched.FEATURES, watched.CLASSES))
        self.squared = squared

    def forward(self, x_BxF: Tensor) -> Tensor:
        """The map."""
        return x_BxF @ (self.weight.square() if self.squared else self.weight)


@pytest.mark.parametrize("squared", [False, True])
def test_axes_of_a_layer_of_ones_own_are_read_or_left_out(squared: bool, tmp_path: Path) -> None:
    """Which axis is summed is seen from what goes in and comes out; what is no product is left out, by name."""
    model = nn.Sequential(Transposed(squared=squared))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    hptransfer.watch(model, watched.probe(), (1,), optimizer=optimizer, path=tmp_path / "a", size=SIZE, seed=0)
    list(watched.train(model, optimizer, seed=0, count=1))
    step = only_run(tmp_path / "a").steps[1]

    fans = [(weight.fan_in, weight.fan_out) for weight in step.parameters]
    assert (fans, step.left_out) == (([], ["0.weight"]) if squared else ([(watched.FEATURES, watched.CLASSES)], []))


def _llama() -> tuple[nn.Module, Any]:
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=50
    )
    return transformers.LlamaForCausalLM(config), {"input_ids": torch.arange(24).reshape(2, 12)}


def _gpt2() -> tuple[nn.Module, Any]:
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    config = transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=2, vocab_size=50, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    tokens = torch.arange(24).reshape(2, 12)
    return transformers.GPT2LMHeadModel(config), {"input_ids": tokens, "labels": tokens}


def _encoder() -> tuple[nn.Module, Any]:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.randn(2, 5, 16), None)


WRITERS = {
    _llama: ("self_attn.o_proj", "mlp.down_proj"),
    _gpt2: ("attn.c_proj", "mlp.c_proj"),
    _encoder: ("self_attn.out_proj", "linear2"),
}


@pytest.mark.parametrize("build", WRITERS)
def test_models_of_other_packages_are_understood(build: Callable[[], tuple[nn.Module, Any]], tmp_path: Path) -> None:
    """Mappings and tuples as probes, outputs of transformers, and who writes the stream: as their sources say."""
    torch.manual_seed(0)
    model, probe = build()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    hptransfer.watch(model, probe, (1,), optimizer=optimizer, path=tmp_path / "a", size=SIZE, seed=0)
    output = model(**probe) if isinstance(probe, dict) else model(*probe)
    (output if isinstance(output, Tensor) else output.logits).square().mean().backward()
    optimizer.step()
    step = only_run(tmp_path / "a").steps[1]

    writers = {weight.name.split(".", 3)[-1] for weight in step.parameters if weight.writes_residual}
    matrices = {weight.name for weight in step.parameters if weight.writes_residual and weight.kind == "matrix"}
    assert step.blocks == "read"
    assert step.left_out == []
    assert len(matrices) == 4
    assert all(any(name.removesuffix(".weight").endswith(writer) for writer in WRITERS[build]) for name in matrices)
    assert writers
    kinds = {layer.layer: layer.kind for layer in step.layers}
    assert all(layer.change is not None for layer in step.layers)
    if build is not _encoder:
        assert kinds["lm_head"] == "logits"
        assert kinds["attention.0"] == "attention"


def _watch_wrapped(path: Path) -> None:
    model = nn.Sequential(nn.Linear(watched.FEATURES, watched.CLASSES))
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    hptransfer.watch(wrapped, watched.probe(), (1,), optimizer=optimizer, path=path, size=SIZE, seed=0)
    list(watched.train(wrapped, optimizer, seed=0, count=1))


def test_a_wrapped_model_is_looked_through(tmp_path: Path) -> None:
    """DistributedDataParallel: the module within; only the first process writes."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        _watch_wrapped(tmp_path / "a")
        gc.collect()  # a reducer that is the last to hold the group may wait for ever for its thread
    finally:
        dist.destroy_process_group()

    assert [layer.layer for layer in only_run(tmp_path / "a").steps[1].layers] == ["0"]


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts them, before the process group is there."""
    monkeypatch.setenv("RANK", "1")
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    watcher = hptransfer.watch(model, watched.probe(), (1,), path=tmp_path / "a", size=SIZE, seed=0)
    watcher.step()

    assert not (tmp_path / "a").exists()


def test_a_trainer_says_size_seed_and_path_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command is started with; a size may have axes that no layer shows."""
    monkeypatch.setenv("HPTRANSFER_WATCH", str(tmp_path / "a.jsonl"))
    monkeypatch.setenv("HPTRANSFER_SIZE", json.dumps({"width": 32, "depth": 2, "batch_size": 64, "tokens": 640}))
    monkeypatch.setenv("HPTRANSFER_SEED", "5")
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    with hptransfer.watch(model, steps=(1,)) as watcher:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in watched.train(model, optimizer, seed=0, count=2):
            watcher.step()
    run = only_run(tmp_path / "a.jsonl")

    assert run.opening.size == {"width": 32, "depth": 2, "batch_size": 64, "tokens": 640}
    assert (run.opening.seed, run.opening.probe, run.opening.optimizer) == (5, False, None)
    assert run.steps[1].layers == []
    assert watcher.done == 1


def test_a_probe_that_the_loop_reuses_stays_what_it_was(tmp_path: Path) -> None:
    """A copy is kept: writing into the batch after `watch` changes no measurement."""
    changes = []
    for spoiled in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(watched.FEATURES, watched.CLASSES)
        batch = watched.probe()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        path = tmp_path / str(spoiled)
        hptransfer.watch(model, [batch], (1,), optimizer=optimizer, path=path, size=SIZE, seed=0)
        if spoiled:
            batch.zero_()
        list(watched.train(model, optimizer, seed=0, count=1))
        changes.append([layer.change for layer in only_run(path).steps[1].layers])

    assert changes[0] == changes[1]
    assert changes[0][0] is not None


def test_several_optimizers_are_watched_together(tmp_path: Path) -> None:
    """Steps are counted by the last; each parameter has the decay of its own."""
    model = nn.Sequential(nn.Linear(watched.FEATURES, 4), nn.Linear(4, watched.CLASSES))
    first = torch.optim.AdamW(model[0].parameters(), lr=0.5, weight_decay=0.1)
    second = torch.optim.SGD(model[1].parameters(), lr=0.25)
    hptransfer.watch(model, watched.probe(), (1,), optimizer=[first, second], path=tmp_path / "a", size=SIZE, seed=0)
    functional.cross_entropy(model(watched.probe()), torch.zeros(256, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
    first.step()
    second.step()
    run = only_run(tmp_path / "a")

    assert run.opening.optimizer == "AdamW, SGD"
    assert {weight.name: weight.decay for weight in run.steps[1].parameters} == {
        "0.weight": pytest.approx(0.05), "0.bias": pytest.approx(0.05), "1.weight": 0.0, "1.bias": 0.0
    }  # fmt: skip


def _stepped() -> Iterator[torch.optim.Optimizer]:
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    yield (optimizer := torch.optim.Adam(model.parameters(), lr=1e-3))
    list(watched.train(model, optimizer, seed=0, count=1))
    yield optimizer


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"steps": (0, 1)}, "`steps` must be whole numbers"),
        ({"steps": ()}, "`steps` must be whole numbers"),
        ({"size": {"widht": 3}}, "a size must map some of width, depth"),
        ({"size": {}}, "a size must map some of width, depth"),
        ({"size": {"width": 1.5}}, "a size must map some of width, depth"),
        ({"size": None}, "watch must be given the run's size, or find it in the environment's HPTRANSFER_SIZE"),
        ({"seed": None}, "watch must be given the run's seed, or find it in the environment's HPTRANSFER_SEED"),
        ({"seed": -1}, "a seed must be a whole number"),
        ({"path": None}, "watch must be given a path, or find it in the environment's HPTRANSFER_WATCH"),
        ({"path": "no/such/folder/a.jsonl"}, "the file of coordinates must be writable"),
        ({"optimizer": "adam"}, "`optimizer` must be a torch optimizer"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)])}, "`optimizer` must train the model's"),
        ({"optimizer": list(_stepped())[1]}, "watch must begin before the first optimizer step"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], rule: str, tmp_path: Path) -> None:
    """With the rule, before training begins; nothing is written."""
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    given: dict[str, Any] = {"path": tmp_path / "a", "size": SIZE, "seed": 0} | arguments

    with pytest.raises(HptransferError, match=rule.replace("(", r"\(")):
        hptransfer.watch(model, watched.probe(), **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [nn.LazyLinear(3), nn.Linear(3, 3, device="meta")])
def test_a_model_without_values_is_refused(model: nn.Module, tmp_path: Path) -> None:
    """Lazy modules before their first call, and models on the meta device."""
    with pytest.raises(UsageError, match="watch must see initialised parameters"):
        hptransfer.watch(model, path=tmp_path / "a", size=SIZE, seed=0)


def test_sharded_parameters_are_refused(tmp_path: Path) -> None:
    """A process sees only its part of them."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model = nn.Linear(3, 3)
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(UsageError, match="watch must see whole parameters"):
            hptransfer.watch(model, path=tmp_path / "a", size=SIZE, seed=0)
    finally:
        dist.destroy_process_group()


def test_a_step_is_not_counted_twice(tmp_path: Path) -> None:
    """A watcher that has the optimizer refuses `step()`."""
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = hptransfer.watch(model, steps=(1,), optimizer=optimizer, path=tmp_path / "a", size=SIZE, seed=0)

    with pytest.raises(UsageError, match="a step must be counted once"):
        watcher.step()
    watcher.close()
    assert hooks_of(model, optimizer) == 0
    list(watched.train(model, optimizer, seed=0, count=1))
    assert len((tmp_path / "a").read_text().splitlines()) == 1


def test_a_model_that_is_copied_later_is_not_hindered(tmp_path: Path) -> None:
    """Nothing is attached to the model between looks: it can be copied and pickled."""
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    hptransfer.watch(model, watched.probe(), (1,), path=tmp_path / "a", size=SIZE, seed=0)

    assert torch.equal(copy.deepcopy(model).weight, model.weight)


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    """JSON has no NaN: layers and updates that blow up are null, and the file can be read."""
    model = nn.Linear(watched.FEATURES, watched.CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=float("inf"))
    hptransfer.watch(model, watched.probe(), (1,), optimizer=optimizer, path=tmp_path / "a", size=SIZE, seed=0)
    list(watched.train(model, optimizer, seed=0, count=1))
    step = only_run(tmp_path / "a").steps[1]

    assert [layer.change for layer in step.layers] == [None]
    assert {weight.update for weight in step.parameters} == {None}
