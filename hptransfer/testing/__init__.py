"""Conformance suites: what every entry of a registry must do, as pytest classes to subclass."""
