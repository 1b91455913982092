"""Exporters: the target's configuration in the form that a framework reads; a file per framework.

base  what an exporter is; `EXPORTERS` is the registry, `export_target` calls one of them
"""

__all__ = ["_torchtitan_plan", "automodel", "base", "bsh", "deepspeed", "lightning", "olmo_core", "torchtitan"]
