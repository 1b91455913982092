"""Diagnostics: what a check measures beside the verdict, one file each: measured, judged, shown."""

__all__ = ["collapse", "coordinate", "interactions", "linearization", "noise_scale", "sharpness", "update_scaling"]
