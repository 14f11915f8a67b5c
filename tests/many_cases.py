"""Audits of many LSTMs and many files."""

from report_cases import lstm, measured

from lstm_audit.facts import FileAudit, Finding


def default(path: str, module: str, f: float) -> Finding:
    """LA108 in the words of the rule, with a number of its own."""
    message = (
        f"PyTorch's default: the forget gate starts at {f:.3f} (median time scale "
        f"{3 * f:.3g} steps); choose a forget bias, 1 for instance"
    )
    return Finding(
        "LA108",
        "default-untouched",
        "info",
        path,
        module,
        0,
        "forward",
        message,
        measured=f,
        convention="torch",
    )


def model(path: str, lstms: int, severity: str = "info") -> FileAudit:
    names = [f"encoder.layers.{k}.lstm" for k in range(lstms)]
    rows = tuple(measured(lstm(name), [0.001 * k]) for k, name in enumerate(names))
    found = tuple(default(path, name, 0.48 + k * 0.001) for k, name in enumerate(names))
    return FileAudit(
        path, "torch-zip", 1, rows, (), tuple(f._replace(severity=severity) for f in found)
    )
