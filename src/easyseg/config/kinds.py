"""Kinds of values that several settings take."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

Auto: TypeAlias = Literal["auto"]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Schedule: TypeAlias = Literal["onecycle", "cosine", "poly", "step", "constant"]
