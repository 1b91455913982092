"""What torchtitan's own Llama3 and command line make of an export, for machines that lack what its trainer imports.

`python -m tests.support.torchtitan_golden > tests/data/torchtitan-0.3.0.json`, where torchtitan is installed whole
(torchdata, datasets). Triton alone may be missing: then the kernels that dispatch tokens to experts are left empty.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from hptransfer.export.torchtitan import FILE
from hptransfer.roundtrip.torch import load_module
from hptransfer.roundtrip.torchtitan import import_llama3
from tests.support.exported import llama_target, write_export

COMMAND = "python -m tests.support.torchtitan_golden"


def drawn(model: Any) -> dict[str, Any]:
    """Shape, mean and std of every parameter, as the model's own code draws them from seed 0."""
    torch.manual_seed(0)
    built = model.build()
    with torch.no_grad():
        built.init_states()
    return {
        name: {
            "shape": list(parameter.shape),
            "mean": float(parameter.detach().double().mean()),
            "std": float(parameter.detach().double().std(correction=0)),
        }
        for name, parameter in built.named_parameters()
    }


def parsed(*arguments: str) -> Any:
    """The run's configuration, through torchtitan's command line."""
    from torchtitan.config.manager import ConfigManager

    return ConfigManager().parse_args(
        ["--module", FILE.removesuffix(".py"), "--config", "hptransfer_target", *arguments]
    )


def refusal(config: Any) -> str:
    """What the exported file answers a trainer that would cut the model into stages."""
    try:
        config.model_spec.pipelining_fn(None, parallelism=config.parallelism)
    except ValueError as error:
        return str(error)
    raise AssertionError("the exported file must refuse pipeline stages")


def main() -> None:
    """Prints the record as JSON."""
    import_llama3()
    from torchtitan.models.llama3 import llama3_configs

    with tempfile.TemporaryDirectory() as folder:
        export = write_export(Path(folder), "torchtitan", llama_target())
        sys.path.insert(0, str(export))
        spec = load_module(export / FILE).model_spec()
        config = parsed("--training.local_batch_size", "2")
        stages = parsed("--parallelism.pipeline_parallel_degree", "2", "--training.disable_cuda_graphs")
        record = {
            "torchtitan": version("torchtitan"),
            "torch": torch.__version__,
            "command": COMMAND,
            "triton": "missing: kernels of expert dispatch were left empty",
            "stock": drawn(llama3_configs["debugmodel"](attn_backend="flex")),
            "exported": drawn(spec.model),
            "command line": {
                "steps": config.training.steps,
                "global_batch_size": config.training.global_batch_size,
                "local_batch_size": config.training.local_batch_size,
                "seq_len": config.training.seq_len,
                "max_norm": str(config.training.max_norm),
                "mixed_precision_param": config.training.mixed_precision_param,
                "total_steps": config.lr_scheduler.total_steps,
                "warmup_steps": config.lr_scheduler.warmup_steps,
                "groups": [
                    {"pattern": group.pattern, "optimizer": group.optimizer_name, **group.optimizer_kwargs}
                    for group in config.optimizer.param_groups
                ],
                "two stages": refusal(stages),
            },
        }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
