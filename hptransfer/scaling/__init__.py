"""Scaling: the target's configuration with its registered prediction, as a library that writes nothing.

scale   `scale(loaded, folder, ...)`: the target and its exports, or a refusal; `target` makes the content
verify  a finished run against the registered prediction
"""

__all__ = ["ahead", "groups", "objections", "registering", "scale", "target", "verify", "verify_export"]
