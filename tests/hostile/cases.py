"""All hostile requests. Names are unique: they are the ids of the tests and of what reaches the backend."""

from __future__ import annotations

import cases_body
import cases_connection
import cases_head
from case import Case

ALL: list[Case] = [*cases_body.ALL, *cases_head.ALL, *cases_connection.ALL]
BY_NAME = {case.name: case for case in ALL}
assert len(BY_NAME) == len(ALL), "two cases have the same name"
