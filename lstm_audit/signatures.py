"""Keywords spelled out where a person looks: in `help`, in a tooltip, behind TAB.

Comes in: a function that takes `**keywords`, and their names. Goes out: its signature with each of
them. Promise: the function itself stays as it is; `inspect.signature` alone reads this.
"""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from typing import Any


def write_signature(function: Callable[..., Any], keywords: Mapping[str, Any]) -> Signature:
    """The signature with a keyword, None unless given, for each of these names and types."""
    plain = signature(function)
    kept = [p for p in plain.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    own = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in keywords.items()
        if name not in plain.parameters
    ]
    return plain.replace(parameters=[*kept, *own])
