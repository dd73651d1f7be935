"""What a credential may be for."""

from __future__ import annotations

import pytest

from gateway.core.verb import NEEDED, VERBS


@pytest.mark.parametrize(
    ("operation", "verb"), [("score", "score"), ("extra", "score"), ("swagger", "swagger"), ("batch", "batch")]
)
def test_every_operation_takes_a_verb(operation, verb):
    """An operation that nobody thought of counts as scoring, which no credential has by accident only."""
    assert NEEDED.get(operation, "score") == verb
    assert verb in VERBS
