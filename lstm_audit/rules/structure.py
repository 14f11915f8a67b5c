"""LA401 to LA405: an LSTM that lacks a part, or parts that do not fit together.

Comes in: a `Case`, or what a file's search skipped. Goes out: hits. Promise: nothing is said twice;
what was skipped for other reasons (a GRU, an optimizer's state) is no finding.
"""

from collections.abc import Iterator

from ..lstm.conventions import CONVENTIONS
from ..lstm.layer import halves_overlap
from . import Case, Evidence, Hit, at, rule

# The conventions under which a bias_ih without a bias_hh is a loss.
PAIRED = frozenset(convention.name for convention in CONVENTIONS if convention.pairs)


@rule("LA401", "bias-missing", "info")
def bias_missing(case: Case) -> Iterator[Hit]:
    """The LSTM has no bias (bias=False).

    What it sees: weights without any bias of the forget gate.

    Why it hurts: perhaps it does not; but the forget gate is at one half whenever its input is
    small, no forget bias can be set, and an option of the training script that says otherwise was
    ignored.

    Example: f = 0.5 exactly, the half-life of the memory is 1 step.

    Fix: there are no bytes for `lstm-audit patch` to write. Build the LSTM with a bias, and copy
    the weights:

        biased = nn.LSTM(lstm.input_size, H, lstm.num_layers)
        biased.load_state_dict(lstm.state_dict(), strict=False)
        biased.bias_ih_l0.data[H : 2 * H] = 1.0
        biased.bias_hh_l0.data[H : 2 * H] = 0.0

    References: torch.nn.LSTM, argument `bias`; pytorch/pytorch#34800.
    """
    if not case.lstm.gates["f"] and not case.lstm.coupled:
        mean, half = case.measures.activation.mean, case.measures.half_life.p50
        message = (
            f"no bias (bias=False): the forget activation at rest is {mean:.3g} in all "
            f"{case.lstm.hidden_size} units, "
            f"the half-life {half:.3g} steps; a forget bias needs an LSTM built with bias=True"
        )
        yield at(case.lstm, message, measured=0, expected=case.lstm.hidden_size)


@rule("LA402", "shapes-disagree", "error", scope="file")
def shapes_disagree(evidence: Evidence) -> Iterator[Hit]:
    """The tensors of one LSTM contradict each other, or the class that the file names.

    What it sees: a bias whose length fits no multiple of the hidden size that the recurrent weight
    has, a gate without a bias where the others have one, or a pickled class that says something
    else than the shapes.

    Why it hurts: such a model cannot be loaded, or is loaded as something that nobody meant. It was
    not judged.

    Example: weight_hh_l0 is (24, 6), so H = 6 and a bias has 24 elements; bias_hh_l0 has 32.

    Fix: `lstm-audit patch` does not write into it. Load it strictly where it was made, and save it
    anew:

        model = build_model()
        model.load_state_dict(state, strict=True)
        torch.save(model.state_dict(), "model.pt")

    References: torch.nn.LSTM, "Variables": the shapes of its parameters.
    """
    for module, details in _because(evidence, "conflicting-evidence"):
        message = (
            f"not judged, its parts disagree: {details}; save the model anew from where it can be "
            "loaded"
        )
        yield Hit(message, "conflicting shapes", "4 gates of one size", module)


@rule("LA403", "half-missing", "warning")
def half_missing(case: Case) -> Iterator[Hit]:
    """One of the two bias halves is not in the file.

    What it sees: a bias_ih without its bias_hh, or the other way round, under a convention that
    always keeps both.

    Why it hurts: the missing half is counted as 0 here. A loader that is not strict leaves whatever
    the constructor drew, so the effective bias is that of the file only up to ±1/√H, and changes
    with the seed.

    Example: bias_hh_l0 is missing, H = 64: f starts at 0.731 by the file, between 0.706 and 0.755
    once loaded.

    Fix: `lstm-audit patch` writes the half that is there; add the other one, as zeros:

        state = torch.load("model.pt", weights_only=True)
        state["bias_hh_l0"] = torch.zeros_like(state["bias_ih_l0"])
        torch.save(state, "model.pt")

    References: torch.nn.Module.load_state_dict, `strict`; pytorch/pytorch#750 on the redundant
    half.
    """
    lstm = case.lstm
    halves = {term.half for term in lstm.gates["f"]}
    if len(halves) == 1 and lstm.convention in PAIRED:
        there = halves.pop()
        missing, mean = "hh" if there == "ih" else "ih", case.measures.gates["f"].mean
        message = (
            f"bias_{missing} is missing and counted as 0: the mean forget bias is {mean:.3g} by "
            f"bias_{there} alone, "
            f"but a loader may leave a random bias_{missing} (±{lstm.hidden_size**-0.5:.2g}); "
            "store it as zeros"
        )
        yield at(lstm, message, measured=1, expected=2)


@rule("LA404", "ambiguous-cell", "warning", scope="file")
def ambiguous_cell(evidence: Evidence) -> Iterator[Hit]:
    """Something recurrent could be more than one kind of cell, so it was not judged.

    What it sees: names of a recurrence whose shapes, class and neighbours do not settle what it is:
    biases without the recurrent weight, a stack whose directions cannot be told, names that two
    frameworks use with other gate orders.

    Why it hurts: nn.LSTM, nn.GRU and nn.RNN use the very same names. A bias of 24 elements is an
    LSTM of 6 units or a GRU of 8; whoever guesses reads the wrong gate.

    Example: a file with bias_ih_l0 and bias_hh_l0 of 24 elements, and no weight_hh_l0.

    Fix: `lstm-audit patch` does not write into it. Save the whole state dict, with the recurrent
    weights:

        state = model.state_dict()
        biases = [name for name in state if "bias_hh" in name]
        assert all(name.replace("bias", "weight") in state for name in biases)
        torch.save(state, "model.pt")

    References: torch/nn/modules/rnn.py: RNNBase gives all three cells their names.
    """
    for module, details in _because(evidence, "ambiguous"):
        message = (
            f"not judged: {details}; save all tensors of the module, or the module with its class"
        )
        yield Hit(message, "ambiguous", "1 kind of cell", module)


def _because(evidence: Evidence, reason: str) -> Iterator[tuple[str, str]]:
    """The modules that were skipped for one reason, with what was found; a baseline wants one
    finding a module.
    """
    found: dict[str, dict[str, None]] = {}
    for skipped in evidence.skipped:
        if skipped.reason == reason:
            found.setdefault(skipped.module, {})[skipped.detail] = None
    for module, details in found.items():
        more = f" (and {len(details) - 1} more of its layers)" if len(details) > 1 else ""
        yield module, next(iter(details)) + more


@rule("LA405", "aliased-halves", "error")
def aliased_halves(case: Case) -> Iterator[Hit]:
    """bias_ih and bias_hh are one and the same storage.

    What it sees: the forget blocks of both halves share bytes of the file.

    Why it hurts: whatever is written into one half is in the other too: every value counts twice, a
    patch of one half would change both, and training takes every step twice.

    Example: `lstm.bias_hh_l0 = lstm.bias_ih_l0` and a forget bias of 1: the effective bias is 2.

    Fix: `lstm-audit patch` refuses it, since no value of one half alone can be written. Part the
    halves:

        with torch.no_grad():
            lstm.bias_hh_l0 = nn.Parameter(torch.zeros_like(lstm.bias_ih_l0))
        torch.save(lstm.state_dict(), "model.pt")

    References: torch.save keeps views of one storage; torch.nn.LSTM adds b_ih and b_hh.
    """
    if halves_overlap(case.lstm):
        mean = case.measures.gates["f"].mean
        message = (
            "bias_ih and bias_hh are one storage, so every value counts twice: the mean forget "
            f"bias is {mean:.4g}, "
            f"each half {mean / 2:.4g}; give bias_hh a tensor of its own, of zeros"
        )
        yield at(case.lstm, message, measured=mean, expected=mean / 2)
