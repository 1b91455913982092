"""Ranges of numbers that sections of a recipe share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# Upper bounds are far beyond any model; they keep a hostile or mistyped recipe from asking for 10^60 of something.
Count = Annotated[int, Field(ge=1, le=10**9)]
Axis = Annotated[int, Field(ge=1, le=2**16)]
Width = Annotated[int, Field(ge=1, le=2**20)]
Depth = Annotated[int, Field(ge=1, le=2**12)]
Vocabulary = Annotated[int, Field(ge=2, le=2**24)]
Tokens = Annotated[int, Field(ge=1, le=10**16)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
