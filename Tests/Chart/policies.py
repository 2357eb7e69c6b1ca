"""Judges requests by a ValidatingAdmissionPolicy as the API server does, with PyPI's cel-python for its expressions."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import celpy
from celpy.adapter import json_to_cel

Json = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request."""

    refusals: list[str]
    """The messages of all validations that fail; the API server tells them too."""

    @property
    def admits(self) -> bool:
        """Whether the request goes through."""
        return not self.refusals


@functools.cache
def _program(expression: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def judge(
    policy: Json,
    operation: str,
    new: Json | None,
    old: Json | None = None,
    params: Json | None = None,
    user: str = "nobody",
) -> Verdict:
    """Evaluates variables and validations. An expression that fails is a mistake in the policy, and raises."""
    known: dict[str, Any] = {
        "object": json_to_cel(new),
        "oldObject": json_to_cel(old),
        "params": json_to_cel(params),
        "request": json_to_cel({"operation": operation, "userInfo": {"username": user}}),
    }
    variables: dict[Any, Any] = {}
    for variable in policy["spec"].get("variables", []):
        known["variables"] = celpy.celtypes.MapType(variables)
        variables[celpy.celtypes.StringType(variable["name"])] = _program(variable["expression"]).evaluate(known)
    known["variables"] = celpy.celtypes.MapType(variables)
    refusals = []
    for validation in policy["spec"]["validations"]:
        if not bool(_program(validation["expression"]).evaluate(known)):
            refusals.append(validation["message"])
    return Verdict(refusals)
