"""LA501 to LA504: what only the source shows of how an LSTM is initialised.

Comes in: what the walk over a Python source has noted. Goes out: hits with a line. Promise: a rule
speaks of what the walk saw happen, not of how the code looks.
"""

from collections.abc import Iterator

from . import Evidence, Hit, Remark, rule


def _remarks(evidence: Evidence, code: str) -> Iterator[Remark]:
    return (remark for remark in evidence.remarks if remark.code == code)


def _at(remark: Remark, message: str, expected: str) -> Hit:
    return Hit(
        message,
        remark.words.get("measured"),
        expected,
        remark.module,
        severity=remark.severity,
        line=remark.line,
        column=remark.column,
    )


@rule("LA501", "init-overwritten", "warning", scope="file")
def overwritten(evidence: Evidence) -> Iterator[Hit]:
    """A forget bias was set, and what ran later wiped it.

    What it sees: the forget gate of an LSTM held a constant of its own, a later write replaced it
    by zeros or by draws, and nothing set it again. The finding stands at the write that wiped it.

    Why it hurts: the line that sets the bias is there, a reviewer sees it, and the model starts
    without it. It happens where a loop over all parameters, `apply(init_weights)` or
    `reset_parameters()` runs after the careful part.

    Example: `lstm.bias_ih_l0.data[H:2 * H].fill_(1)` and, three lines on, `for p in
    self.parameters(): nn.init.uniform_(p, -0.1, 0.1)`: the forget gate starts at 0.5.

    Fix: `lstm-audit patch` mends a checkpoint that was made so; in the source, set the bias last:

        for p in self.parameters():
            nn.init.uniform_(p, -0.1, 0.1)
        lstm_audit.patch(self.lstm, forget_bias=1.0)

    References: kefirski/pytorch_RVAE, whose reset_parameters draws over everything;
    mlcommons/training#430 for a scaling that came after.
    """
    for remark in _remarks(evidence, "LA501"):
        message = (
            f"the forget bias {remark.words['value']} that line {remark.words['line']} sets is "
            f"overwritten here by {remark.words['by']}; set it after this"
        )
        yield _at(remark, message, remark.words["value"])


@rule("LA502", "init-never-called", "info", scope="file")
def never_called(evidence: Evidence) -> Iterator[Hit]:
    """A function sets a forget gate, and nothing calls it on the LSTM.

    What it sees: a function or method that gives a forget gate a bias when it is run, which nothing
    in the source that was given calls, while an LSTM of the same source is left without one.

    Why it hurts: the recipe is written, and the model does not follow it. It may also be called
    from a file that was not given; hence only information.

    Example: `def init_forget_bias(self): ...` in a module whose `__init__` ends without calling it.

    Fix: nothing is wrong that `lstm-audit patch` could mend in the source; call it where the LSTM
    is made:

        self.lstm = nn.LSTM(input_size, hidden_size)
        self.init_forget_bias()

    References: torch.nn.Module calls only reset_parameters of its own layers, from their
    constructors.
    """
    for remark in _remarks(evidence, "LA502"):
        message = (
            f"{remark.words['function']} would set the forget bias, but nothing here calls it, and "
            f"{remark.words['lstm']} is left as it is; call it after the LSTM is made"
        )
        yield _at(remark, message, "a call")


@rule("LA503", "substring-layer", "warning", scope="file")
def substring_layer(evidence: Evidence) -> Iterator[Hit]:
    """A layer is looked for by a text that other layers' names hold, too.

    What it sees: `"l1" in name`, where name is a parameter of an LSTM and the text ends in a
    layer's number: it is also true of l10, l11 and so on, and of l1_reverse. It is an error where
    the LSTM of this source has such a layer, so that the wrong one is hit.

    Why it hurts: nothing shows up until somebody builds more than ten layers; then one layer is
    initialised twice, or with another's numbers.

    Example: `f"bias_ih_l{i}" in name` with twelve layers: i = 1 hits l1, l10 and l11.

    Fix: `lstm-audit patch` sets every layer by its number; in the source, compare the whole name:

        bias = getattr(lstm, f"bias_ih_l{i}")

    References: torch.nn.LSTM, "Variables": the names of its parameters.
    """
    for remark in _remarks(evidence, "LA503"):
        also = remark.words["also"]
        message = (
            f"{remark.words['text']!r} is looked for within a parameter's name, which is true of "
            f"{also}, too; compare the whole name, or take the parameter by getattr"
        )
        yield _at(remark, message, "one layer")


@rule("LA504", "in-place-on-leaf", "error", scope="file")
def in_place_on_leaf(evidence: Evidence) -> Iterator[Hit]:
    """A parameter is written in place while autograd watches it: torch raises.

    What it sees: an assignment or an in-place method on a parameter that requires grad, or on a
    slice of one, outside `torch.no_grad()` and without `.data` or `.detach()`.

    Why it hurts: the program ends there with "a view of a leaf Variable that requires grad is being
    used in an in-place operation", if that line is ever reached.

    Example: `self.lstm.bias_ih_l0[H:2 * H] = 1.0` in a constructor.

    Fix: `lstm-audit patch` is for checkpoints; in the source, write under no_grad:

        with torch.no_grad():
            self.lstm.bias_ih_l0[H : 2 * H] = 1.0

    References: torch/csrc/autograd/VariableTypeUtils.h, check_inplace; torch.nn.init writes under
    no_grad.
    """
    for remark in _remarks(evidence, "LA504"):
        message = (
            "this writes into a parameter that requires grad, which torch refuses at run time; "
            "write under torch.no_grad()"
        )
        yield _at(remark, message, "no_grad")
