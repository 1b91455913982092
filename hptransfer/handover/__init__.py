"""What exporters and readers of exported files share; a framework's own part is in `export` and `roundtrip`.

trained  one parameter's values in a framework, planned or read back, and what two lists of them differ in
header   what every exported file says first
parts    a decoder's parts and what frameworks call them
decoder  the decoder that a target describes, part by part
"""

__all__ = [
    "decoder",
    "header",
    "manifest",
    "megatron",
    "module_text",
    "nanogpt_mup",
    "own_names",
    "parts",
    "refused",
    "trained",
]
