"""`lstm-audit patch`: write a chosen forget bias."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from ..errors import AuditError, BadPolicy
from ..patching import target as targets
from ..patching.checkpoint import Planned, apply_plan, mapped, plan
from ..patching.target import Target
from ..reports.words import escape
from . import complete, exits
from .help import Manual
from .output import Progress, say, tell
from .patched import changes_as_json, describe, describe_edits

MODES = ("dry_run", "diff", "check", "in_place", "output")


def refuse_missing(paths: Sequence[str]) -> None:
    """A path that does not exist is a usage error, and said before any file is touched."""
    for path in paths:
        if not os.path.lexists(path):
            raise click.UsageError(f"{escape(path)}: no such file")


def _pair(text: str) -> tuple[float, float]:
    steps, comma, share = text.partition(",")
    try:
        return float(steps), float(share if comma else "nan")
    except ValueError:
        raise click.UsageError(f"--horizon {text}: N,P was expected, such as 100,0.5") from None


def _from_file(path: str) -> Target:
    from ..lstm.find import find_lstms
    from ..lstm.measure import read_values
    from ..pipeline import opened

    with opened(path) as file:
        lstms = find_lstms(file.checkpoint).lstms
        return targets.copied(path, {lstm.address: read_values(lstm).forget for lstm in lstms})


HEADINGS = {
    "Target, exactly one": (
        "forget_bias", "activation", "time_scale", "half_life", "horizon", "shift", "preset",
        "source",
    ),
    "What is written": ("layers", "place", "no_couple", "seed"),
    "How, one at most": ("dry_run", "diff", "check", "in_place", "output"),
}  # fmt: skip

EPILOG = """\b
Examples:
  lstm-audit patch --forget-bias 1 model.pt
  lstm-audit patch --activation 0.95 --layers 'decoder.*' --dry-run model.pt
  lstm-audit patch --init chrono:784 --output chrono.pt model.pt
  lstm-audit undo model.pt
"""


@click.command("patch", cls=Manual, headings=HEADINGS, epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", shell_complete=complete.files)
@click.option("--forget-bias", type=float, metavar="B", help="The effective forget bias.")
@click.option("--activation", type=float, metavar="F", help="The forget activation, 0 < F < 1.")
@click.option(
    "--time-scale", type=float, metavar="T", help="Steps until 1/e of the memory is left."
)
@click.option(
    "--half-life", type=float, metavar="N", help="Steps until half of the memory is left."
)
@click.option("--horizon", metavar="N,P", help="Keep the share P after N steps.")
@click.option("--shift", type=float, metavar="D", help="Add D to what stands there.")
@click.option(
    "--init",
    "preset",
    metavar="PRESET",
    shell_complete=complete.presets,
    help="A named initialisation; see `lstm-audit presets`.",
)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    shell_complete=complete.files,
    help="The forget biases of another checkpoint, matched by address.",
)
@click.option(
    "-l",
    "--layers",
    multiple=True,
    metavar="PATTERN",
    shell_complete=complete.layers,
    help="Only LSTMs that match the glob; repeatable.",
)
@click.option(
    "--place",
    type=click.Choice(["ih", "hh", "split"]),
    default="ih",
    show_default=True,
    help="Which half gets the value.",
)
@click.option(
    "--no-couple",
    is_flag=True,
    help="Leave the input gate alone, also where the preset couples it.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="For random presets."
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--diff", is_flag=True, help="Show the bytes that would change; exit 1 if there are any."
)
@click.option("--check", is_flag=True, help="Exit 1 if something would change.")
@click.option(
    "--in-place",
    is_flag=True,
    help="Write just the bytes, under a journal; keeps inode and hard links.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    help="Write the patched checkpoint to a new file.",
)
@click.option("--no-undo", is_flag=True, help="Keep no undo record.")
@click.option("--json", "as_json", is_flag=True, help="What was or would be done, as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no warnings.")  # fmt: skip
def command(
    paths: tuple[str, ...], layers: tuple[str, ...], quiet: bool, as_json: bool, **given: Any
) -> None:
    """Write a chosen forget bias into checkpoints, and nothing else.

    Give exactly one target. The effective bias, the sum of both halves, is what is set: by default
    bias_ih gets the value and bias_hh becomes 0, in the forget gate only. The file is replaced at
    once by a verified copy, and FILE.undo.json lets `lstm-audit undo` restore the very same bytes.

    \b
    Exit codes:
      0  patched, or already at the target
      1  something would change (--check, --diff)
      2  usage
      3  a file was refused; it is as it was
    """
    refuse_missing((*paths, given["source"]) if given["source"] else paths)
    try:
        target = _target(given)
    except BadPolicy:
        raise
    except AuditError as error:
        tell(f"{escape(given['source'])}: refused: {error.message}")
        sys.exit(exits.UNREADABLE)
    if sum(bool(given[mode]) for mode in MODES) > 1:
        raise click.UsageError(
            "--dry-run, --diff, --check, --in-place and --output exclude each other"
        )
    if given["output"] and len(paths) > 1:
        raise click.UsageError("--output takes one FILE")
    codes, reports = [], []
    for path in paths:
        code, report = _one(path, target, layers, quiet, as_json, given)
        codes.append(code)
        reports += report
    if as_json:
        from json import dumps

        say(dumps({"schema": "lstm-audit/patch/1", "files": reports}, indent=2))
    sys.exit(exits.UNREADABLE if exits.UNREADABLE in codes else max(codes))


def _target(given: dict[str, Any]) -> Target:
    """The one target that was given."""
    makers: dict[str, Callable[[Any], Target]] = {
        "forget_bias": targets.forget_bias,
        "activation": targets.activation,
        "time_scale": targets.time_scale,
        "half_life": targets.half_life,
        "horizon": lambda text: targets.horizon(*_pair(text)),
        "shift": targets.shift,
        "preset": lambda text: targets.preset(
            text, seed=given["seed"], couple=not given["no_couple"]
        ),
        "source": _from_file,
    }
    chosen = [name for name in makers if given[name] is not None]
    if len(chosen) != 1:
        raise click.UsageError(
            "exactly one target is needed: --forget-bias, --activation, --time-scale, "
            "--half-life, --horizon, --shift, "
            "--init or --from"
        )
    return makers[chosen[0]](given[chosen[0]])


def _one(
    path: str,
    target: Target,
    layers: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    given: dict[str, Any],
) -> tuple[int, list[dict[str, Any]]]:
    """One checkpoint: planned, then written, shown or refused."""
    try:
        only_shown = given["dry_run"] or given["diff"] or given["check"]
        planned = plan(path, target, layers, given["place"], recover=not only_shown)
        if not quiet:
            _warn(planned, given["in_place"])
        undo = (
            None
            if only_shown or (not planned.changes and not given["output"])
            else _write(planned, quiet, given)
        )
    except AuditError as error:
        place = "" if error.at is None else f" at byte {error.at}"
        tell(f"{escape(path)}: refused{place}: {error.message}")
        return exits.UNREADABLE, [
            {"path": path, "error": {"kind": error.kind, "message": error.message}}
        ]
    if not as_json:
        say(describe(planned, done=not only_shown, undo=undo))
        if given["diff"]:
            say(describe_edits(planned))
    would = (given["diff"] or given["check"]) and planned.changes
    return exits.FINDINGS if would else exits.PASS, [
        changes_as_json(planned, written=not only_shown, undo=undo)
    ]


def _write(planned: Planned, quiet: bool, given: dict[str, Any]) -> list[str]:
    """Apply the plan; the undo records that were written."""
    progress = Progress(quiet, "bytes copied")
    mode = "in-place" if given["in_place"] else "output" if given["output"] else "replace"
    done = apply_plan(
        planned, mode=mode, output=given["output"], undo=not given["no_undo"], progress=progress  # type: ignore[arg-type]  # one of the three
    )  # fmt: skip
    progress.end()
    for note in dict.fromkeys(note for applied in done for note in applied.notes):
        tell(f"note: {note}")
    return [applied.undo for applied in done if applied.undo]


def _warn(planned: Planned, in_place: bool) -> None:
    warnings = list(planned.warnings)
    if in_place and (processes := mapped(planned)):
        warnings.append(
            f"the file is mapped by {', '.join(processes)}, which will see the new values at once"
        )
    for warning in warnings if planned.changes else ():
        tell(f"warning: {escape(planned.path)}: {escape(warning, limit=None)}")
