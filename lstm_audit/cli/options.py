"""Every option of every command, as rows of one table.

Comes in: nothing. Goes out: `FORMS`, a row a word that a command takes. Promise: an option is
spelled, typed, explained and placed under its heading here and nowhere else; click's options, the
manuals, completion and the reader without click (`plain`) are all made from these rows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..policy.key import Flag
from ..policy.keys import STAT, is_demand
from ..policy.keys import flags as policy_flags
from ..targets import TARGETS, TargetRow
from .forms import (
    Argument,
    Form,
    GivenOptions,
    Option,
    formats,
    page_file,
    positive,
    read_count,
    read_decimal,
    read_share,
    read_whole,
    report_file,
)

# When a report is coloured.
COLORS = ("auto", "always", "never")


# ---- rows that several commands share

PATHS = Argument("paths", "PATH...", many=True, complete="files")

LAYERS = Option(
    "layers",
    ("-l", "--layers"),
    "Only LSTMs whose address (encoder.lstm:l0:reverse) or module matches the glob; repeatable.",
    parse=str,
    metavar="PATTERN",
    many=True,
    complete="layers",
)
JOBS = Option(
    "jobs",
    ("-j", "--jobs"),
    "Processes, threads for URLs; 0 means one a core.",
    read_count,
    metavar="N",
    default=1,
)
EXCLUDE = Option(
    "exclude",
    ("--exclude",),
    "Leave out files that match the glob, as in .gitignore; repeatable.",
    parse=str,
    metavar="GLOB",
    many=True,
)
SHOW_IGNORED = Option(
    "show_ignored",
    ("--show-ignored",),
    "List on stderr the files of a folder that are no checkpoints.",
)
DOWNLOAD = Option(
    "download",
    ("--download",),
    "Of a web server that serves no ranges, read files whole, into a temporary file.",
)
DASK = Option(
    "dask",
    ("--dask",),
    "Let the workers of a dask cluster read the files.",
    parse=str,
    metavar="ADDRESS",
)
RESUME = Option(
    "resume",
    ("--resume",),
    "Keep the results in a file, and go on from those that stand there.",
    parse=str,
    metavar="RESULTS.jsonl",
    complete="files",
)
RUN = (LAYERS, EXCLUDE, JOBS, SHOW_IGNORED, DOWNLOAD, DASK, RESUME)

CONFIG = Option(
    "config",
    ("--config",),
    "This policy, not the nearest one above.",
    str,
    metavar="FILE",
    complete="files",
)
NO_CONFIG = Option("no_config", ("--no-config",), "Look for no configuration file.")
VERIFY = Option(
    "verify",
    ("--verify",),
    "Check the checksum of every bias record, however large: reads it whole.",
)

REPORT = (
    Option(
        "format_name",
        ("-f", "--format"),
        "What stdout carries.",
        str,
        default="table",
        choices=formats,
        told=True,
    ),
    Option("as_json", ("--json",), "The same as --format json."),
    Option(
        "output",
        ("-o", "--output"),
        "Write the report to a file, not stdout.",
        str,
        metavar="FILE",
        complete="files",
    ),
    Option(
        "reports",
        ("--report",),
        "One more report in the same run; repeatable.",
        report_file,
        metavar="FORMAT=FILE",
        many=True,
        complete="reports",
    ),
    Option(
        "color",
        ("--color",),
        "NO_COLOR is honoured.",
        str,
        default="auto",
        choices=lambda: COLORS,
    ),
    Option("quiet", ("-q", "--quiet"), "No progress, and no advice in the table."),
    Option("verbose", ("-v", "--verbose"), "Every LSTM and every finding, however many."),
    Option(
        "statistics",
        ("--statistics",),
        "Counts by rule, initialiser and format, a histogram, the worst files (table, json, html).",
    ),
)


# A policy's key brings its own flags (`policy/keys.py`); here they become rows like all others, so
# that a new key needs no line in this file.
def option_of(flag: Flag) -> Option:
    """The row of a policy's flag; what has no metavar is a yes or no."""
    parsers: dict[str, Callable[[str], Any]] = {
        "text": str,
        "number": read_decimal,
        "share": read_share,
    }
    parse = parsers[flag.kind] if flag.metavar else None
    return Option(
        flag.name,
        (flag.spelling,),
        flag.help,
        parse,
        metavar=flag.metavar,
        many=flag.many,
        off=flag.off,
        complete=flag.complete,
    )


_ROWS = policy_flags()
SELECTION = (*(option_of(flag) for key, flag in _ROWS if not is_demand(key)), VERIFY)
BOUNDS = (
    *(option_of(flag) for _, flag in _ROWS if flag.part),
    option_of(STAT),
    *(option_of(flag) for key, flag in _ROWS if is_demand(key) and not flag.part),
)
POLICY: Mapping[str, tuple[Option, ...]] = {
    "Policy": (CONFIG, NO_CONFIG, *SELECTION),
    "Bounds of the forget gate, over the means of its units unless --stat is given": BOUNDS,
}

VERDICT = (
    Option(
        "baseline",
        ("--baseline",),
        "Accept the findings that are listed there.",
        str,
        metavar="FILE",
        complete="files",
    ),
    Option(
        "update_baseline",
        ("--update-baseline",),
        "Write the findings of this run into --baseline, and pass.",
    ),
    Option("allow_skipped", ("--allow-skipped",), "Pass although an LSTM could not be judged."),
    Option("exit_zero", ("--exit-zero",), "Exit 0 also when there are findings."),
)

# How a patch is carried out: one of these at most.
MODES = (
    Option("dry_run", ("-n", "--dry-run"), "Say what would change, and change nothing."),
    Option("diff", ("--diff",), "Show the bytes that would change; exit 1 if there are any."),
    Option("check", ("--check",), "Exit 1 if something would change."),
    Option(
        "in_place",
        ("--in-place",),
        "Write just the bytes, under a journal; keeps inode and hard links.",
    ),
    Option(
        "output",
        ("-o", "--output"),
        "Write the patched checkpoint to a new file.",
        str,
        metavar="FILE",
        complete="files",
    ),
)

COMPLETIONS = {"preset": "presets", "file": "files"}


def target_option(row: TargetRow) -> Option:
    """The option of `patch` that names a target."""
    metavar, complete = ",".join(row.arguments), COMPLETIONS.get(row.kind, "")
    return Option(row.keyword, (row.option,), row.help, str, metavar=metavar, complete=complete)


FIXES = (
    Option("fix", ("--fix",), "Patch what can be mended without losing what was learned."),
    Option(
        "unsafe_fixes",
        ("--unsafe-fixes",),
        "--fix, also where something learned is overwritten.",
    ),
    Option(
        "diff",
        ("--diff",),
        "Show what the fixes would change, and change nothing; exit 1 if anything.",
    ),
)


# ---- the commands

FORMS: Mapping[str, Form] = {
    "audit": Form(
        (PATHS,),
        {
            "What to audit": (
                *RUN,
                Option(
                    "no_init",
                    ("--no-init",),
                    "Numbers only: no forensics, no rules; the fastest.",
                ),
                VERIFY,
                CONFIG,
                NO_CONFIG,
            ),
            "Reports": REPORT,
        },
    ),
    "check": Form(
        (PATHS,),
        {"What to check": RUN, **POLICY, "Verdict": VERDICT, "Fixes": FIXES, "Reports": REPORT},
    ),
    "lint": Form(
        (PATHS,),
        {
            "What to lint": (
                EXCLUDE,
                JOBS,
                Option(
                    "markdown",
                    ("--markdown",),
                    "In folders, the Python blocks of Markdown files, too.",
                ),
                Option(
                    "stdin_filename",
                    ("--stdin-filename",),
                    "What standard input is called in the report.",
                    str,
                    metavar="FILE",
                    default="stdin.py",
                    told=True,
                ),
                Option(
                    "show_unjudged",
                    ("--show-unjudged",),
                    "Name on stderr what could not be followed, and why.",
                ),
            ),
            "Fixes": (
                Option("fix", ("--fix",), "Apply the edits that were proven to mend a finding."),
                Option(
                    "unsafe_fixes", ("--unsafe-fixes",), "Also those that change more than it asks."
                ),
                Option("diff", ("--diff",), "Show the edits; exit 1 if there are any."),
            ),
            "Policy": (CONFIG, NO_CONFIG, *SELECTION[:3]),
            "Verdict": (VERDICT[0], VERDICT[1], VERDICT[3]),
            "Reports": REPORT,
        },
    ),
    "patch": Form(
        (PATHS,),
        {
            "Target, exactly one": tuple(map(target_option, TARGETS.values())),
            "What is written": (
                LAYERS._replace(help="Only LSTMs that match the glob; repeatable."),
                Option(
                    "place",
                    ("--place",),
                    "Which half gets the value.",
                    str,
                    default="ih",
                    choices=lambda: ("ih", "hh", "split"),
                    told=True,
                ),
                CONFIG._replace(help="Conventions of one's own from this policy, not the nearest."),
                NO_CONFIG,
                Option(
                    "no_couple",
                    ("--no-couple",),
                    "Leave the input gate alone, also where the preset couples it.",
                ),
                Option(
                    "seed",
                    ("--seed",),
                    "For random presets.",
                    read_whole,
                    metavar="N",
                    default=0,
                    told=True,
                ),
            ),
            "How, one at most": MODES,
            "Options": (
                Option("no_undo", ("--no-undo",), "Keep no undo record."),
                Option("as_json", ("--json",), "What was or would be done, as JSON."),
                Option(
                    "pages",
                    ("--report",),
                    "A page of before and after; repeatable.",
                    page_file,
                    metavar="html=FILE",
                    many=True,
                    complete="files",
                ),
                Option("quiet", ("-q", "--quiet"), "No progress and no warnings."),
            ),
        },
    ),
    "undo": Form(
        (PATHS,),
        {
            "Options": (
                MODES[3],
                Option(
                    "sidecar",
                    ("--sidecar",),
                    "Believe this journal or undo record, though another user owns it.",
                    str,
                    metavar="FILE",
                    complete="files",
                ),
                Option("quiet", ("-q", "--quiet"), "Say nothing but errors."),
            )
        },
    ),
    "diff": Form(
        (Argument("a", "A", complete="files"), Argument("b", "B", complete="files")),
        {
            "Options": (
                LAYERS._replace(help="Only LSTMs that match the glob; repeatable."),
                Option("as_json", ("--json",), "The comparison as JSON."),
                Option(
                    "diff_format",
                    ("-f", "--format"),
                    "What stdout or --output carries; html is a page of before and after.",
                    str,
                    default="table",
                    choices=lambda: ("table", "json", "html"),
                    told=True,
                ),
                *(row for row in REPORT if row.name == "output"),
                DOWNLOAD,
                Option("fail_on_change", ("--fail-on-change",), "Exit 1 when anything differs."),
                Option(
                    "match",
                    ("--match",),
                    "An LSTM (or module) of A and its name in B; repeatable.",
                    str,
                    metavar="A=B",
                    many=True,
                ),
            )
        },
    ),
    "trend": Form(
        (PATHS,),
        {
            "What to follow": (LAYERS, EXCLUDE, JOBS, DOWNLOAD),
            "Bounds that the page draws, of the policy unless they are given": (
                CONFIG,
                NO_CONFIG,
                *(row for row in BOUNDS if row.name not in ("stat", "init")),
            ),
            "Options": (
                Option("as_json", ("--json",), "The same as --format json."),
                Option(
                    "trend_format",
                    ("-f", "--format"),
                    "What stdout or --output carries.",
                    str,
                    default="table",
                    choices=lambda: ("table", "json", "csv", "html"),
                    told=True,
                ),
                *(row for row in REPORT if row.name in ("output", "quiet")),
            ),
        },
    ),
    "rules": Form(
        (Argument("codes", "[CODE]...", many=True, required=False, complete="rules"),),
        {"Options": (Option("as_json", ("--json",), "The catalogue as JSON."),)},
    ),
    "explain": Form((Argument("code", "CODE", complete="rules"),), {}),
    "presets": Form(
        (Argument("names", "[PRESET]...", many=True, required=False, complete="presets"),),
        {
            "Options": (
                Option(
                    "hidden_size",
                    ("--hidden-size",),
                    "At which activation and time scale are shown.",
                    positive,
                    metavar="H",
                    default=512,
                    told=True,
                ),
            )
        },
    ),
    "config": Form(
        (), {**POLICY, "Options": (Option("as_json", ("--json",), "The policy as JSON."),)}
    ),
    "schema": Form(
        (
            Argument(
                "what",
                "{report|policy|statistics}",
                choices=lambda: ("report", "policy", "statistics"),
            ),
        ),
        {},
    ),
}


def flags_of(given: GivenOptions, rows: Sequence[Option] = (*SELECTION, *BOUNDS)) -> dict[str, Any]:
    """What was given of some rows, of those that the policy reads unless others are named."""
    values = {row.name: getattr(given, row.name, row.unset) for row in rows}
    return {row.name: values[row.name] for row in rows if values[row.name] != row.unset}
