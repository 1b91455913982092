"""YAML as recipes use it: read event by event, with places, and within bounds."""

__all__ = ["gate", "outline", "source_text"]
