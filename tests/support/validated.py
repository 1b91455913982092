"""Options of `validate` that several tests use."""

from __future__ import annotations

from hptransfer.linting.levels.base import ValidationOptions

#: what `validate --trust` asks
TRUSTED = ValidationOptions(("static", "shapes"), trust=True)
