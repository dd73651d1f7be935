"""The demo's entry script."""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction
from pathlib import Path

import pytest

from gateway.demo import score
from gateway.demo.guide import ROWS

MODEL = json.loads((Path(score.__file__).parent / "diabetes.json").read_text(encoding="utf-8"))
KNOWN = [217.67978776218715, 224.78937091757172]


@pytest.fixture(autouse=True)
def _loaded() -> None:
    score.init()


def _exactly_rounded(row: list[float]) -> float:
    products = [Fraction(value * weight) for value, weight in zip(row, MODEL["coefficients"], strict=True)]
    return float(sum(products)) + MODEL["intercept"]


def test_known_answers() -> None:
    """The two published rows give the published answers to the last digit, alone and together."""
    rows = json.loads(ROWS)["data"]
    assert score.run(ROWS) == KNOWN
    assert [score.run(json.dumps({"data": [row]})) for row in rows] == [[KNOWN[0]], [KNOWN[1]]]
    assert score.run('{"data": []}') == []


def test_a_plain_sum_would_be_noticed() -> None:
    """Control: adding from left to right misses the last digit of the second row, so the test above can fail."""
    row = json.loads(ROWS)["data"][1]
    plain = sum(value * weight for value, weight in zip(row, MODEL["coefficients"], strict=True)) + MODEL["intercept"]
    assert plain != KNOWN[1]
    assert math.isclose(plain, KNOWN[1])


def test_thousand_rows_are_exact() -> None:
    """A thousand random rows are summed as exact arithmetic on fractions sums them."""
    chance = random.Random(7)
    rows = [[chance.gauss(0, 0.05) for _ in range(10)] for _ in range(1000)]
    assert score.run(json.dumps({"data": rows})) == [_exactly_rounded(row) for row in rows]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "the request body is empty; was it sent with Content-Type: application/json?"),
        ("{", "the request body is no JSON: Expecting property name"),
        ("[" * 100_000, "the request body is no JSON: "),
        ("[[1]]", 'send a JSON object {"data": [[...], ...]}'),
        ('{"rows": []}', 'send a JSON object {"data": [[...], ...]}'),
        ('{"data": [7]}', "row 1 of data is no list; give 10 numbers: age, sex,"),
        ('{"data": [[0,0,0,0,0,0,0,0,0,0], [1, 2]]}', "row 2 of data has 2 values; give 10 numbers"),
        ('{"data": [[0,0,"x",0,0,0,0,0,0,0]]}', 'row 1 of data: bmi is "x"; give a number'),
        ('{"data": [[0,0,true,0,0,0,0,0,0,0]]}', "row 1 of data: bmi is true; give a number"),
        ('{"data": [[NaN,0,0,0,0,0,0,0,0,0]]}', "row 1 of data: age is NaN; give a number"),
        ('{"data": [[1' + "0" * 400 + ",0,0,0,0,0,0,0,0,0]]}", "row 1 of data: age is 1000"),
    ],
)
def test_bad_input_is_explained(body: str, said: str) -> None:
    """What is no list of ten-number rows is answered 400, with a message that says which part and what to send."""
    answer = score.run(body)
    assert answer.status_code == 400
    assert answer.message["message"].startswith(said)
    assert len(answer.message["message"]) < 200


def test_largest_numbers_stay_finite() -> None:
    """At the largest value that is accepted the answer is still a number JSON can carry."""
    assert math.isfinite(score.run(json.dumps({"data": [[1e300] * 10]}))[0])
