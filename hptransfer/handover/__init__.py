"""What exporters and readers of exported files share; a framework's own part is in `export` and `roundtrip`.

trained  one parameter's values in a framework, planned or read back, and what two lists of them differ in
header   what every exported file says first
parts    a decoder's parts and what frameworks call them
decoder  the decoder that a target describes, part by part
switched  what formats share whose frameworks scale by a switch; records of their rules: lm_engine, cerebras, levanter
"""

__all__ = [
    "causes",
    "cerebras",
    "counting",
    "decoder",
    "decoder_settings",
    "header",
    "levanter",
    "lm_engine",
    "manifest",
    "megatron",
    "megatron_arguments",
    "module_text",
    "nanogpt_mup",
    "own_names",
    "parts",
    "planned_values",
    "refused",
    "switched",
    "trained",
    "writing",
]
