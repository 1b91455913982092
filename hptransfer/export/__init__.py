"""Exporters: the target's configuration in the form that a framework reads; a file per framework.

base  what an exporter is; `EXPORTERS` is the registry, `export_target` calls one of them
olmo_core  OLMo-core's names and what its model is built with, which its reader compares
"""

__all__ = ["base", "olmo_core"]
