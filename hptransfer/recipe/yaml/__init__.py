"""YAML as recipes use it: read event by event, with places, and within bounds."""
