"""Exporters: the target's configuration in the form that a framework reads; a file per framework.

base  what an exporter is; `EXPORTERS` is the registry, `export_target` calls one of them
"""

__all__ = [
    "_megatron_flags",
    "_torchtitan_plan",
    "automodel",
    "base",
    "bsh",
    "cerebras",
    "deepspeed",
    "levanter",
    "lightning",
    "lm_engine",
    "megatron",
    "nanogpt_mup",
    "olmo_core",
    "torchtitan",
    "yaml",
]
