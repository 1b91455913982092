"""The command line: `app` lists the commands, each of which is declared by its own module in `commands/`.

registration  makes a command of a function with annotated parameters
options       options that several commands share
moved         spellings of earlier versions
boundary      errors become text on stderr and an exit status
"""

__all__ = ["app", "boundary", "options"]
