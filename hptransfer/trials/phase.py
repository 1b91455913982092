"""The steps of the journey that train trials."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """What a trial was first trained for; each member is the word in the database and in messages."""

    SEARCH = "search"
    CONFIRM = "confirm"
    CHECK = "check"
