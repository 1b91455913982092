"""Commands: one function per command line command."""
