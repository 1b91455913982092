"""The command line: `app` lists the commands, each of which is declared by its own module in `commands/`.

app           the program and the order of its commands
registration  makes a command of a function with annotated parameters
options       options that several commands share
moved         spellings of earlier versions, answered with those of now
boundary      errors become text on stderr and an exit status
"""

__all__ = ["app", "boundary", "options", "table_options"]
