"""The demo's entry script: `init()` and `run(raw)` of a ten-feature Ridge model, as Azure ML scripts have them.

The server loads this file by its path, in an environment without Scoregate: it may import the standard library only,
and the class that carries a refusal, from whichever server runs it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

try:
    from azureml_inference_server_http.api.aml_response import AMLResponse  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from gateway.demo.aml_response import AMLResponse

_LARGEST = 1e300  # ten products of this with the coefficients, and their sum, are still finite
_model: dict[str, Any] = {}


def init() -> None:
    """Load the coefficients; the server calls this once, before it listens."""
    _model.update(json.loads((Path(__file__).parent / "diabetes.json").read_text(encoding="utf-8")))


def run(raw: str) -> Any:
    """Score `{"data": [[ten numbers], ...]}`: one number a row, or a 400 whose message says what to send instead."""
    try:
        rows = _rows(raw)
    except ValueError as error:
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    # fsum is exact whatever the order of the products: every machine gives the same last digit.
    return [math.fsum(map(_product, _model["coefficients"], row)) + _model["intercept"] for row in rows]


def _product(coefficient: float, value: float) -> float:
    return coefficient * value


def _rows(raw: str) -> list[list[float]]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        hint = "is empty; was it sent with Content-Type: application/json?" if not raw else f"is no JSON: {error}"
        raise ValueError(f"the request body {hint}") from None
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ValueError('send a JSON object {"data": [[...], ...]} with one list of numbers for each row to score')  # noqa: TRY004
    for number, row in enumerate(rows, start=1):
        _check(number, row)
    return rows


def _check(number: int, row: Any) -> None:
    features = _model["features"]
    if not isinstance(row, list) or len(row) != len(features):
        found = f"has {len(row)} values" if isinstance(row, list) else "is no list"
        raise ValueError(f"row {number} of data {found}; give {len(features)} numbers: {', '.join(features)}")
    for name, value in zip(features, row, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            shown = json.dumps(value)[:40]
            raise ValueError(f"row {number} of data: {name} is {shown}; give a number between -1e300 and 1e300")
