"""What a credential may be for: the verbs of tokens and of named callers."""

from __future__ import annotations

from typing import Literal, get_args

Verb = Literal["score", "batch", "swagger"]
VERBS: tuple[Verb, ...] = get_args(Verb)

NEEDED: dict[str, Verb] = {"swagger": "swagger", "batch": "batch"}
"""The verb that an operation of `core.exchange` takes; of those that are not named here it is `score`."""
