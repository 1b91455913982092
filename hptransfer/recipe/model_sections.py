"""The recipe's `model` section: one class per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from hptransfer.parameterization.role_presets import FAMILIES, ROLE_FORM
from hptransfer.recipe.numbers import Axis, Vocabulary
from hptransfer.recipe.sections import Section, Setting
from hptransfer.recipe.text_forms import ARGUMENT, CONFIGURATION, REFERENCE

# names from the list that owns them, as literals for messages and docs; a type checker cannot read them
if TYPE_CHECKING:
    PresetName: TypeAlias = str
else:
    PresetName = Literal[tuple(FAMILIES)]


class MlpModel(Section):
    """Next-byte prediction from a context window; width is every hidden layer's, depth counts hidden layers."""

    kind: Literal["mlp"]
    context: Axis = 16
    """bytes seen before the predicted one"""
    embedding: Axis = 32
    """numbers per byte in the lookup table; does not grow with width"""
    vocabulary: Vocabulary = 256
    """number of tokens: 256 for bytes, at least that of the data for `kind: tokens`"""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    norm: Literal["layernorm", "none"] = "layernorm"
    """`layernorm` normalises each hidden layer's pre-activations"""


class GptModel(Section):
    """Pre-norm decoder; width is d_model, depth counts blocks (attention + MLP); the readout is untied."""

    kind: Literal["gpt"]
    context: Axis = 64
    """bytes per sequence"""
    head_dim: Axis = 16
    """kept fixed while width grows; the number of heads is width / head_dim"""
    positions: Literal["rotary", "learned"] = "rotary"
    mlp_ratio: Axis = 4
    """d_ff / d_model"""
    vocabulary: Vocabulary = 256
    """number of tokens: 256 for bytes, at least that of the data for `kind: tokens`"""


#: `role[, fan-in AXIS[+AXIS]][, normal|ones|zeros]`
RoleText = Annotated[str, Field(pattern=ROLE_FORM)]


class _OwnModel(Section):
    """What models that are not built in have in common."""

    context: Axis = 64
    """tokens per sequence when it is trained here on bytes: `forward` takes B x context integers and returns logits"""
    preset: PresetName | None = None
    """a family whose parameter names it has: says what writes the residual stream"""
    residual_writers: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """regular expressions over full names of parameters whose output is added to the residual stream"""
    queries: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """regular expressions over full names of query projections' parameters, for `attention_multiplier`; default: the
    preset's"""
    roles: dict[str, RoleText] = Field(default_factory=dict)
    """regular expression over full names -> role, where shapes and module types do not decide it"""
    probe: bool = True
    """whether a small model is run once, to see factors in `forward`, norms, attention and what writes the residual
    stream; false: a plan says what it therefore does not know"""
    example: Annotated[str, Field(pattern=REFERENCE, max_length=200)] | None = None
    """`module:function`, of nothing or of width and depth, that returns what `forward` takes (a tensor, a tuple, a dict
    by name) for that run; default: guessed from the model"""


class FactoryModel(_OwnModel):
    """Your own function; it is imported and called by commands that need the model, never by `validate`."""

    kind: Literal["factory"]
    factory: Annotated[str, Field(pattern=REFERENCE, max_length=200)]
    """`module:function`, returning a torch.nn.Module"""
    width_argument: Annotated[str, Field(pattern=ARGUMENT)] = "width"
    """name of the function's width argument"""
    depth_argument: Annotated[str, Field(pattern=ARGUMENT)] | None = "depth"
    """name of the function's depth argument; null: it takes none, and every size has one depth"""
    arguments: dict[str, Setting] = Field(default_factory=dict)
    """further keyword arguments, the same at every size"""


class HuggingFaceModel(_OwnModel):
    """A model of transformers from its configuration; nothing is downloaded."""

    kind: Literal["huggingface"]
    config: Annotated[str, Field(pattern=CONFIGURATION, max_length=80)]
    """`model_type` of the configuration, for example llama, gpt2, qwen2, mistral, gpt_neox, vit, bert"""
    settings: dict[str, Setting]
    """the configuration of one size, as in a `config.json`; what follows the width keeps its proportion to it"""
    follow_width: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """keys that follow the width, the width itself first; default: the family's (heads and feed-forward size follow)"""
    depth_key: str | None = None
    """key that counts layers; default: the family's, of an encoder with a decoder both"""
    task: (
        Literal[
            "causal-lm",
            "seq2seq-lm",
            "speech-seq2seq",
            "masked-lm",
            "image-classification",
            "sequence-classification",
            "base",
        ]
        | None
    ) = None
    """what stands on top; default: the family's"""


class ExternalModel(Section):
    """A model that the trainer builds by itself: nothing of it is read, so no rule for its parameters is applied here.

    The default where the trainer is a function or a command.
    """

    kind: Literal["external"] = "external"
    context: Axis = 1
    """predictions per example, for example tokens per sequence"""


Model = Annotated[MlpModel | GptModel | FactoryModel | HuggingFaceModel | ExternalModel, Field(discriminator="kind")]
#: reads a `model` section alone
MODEL: TypeAdapter[Model] = TypeAdapter(Model)
