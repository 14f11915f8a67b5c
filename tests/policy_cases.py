"""Policies: the example of the contract, and trees of TOML that may be one."""

from typing import Any

from hypothesis import strategies as st

from lstm_audit.policy.keys import KEYS
from lstm_audit.policy.toml import names_on_top

SPEC = """
select = ["LA"]
ignore = ["LA108"]
fail-on = "error"
require-lstm = true

[forget]
activation = { stat = "mean", min = 0.70, max = 0.98 }
bias = { stat = "mean", target = 1.0, tolerance = 0.05 }
time-scale = { stat = "p95", min = 50 }
init = "chrono:784"

[[override]]
files = "checkpoints/init/*.pt"
layers = "decoder.*"
forget.bias = { min = 0.5 }
ignore = ["LA103"]
"""

PARTS = {key.name.partition(".")[2]: key.quantity.parts for key in KEYS if key.quantity is not None}

LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(),
    st.sampled_from(["LA", "LA1", "LA101", "ALL", "error", "never", "mean", "each", "chrono:784", "unit", "*.pt"]),
    st.sampled_from([0, 0.5, 1, 2, 10**400]),
)  # fmt: skip
WORDS = st.sampled_from(
    [
        *names_on_top(),
        *names_on_top(layered=True),
        *PARTS,
        "init",
        *PARTS["bias"],
        "LA101",
        "LA302",
        "severity",
        "least",
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


def bounds(key: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(
        st.sampled_from(PARTS[key]), st.sampled_from([0, 0.5, 1, "mean", "p95"]), max_size=3
    )


FORGET = st.fixed_dictionaries(
    {},
    optional={
        **{k: bounds(k) | st.just(False) for k in PARTS},
        "init": st.sampled_from(["unit", "chrono:9"]),
    },
)
SELECTORS = st.lists(st.sampled_from(["ALL", "LA", "LA1", "LA101", "LA108"]), max_size=2)
SETTINGS: dict[Any, Any] = {
    "select": SELECTORS, "ignore": SELECTORS, "forget": FORGET,
    "rules": st.just({"LA101": {"least": 2, "severity": "info"}}),
}  # fmt: skip
GLOBS = st.sampled_from(["*.pt", "a/**", ["x", "y"], "enc*"])
OVERRIDES = st.fixed_dictionaries({}, optional={**SETTINGS, "files": GLOBS, "layers": GLOBS})
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        **SETTINGS,
        "fail-on": st.sampled_from(["error", "info"]),
        "require-lstm": st.booleans(),
        "override": st.lists(OVERRIDES, max_size=2),
    },
)
