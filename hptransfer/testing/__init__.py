"""Conformance suites for what users add: pytest classes to subclass, one module per kind of entry."""
