"""Trackers that `--log` logs to: one module each, which defines `open_sink`; `report/tracking.py` has the Protocol."""
