"""Commands: one file each, which parses, calls a step, renders and writes; imported by `cli.app` alone.

`<name>_command` declares the command: its annotated parameters are arguments and options, the first paragraph of its
docstring is its help, and it returns the exit status. Heavy modules are imported inside, so that help stays fast.
"""
