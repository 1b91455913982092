"""Small models of every family of transformers, from their configurations: nothing is downloaded.

A family's settings at width 64 are found by the names of its keys, as a user would shrink a `config.json`; the
package's own reading of the configuration then says what follows the width. Where names do not tell, `SETTINGS` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.auto import modeling_auto

from hptransfer.models.config_families import read_family
from hptransfer.models.huggingface import CLASSES, build_huggingface, family_of, settings_at
from hptransfer.recipe.model_sections import HuggingFaceModel

BASE_WIDTH, BASE_DEPTH, HEAD_DIM, VOCABULARY, CONTEXT, EXAMPLES = 64, 2, 16, 256, 32, 4

#: families that the gate covers: every decoder, and one of each other kind
DECODERS: tuple[str, ...] = tuple(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
OTHERS: Mapping[str, str] = {
    "vit": "image-classification",
    "bert": "masked-lm",
    "t5": "seq2seq-lm",
    "whisper": "speech-seq2seq",
}

#: key of a configuration -> its value at width 64; the first pattern that matches decides
SMALL: tuple[tuple[str, Any], ...] = (
    (r"vocab_size|vocab_size_per_layer_input|decoder_vocab_size|unpadded_vocab_size|type_vocab_size", VOCABULARY),
    (r".*(max_position_embeddings|n_positions|n_ctx|max_seq_len|context_length|model_max_length)", 64),
    (r"max_(source|target)_positions", 64),
    (r".*(experts_per_tok|experts_per_token|moe_topk|moe_k|moe_top_k|top_k_experts|top_k)", 2),
    (r"(n|num)_(expert_)?groups?|topk_group|num_expert_group", 1),
    (r".*(num_shared_experts|n_shared_experts)", 1),
    (r"num_experts|num_local_experts|n_routed_experts|moe_num_experts|zero_expert_num", 4),
    (r"(moe|shared|expert|shared_expert|shared_experts|moe_shared_expert)_(intermediate_size|ffn_hidden_size)", 128),
    (r".*key_value_heads|.*kv_heads", 2),
    (r"index_n_heads|indexer_n_heads", 2),
    (r"qk_nope_head_dim|qk_rope_head_dim", 8),
    (
        r"v_head_dim|qk_head_dim|.*head_dim|attention_head_size|dim_head|d_head|d_kv|kv_channels|linear_head_dim",
        HEAD_DIM,
    ),
    (r".*lora_rank|.*_rank", 16),
    (r"first_k_dense_replace|num_dense_layers|num_nextn_predict_layers", 1),
    (r"mamba_d_state|ssm_state_size|state_size", 8),
    (r"rotary_dim", HEAD_DIM),
    (r".*chunk_size|.*window(_size)?|keep_window_size", 16),
)
#: what is off: regularisation whose noise would hide slopes
_OFF = re.compile(r".*(dropout|pdrop|dropout_prob|layerdrop|jitter_noise|drop_path_rate).*")

#: where names do not tell; `...` leaves a key to its default
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "codegen": {"rotary_dim": HEAD_DIM},
    "gptj": {"rotary_dim": HEAD_DIM},
    "deepseek_v2": {"num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "longcat_flash": {"head_dim": 8},
    "dots1": {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "head_dim": HEAD_DIM,
    },
    "dots3_note_text": {"num_key_value_heads": 4, "head_dim": HEAD_DIM},
    "hunyuan_v1_dense": {"head_dim": HEAD_DIM},
    "hunyuan_v1_moe": {"head_dim": HEAD_DIM},
    "ministral": {"head_dim": HEAD_DIM},
    "mamba2": {"num_heads": 8},
    "gemma3n_text": {"num_kv_shared_layers": 0, "intermediate_size": 256, "hidden_size_per_layer_input": 16},
    "vit": {"image_size": 32, "patch_size": 8, "num_labels": 16},
    "whisper": {"max_source_positions": 32},
    "electra": {"embedding_size": 32},
    "rembert": {"input_embedding_size": 32, "output_embedding_size": 64},
    "gemma4_text": {"global_head_dim": HEAD_DIM},
    "gemma4_unified_text": {"global_head_dim": HEAD_DIM},
    "xmod": {"default_language": "en_XX"},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": HEAD_DIM,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
        "hc_lowrank": 16,
    },
}
#: lists that no recipe can give: key of the configuration -> its value at a width and a depth
LISTS: Mapping[str, Mapping[str, Callable[[int, int], Any]]] = {
    "cohere_compass_text": {
        "layer_types": lambda _, depth: ["full_attention"] * depth,
        "rope_parameters": lambda *_: {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}},
    },
    "dbrx": {
        "attn_config": lambda *_: {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": lambda width, _: {
            "hidden_size": width,
            "ffn_hidden_size": 2 * width,
            "moe_num_experts": 4,
            "moe_top_k": 2,
        },
        "rope_parameters": lambda *_: {"rope_type": "default", "rope_theta": 10000.0},
    },
    "dots3_note_text": {"per_layer_config": lambda *_: {}},
    "gpt_neo": {"attention_types": lambda _, depth: [[["global", "local"], depth // 2]]},
    "lfm2_moe": {"layer_types": lambda _, depth: ["conv", "full_attention"] * (depth // 2)},
    "nemotron_h": {"layers_block_type": lambda _, depth: ["linear_attention", "full_attention"] * (depth // 2)},
    "reformer": {
        "attn_layers": lambda _, depth: ["local", "lsh"] * (depth // 2),
        "axial_pos_embds_dim": lambda width, _: [width // 4, 3 * width // 4],
        "axial_pos_shape": lambda *_: [4, 8],
    },
    "zamba": {"layers_block_type": lambda _, depth: ["linear_attention", "hybrid"] * (depth // 2)},
    "zamba2": {"layers_block_type": lambda _, depth: ["linear_attention", "hybrid"] * (depth // 2)},
}
#: what cannot be built small, and why
UNMEASURED: Mapping[str, str] = {
    "phi4_multimodal": "its towers of images and sounds are large whatever the width",
    "musicgen": "several models in one configuration, all required",
    "musicgen_melody": "several models in one configuration, all required",
}


@dataclass(frozen=True)
class Family:
    """One family, as small as the gate builds it.

    Attributes:
        name: `model_type` of its configuration.
        task: what is on top, a key of `huggingface.CLASSES`.
        section: the recipe's section at width 64.
        lists: key of the configuration -> its value at a width and a depth, for keys that no recipe can give.
        tied: whether the readout shares its weight with the embedding.
    """

    name: str
    task: str
    section: HuggingFaceModel
    lists: Mapping[str, Callable[[int, int], Any]] = field(default_factory=dict)
    tied: bool = False

    def build(self, width: int, depth: int) -> nn.Module:
        """The model at a size, on the current device, with its own init.

        Args:
            width: value of the family's width key.
            depth: number of layers of the model.
        """
        if not self.lists:
            return build_huggingface(self.section, width, depth)
        settings = settings_at(self.section.settings, family_of(self.section), width, depth)
        lists = {key: value(width, depth) for key, value in self.lists.items()}
        config = transformers.AutoConfig.for_model(self.name, **settings, **lists)
        built: nn.Module = getattr(transformers, CLASSES[self.task]).from_config(config)
        return built

    @property
    def model(self) -> HuggingFaceModel | Callable[[int, int], nn.Module]:
        """What `hptransfer.plan` takes: a recipe's section where one can say it, else a function."""
        return self.build if self.lists else self.section


def family(name: str, *, tied: bool = True) -> Family:
    """The settings of a family at width 64, depth 2.

    Args:
        name: `model_type` of its configuration.
        tied: whether the readout may share its weight with the embedding, where the family does so by default.

    Raises:
        ValueError: it cannot be shrunk by its keys; the reason is given.
    """
    if name in UNMEASURED:
        raise ValueError(UNMEASURED[name])
    task = OTHERS.get(name, "causal-lm")
    keys = read_family(name, task)
    if keys is None:
        raise ValueError("several models in one configuration")
    if keys.width.startswith("text_config."):
        inner = transformers.CONFIG_MAPPING[name]().text_config.model_type
        raise ValueError(f"several models in one configuration; of them the language model is {inner}")
    lists = LISTS.get(name, {})
    default = transformers.CONFIG_MAPPING[name]()
    values = {key: value for key, value in default.to_dict().items() if key not in lists}
    own = SETTINGS.get(name, {})
    settings: dict[str, Any] = {}
    for key, value in values.items():
        small = _small(key, value)
        if small is not None and key not in ("attribute_map",):
            settings[key] = small
    for key in keys.following:
        if key in settings or (values[key] is None and not _is_heads(key)):
            continue
        if key in keys.needed or _is_heads(key):
            settings[key] = BASE_WIDTH // HEAD_DIM if _is_heads(key) else 4 * BASE_WIDTH
        elif values[key] == values[keys.width]:
            settings[key] = BASE_WIDTH
    settings[keys.width] = BASE_WIDTH
    if "is_decoder" in values and task == "causal-lm":
        settings["is_decoder"] = True
    if not tied and values.get("tie_word_embeddings"):
        settings["tie_word_embeddings"] = False
    if "use_cache" in values:
        settings["use_cache"] = False
    if "qk_rope_head_dim" in values:
        settings["num_key_value_heads"] = BASE_WIDTH // HEAD_DIM
        settings.pop("head_dim", None)  # these derive it
    settings |= own
    settings = {key: value for key, value in settings.items() if value is not ...}
    given = (key for key in keys.following if key in settings)
    following = {"follow_width": (keys.width, *given), "depth_key": keys.depth} if lists else {}
    section = HuggingFaceModel.model_validate(
        {"kind": "huggingface", "config": name, "settings": settings, "task": task} | following
    )
    return Family(name, task, section, lists, tied and bool(values.get("tie_word_embeddings")))


def _is_heads(key: str) -> bool:
    return "heads" in key or key == "n_head"


def _small(key: str, value: Any) -> Any:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return 0.0 if value and _OFF.fullmatch(key) else None
    if not isinstance(value, int):
        return None
    if key.endswith(("_token_id", "_token_index")):
        return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}.get(key, 1) if value >= VOCABULARY else None
    found = next((small for pattern, small in SMALL if re.fullmatch(pattern, key)), None)
    return None if found is None or value == 0 or (value < found and "head" not in key) else found


def batch(task: str, seed: int, module: nn.Module) -> tuple[dict[str, Tensor], Callable[[Any], Tensor]]:
    """Random inputs of a task, and the loss of the model's output on them.

    Args:
        task: a key of `huggingface.CLASSES`.
        seed: from which the batch is drawn.
        module: the model, whose configuration says what it takes.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    tokens = torch.randint(3, VOCABULARY, (EXAMPLES, CONTEXT), generator=generator)
    if task == "image-classification":
        config: Any = module.config
        images = torch.randn(16, config.num_channels, config.image_size, config.image_size, generator=generator)
        labels = torch.randint(0, config.num_labels, (16,), generator=generator)
        return {"pixel_values": images}, lambda output: functional.cross_entropy(output.logits, labels)
    if task == "masked-lm":
        hidden = torch.rand(tokens.shape, generator=generator) < 0.3
        read = torch.where(hidden, 1, tokens)
        return {"input_ids": read}, lambda output: functional.cross_entropy(output.logits[hidden], tokens[hidden])

    def next_token(output: Any) -> Tensor:
        return functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    if task == "seq2seq-lm":
        source = torch.randint(3, VOCABULARY, tokens.shape, generator=generator)
        return {"input_ids": source, "decoder_input_ids": tokens}, next_token
    if task == "speech-seq2seq":
        config = module.config
        sound = torch.randn(EXAMPLES, config.num_mel_bins, 2 * config.max_source_positions, generator=generator)
        return {"input_features": sound, "decoder_input_ids": tokens}, next_token
    return {"input_ids": tokens}, next_token
