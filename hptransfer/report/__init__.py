"""Report: evidence and plans as terminal text, JSON and pictures."""
