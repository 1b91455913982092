"""Heads that grow with the width need another scale of attention: held, refused by name, or left by hand and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, llama_target, round_trip

#: four heads at every width: 16 numbers each at the base, 48 here
GROWING = LLAMA.model_copy(update={"follow_width": ("hidden_size", "intermediate_size")})
SIZE = Size(192, 2, 8, 8192)


@pytest.mark.parametrize("name", ["olmo-core", "torchtitan", "automodel", "huggingface"])
def test_a_framework_that_cannot_scale_attention_refuses(name: str) -> None:
    """It would train with 1/sqrt(48), where Definition 4.1 of Tensor Programs V asks for sqrt(16)/48."""
    with pytest.raises(UsageError, match="16 at the base, 48"):
        export_target(name, llama_target("mup", size=SIZE, model=GROWING))


@pytest.mark.parametrize("name", ["torch", "yaml", "deepspeed", "lightning", "bsh"])
def test_where_the_model_is_the_users_it_is_said(name: str, tmp_path: Path) -> None:
    """The header says what forward must multiply by, and the comparison that it did not look at that."""
    target = llama_target("mup", size=SIZE, model=GROWING)
    headers = [text for path, text in export_target(name, target).items() if path != "ds_config.json"]

    assert all("heads grow (16 -> 48): your model's forward must multiply q k by" in text for text in headers)
    assert "attention's scale, which heads that grow need" in round_trip(tmp_path, name, target).not_compared


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torchtitan's import
@pytest.mark.parametrize("name", ["olmo-core", "torchtitan"])
def test_the_standard_parameterization_asks_for_nothing(name: str, tmp_path: Path) -> None:
    """It leaves attention at 1/sqrt(head_dim), which these frameworks have."""
    target = llama_target("standard", size=SIZE, model=GROWING)

    assert round_trip(tmp_path, name, target).differences == ()
