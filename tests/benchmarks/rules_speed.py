"""What the rules cost an LSTM: `python tests/benchmarks/rules_speed.py`.

Comes in: a state dict of 100 LSTMs, H = 128, in memory. Goes out: milliseconds an LSTM, the best of
20 runs, for the rules alone; values, measures and forensics are done before the clock starts. The
goal is under 0.2.
"""

import io
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lstm_audit import formats
from lstm_audit.judge import init_of
from lstm_audit.lstm.find import find_lstms
from lstm_audit.lstm.measure import measure, read_values
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.rules import RULES, Case, Evidence, Setting, judge, subjects_of

POLICIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "defaults": {},
    "bounds, each unit": {
        "LA201": {"stat": "each", "target": 1.0},
        "LA202": {"stat": "each", "min": 0.7},
        "LA203": {"stat": "each", "min": 2.0},
    },
    "init = unit": {"LA204": {"preset": "unit"}},
    "init = chrono:784": {"LA204": {"preset": "chrono:784"}},
}


def evidence() -> Evidence:
    """25 two-layer bidirectional LSTMs as torch draws them: LA108 speaks on each."""
    torch.manual_seed(0)
    model = nn.ModuleDict({f"m{k}": nn.LSTM(16, 128, 2, bidirectional=True) for k in range(25)})
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    checkpoint = formats.read_checkpoint(span_all(BytesSource(buffer.getvalue())), _alone)
    cases = []
    for lstm in find_lstms(checkpoint).lstms:
        values = read_values(lstm)
        cases.append(Case(lstm, values, measure(lstm, values), init_of(lstm, values)))
    return Evidence("m.pt", checkpoint.format, tuple(cases), globals=checkpoint.globals)


def _alone(name: str) -> Span:
    raise AssertionError(f"{name} is not needed")


def main() -> None:
    """The table."""
    before = evidence()
    for name, policy in POLICIES.items():
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            settings = {code: Setting(policy.get(code, {})) for code in RULES}
            found = list(judge(before, dict.fromkeys(subjects_of(before), settings)))
            best = min(best, time.perf_counter() - start)
        print(f"{name:20} {1000 * best / len(before.cases):.4f} ms an LSTM, {len(found)} findings")


if __name__ == "__main__":
    main()
