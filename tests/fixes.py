"""Fixes for tests, from addresses as reports write them."""

from lstm_audit.facts import Fix
from lstm_audit.lstm.layer import Identity
from lstm_audit.targets import target


def identity(address: str, convention: str = "torch") -> Identity:
    module, layer, *reverse = address.rsplit(":", 2 if address.endswith(":reverse") else 1)
    return Identity(module, int(layer[1:]), "reverse" if reverse else "forward", convention)


def fix(name: str, value: float | str, *addresses: str, safe: bool = True) -> Fix:
    return Fix(target(name, value), tuple(map(identity, addresses)), safe)
