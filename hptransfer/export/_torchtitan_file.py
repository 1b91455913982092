"""The text of `hptransfer_torchtitan.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hptransfer.artifacts.target import TargetFile
from hptransfer.export._torchtitan_plan import (
    ADJUSTED,
    FUSED_NAMES,
    LAYER,
    OPTIMIZERS,
    SCHEDULES,
    WRAPPED,
    TitanPlan,
    start_of,
)
from hptransfer.handover.parts import Part
from hptransfer.parameterization.groups import ParameterGroup


def _buckets(plan: TitanPlan, part: Part) -> Iterator[tuple[tuple[int | None, ...] | None, ParameterGroup]]:
    """The layers of a part whose values are equal, None for all, with those values."""
    found: dict[tuple[object, ...], list[int | None]] = {}
    rows: dict[tuple[object, ...], ParameterGroup] = {}
    for layer in plan.layers(part):
        group = plan.group(part, layer)
        key: tuple[object, ...] = (start_of(group), group.learning_rate, group.weight_decay, group.eps)
        found.setdefault(key, []).append(layer)
        rows.setdefault(key, group)
    for values, layers in found.items():
        yield (None if len(found) == 1 else tuple(layers)), rows[values]


_IMPORTS = """\
from functools import partial

from torch import nn
from torchtitan.components.optimizer import LRSchedulersContainer, OptimizersContainer, ParamGroupConfig
from torchtitan.models.common import ComplexRoPE, Embedding, FeedForward, {qkv}, GQAttention, Linear, RMSNorm
from torchtitan.models.common.config_utils import get_attention_config
from torchtitan.models.common.param_init import skip_param_init
from torchtitan.models.llama3 import Llama3Model, parallelize_llama
from torchtitan.models.llama3.model import Llama3TransformerBlock
from torchtitan.models.llama3.state_dict_adapter import Llama3StateDictAdapter
from torchtitan.protocols.model_spec import ModelSpec
"""
_MUON_IMPORTS = """\
from torchtitan.distributed.flex_shard import BucketConfig, ComputeLayout, Owned
from torchtitan.distributed.parallel_dims import MeshAxisName
"""
_MODEL = """

def init(name, layer=None):
    return {"weight": INIT.get(name.replace("*", str(layer)), INIT.get(name))}


def linear(name, inputs, outputs, layer=None):
    return Linear.Config(in_features=inputs, out_features=outputs, param_init=init(name, layer))


def norm(name, layer=None):
    return RMSNorm.Config(normalized_shape=DIM, eps=NORM_EPS, param_init=init(name, layer))


def block(layer):
    return Llama3TransformerBlock.Config(
        attention_norm=norm("layers.*.attention_norm", layer),
        ffn_norm=norm("layers.*.ffn_norm", layer),
        attention=GQAttention.Config(
            dim=DIM,
            n_heads=HEADS,
            n_kv_heads=KV_HEADS,
            head_dim=HEAD_DIM,
            qkv_linear=QKV,
            wo=linear("layers.*.attention.wo", HEADS * HEAD_DIM, DIM, layer),
            inner_attention=get_attention_config("flex"),
            rope=ComplexRoPE.Config(dim=HEAD_DIM, max_seq_len=MAX_SEQ_LEN, theta=ROPE_THETA),
        ),
        feed_forward=FeedForward.Config(
            w1=linear("layers.*.feed_forward.w1", DIM, FFN, layer),
            w2=linear("layers.*.feed_forward.w2", FFN, DIM, layer),
            w3=linear("layers.*.feed_forward.w3", DIM, FFN, layer),
        ),
    )


def model():
    return Llama3Model.Config(
        dim=DIM,
        vocab_size=VOCAB,
        enable_weight_tying=TIED,
        tok_embeddings=Embedding.Config(
            num_embeddings=VOCAB, embedding_dim=DIM, param_init=init("tok_embeddings")
        ),
        norm=norm("norm"),
        lm_head=linear("lm_head", DIM, VOCAB),
        layers=[block(layer) for layer in range(LAYERS)],
    )

"""
_FUSED_QKV = """FusedQKVLinear.Config(
                head_dim=HEAD_DIM,
                n_heads=HEADS,
                n_kv_heads=KV_HEADS,
                wqkv=linear("layers.*.attention.qkv_linear.wqkv", DIM, (HEADS + 2 * KV_HEADS) * HEAD_DIM, layer),
            )"""
_SEPARATE_QKV = """QKVLinear.Config(
                head_dim=HEAD_DIM,
                wq=linear("layers.*.attention.qkv_linear.wq", DIM, HEADS * HEAD_DIM, layer),
                wkv=linear("layers.*.attention.qkv_linear.wk", DIM, KV_HEADS * HEAD_DIM, layer),
            )"""
_SPEC = """
def no_stages(*_, **__):
    raise ValueError(
        "pipeline_parallel_degree must be 1: torchtitan matches every pattern of param_groups with every stage, and "
        "one without a match raises, as that of tok_embeddings in the second stage"
    )


PARALLELIZE
def model_spec():
    return ModelSpec(
        name="llama3",
        flavor="hptransfer",
        model=model(),
        parallelize_fn=parallelize,
        pipelining_fn=no_stages,
        post_optimizer_build_fn=None,
        state_dict_adapter=Llama3StateDictAdapter,
    )

"""
_PARALLELIZE = "parallelize = parallelize_llama\n\n\n"
_MUON_PARALLELIZE = """\
def parallelize(model, **how):
    if how["parallel_dims"].tp_enabled:
        raise ValueError("tensor_parallel_degree must be 1: DistMuon cannot redistribute what that leaves")
    return parallelize_llama(model, **how)


"""


def sections(plan: TitanPlan) -> Iterator[str]:
    """The file after its header, piece by piece.

    Args:
        plan: the target in torchtitan's form.
    """
    fused = plan.names is FUSED_NAMES
    yield _IMPORTS.format(qkv="FusedQKVLinear" if fused else "QKVLinear")
    yield _MUON_IMPORTS if plan.muon else ""
    yield from _sizes(plan)
    yield from _inits(plan)
    yield _MODEL.replace("=QKV,", f"={_FUSED_QKV if fused else _SEPARATE_QKV},")
    yield _SPEC.replace("PARALLELIZE\n", _MUON_PARALLELIZE if plan.muon else _PARALLELIZE)
    yield from _optimizer(plan)
    yield _schedule(plan.target)
    yield _run(plan)


def _sizes(plan: TitanPlan) -> Iterator[str]:
    decoder = plan.decoder
    yield f"\nDIM, LAYERS, FFN = {decoder.width}, {decoder.layers}, {decoder.feed_forward}\n"
    yield f"HEADS, KV_HEADS, HEAD_DIM = {decoder.heads}, {decoder.key_value_heads}, {decoder.head_dim}\n"
    yield f"VOCAB, TIED = {decoder.vocabulary}, {decoder.tied}\n"
    yield f"MAX_SEQ_LEN, ROPE_THETA = {max(decoder.context or 2048, _sequence(plan) or 1)}, {decoder.theta!r}\n"
    yield f"NORM_EPS = {decoder.norm_eps(1e-6)!r}  # transformers' default is 1e-6, torchtitan's 1e-5\n"


def _inits(plan: TitanPlan) -> Iterator[str]:
    yield "\n# how each parameter starts: final values of this size. Nothing cuts these draws: their std is exact\n"
    yield "# (torchtitan's lm_head is cut at 3 std, which leaves 0.98658 of its std).\nINIT = {\n"
    for part in plan.parts:
        name = plan.names[part].removesuffix(".weight")
        if part is Part.EMBEDDING and plan.decoder.tied:
            yield f'    "lm_head": {start_of(plan.group(part, None))},  # tied: the table is the same tensor\n'
            yield '    "tok_embeddings": skip_param_init,\n'
            continue
        if part is Part.VALUE:
            continue  # torchtitan builds it as it does the key
        for layers, group in _buckets(plan, part):
            for layer in ("*",) if layers is None else layers:
                yield f'    "{name.replace("{layer}", str(layer))}": {start_of(group)},\n'
    yield "}\n"


def _optimizer(plan: TitanPlan) -> Iterator[str]:
    values = plan.target.optimizer_values
    yield "\ndef optimizer():  # the first pattern that matches wins; no group has defaults\n"
    yield from _muon_layouts(plan) if plan.muon else ()
    yield "    return OptimizersContainer.Config(\n        param_groups=[\n"
    if plan.muon:
        yield from _param_group(_muon_pattern(plan), "DistMuon", {
            "lr": plan.group(plan.muon[0], 0).learning_rate,
            "weight_decay": plan.group(plan.muon[0], 0).weight_decay,
            "momentum": values["momentum"],
            "nesterov": True,
            "adjust_lr_fn": ADJUSTED[str(plan.target.muon_scale)],
            "fused": False,
            "foreach": False,
        })  # fmt: skip
    for part in plan.parts:
        if part in plan.muon:
            continue
        for layers, group in _buckets(plan, part):
            yield from _param_group(plan.pattern(part, layers), OPTIMIZERS[str(group.optimizer)], {
                "lr": group.learning_rate,
                "betas": (values["beta1"], values["beta2"]),
                "eps": group.eps,
                "weight_decay": group.weight_decay,
            })  # fmt: skip
    yield "        ],\n"
    if plan.muon:
        yield '        optimizer_factory_kwargs_by_name={"DistMuon": {\n'
        yield '            "compute_sharding_by_fqn": {name: owned for names in muon for name in names},\n'
        yield '            "bucket_configs": tuple(BucketConfig(patterns=names) for names in muon),\n        }},\n'
    yield "    )\n\n"


def _param_group(pattern: str, optimizer: str, values: Mapping[str, object]) -> Iterator[str]:
    yield f'            ParamGroupConfig(\n                pattern=r"{pattern}",\n'
    yield f'                optimizer_name="{optimizer}",\n                optimizer_kwargs={{\n'
    yield from (f'                    "{name}": {value!r},\n' for name, value in values.items())
    yield "                },\n            ),\n"


def _muon_pattern(plan: TitanPlan) -> str:
    names = (plan.names[part].removeprefix(LAYER).removesuffix(".weight").replace(".", r"\.") for part in plan.muon)
    return rf"^layers\.\d+\.{WRAPPED}(?:{'|'.join(names)})\.weight$"


def _muon_layouts(plan: TitanPlan) -> Iterator[str]:
    names = ", ".join(f'"{plan.names[part].removeprefix(LAYER)}"' for part in plan.muon)
    yield "    # each matrix is made orthogonal whole, by one rank of those that hold its shards\n"
    yield "    owned = ComputeLayout(shardings_by_mesh_axis={MeshAxisName.DP_SHARD.value: Owned()})\n"
    yield f"    parts = ({names})\n"
    yield '    muon = [tuple(f"layers.{layer}.{part}" for part in parts) for layer in range(LAYERS)]\n'


def _schedule(target: TargetFile) -> str:
    training = target.training
    if training is None or training.schedule == "own":
        return "\n"
    ratio, kind = SCHEDULES[training.schedule]
    return f"""
def lr_scheduler():  # {training.schedule}; one factor for all groups, so that their ratios stay
    return LRSchedulersContainer.Config(
        warmup_steps={round((training.warmup or 0.0) * training.steps)},
        total_steps={training.steps},
        decay_ratio={training.decay_share if training.schedule == "wsd" else ratio},
        decay_type={kind!r},
        min_lr_factor={training.floor!r},
    )

"""


def _sequence(plan: TitanPlan) -> int | None:
    """Tokens per sequence: those of the run over its steps and examples, where that is a whole number."""
    size, training = plan.target.size, plan.target.training
    if training is None:
        return plan.decoder.context
    length, rest = divmod(size.tokens, training.steps * training.batch_size)
    return plan.decoder.context if rest or not length else length


_OWN = '''
def applied(config):
    """Model and optimizer of this file in a Trainer.Config of yours, which keeps its schedule and its training."""
    config.model_spec, config.optimizer = model_spec(), optimizer()
    return config


def hptransfer_target():
    raise NotImplementedError("the schedule was the trainer's own: return applied(...) of the config that was tuned")
'''
_RUN = '''
def applied(config):
    """Model, optimizer, schedule and training of this file in a Trainer.Config of yours; its data stay."""
    config.model_spec, config.optimizer, config.lr_scheduler = model_spec(), optimizer(), lr_scheduler()
{training}
    return config


def hptransfer_target():
    from torchtitan.components.loss import ChunkedLossWrapper, CrossEntropyLoss
    from torchtitan.config import TrainingConfig
    from torchtitan.hf_datasets.text_datasets import HuggingFaceTextDataLoader
    from torchtitan.trainer import Trainer

    return applied(
        Trainer.Config(
            loss=ChunkedLossWrapper.Config(loss_fn=CrossEntropyLoss.Config(global_vocab_size=VOCAB)),
            dataloader=HuggingFaceTextDataLoader.Config(dataset="c4"),
            training=TrainingConfig(local_batch_size=1),
        )
    )
'''


def _run(plan: TitanPlan) -> str:
    training = plan.target.training
    if training is None or training.schedule == "own":
        return _OWN
    # clipping cannot be switched off, but nothing is above this
    clip = 'float("inf")  # no clipping; the default is 1.0' if training.clip is None else f"{training.clip!r}"
    precision = "bfloat16" if training.precision == "bfloat16" else "float32"
    lines = {
        "steps": training.steps,
        "global_batch_size": training.batch_size,
        "seq_len": _sequence(plan),
        "max_norm": clip,
        "mixed_precision_param": f"{precision!r}  # as in the runs that were tuned; the default is bfloat16",
    }
    return _RUN.format(training="\n".join(f"    config.training.{name} = {value}" for name, value in lines.items()))
