"""Rules that levels of `validate` check as part of their work, a file each; each defines `RULES`."""

__all__: list[str] = []
