"""`audit` and `check`, once their arguments are understood.

Comes in: the arguments as values. Goes out: reports, and an exit code. Promise: nothing here needs
click, whose import takes longer than an audit.
"""

from typing import TYPE_CHECKING, Any

from ..errors import BadPolicy
from ..fleet import audit_paths
from ..pipeline import MAX_SECONDS, Request
from . import exits
from .output import Progress, emit

if TYPE_CHECKING:
    from ..policy.model import Policy

Reports = tuple[tuple[str, str], ...]
"""(format, file) of every further report."""


def audit(
    paths: tuple[str, ...],
    layers: tuple[str, ...] = (),
    jobs: int = 1,
    no_init: bool = False,
    verify: bool = False,
    config: str | None = None,
    no_config: bool = False,
    format_name: str = "table",
    output: str | None = None,
    reports: Reports = (),
    color: str = "auto",
    quiet: bool = False,
) -> int:
    """Report; the policy in force says what is shown, as in `check`, but nothing asks for an
    LSTM.
    """
    if no_init and (verify or config):
        raise BadPolicy("--verify and --config are about rules, and --no-init leaves the rules out")
    if no_init:
        request = Request(layers, numbers_only=True, seconds=MAX_SECONDS)
    else:
        policy = policy_of(config, no_config, verify=verify or None)
        request = Request(layers, policy._replace(require_lstm=False), seconds=MAX_SECONDS)
    progress = Progress(quiet)
    found = audit_paths(paths, request, jobs, progress)
    progress.end()
    emit(
        found,
        format_name,
        output,
        reports,
        color,
        quiet,
        kept=[request.policy and request.policy.file],
    )
    return exits.of_audit(found)


def check(
    paths: tuple[str, ...],
    layers: tuple[str, ...] = (),
    jobs: int = 1,
    config: str | None = None,
    no_config: bool = False,
    baseline: str | None = None,
    update_baseline: bool = False,
    allow_skipped: bool = False,
    exit_zero: bool = False,
    format_name: str = "table",
    output: str | None = None,
    reports: Reports = (),
    color: str = "auto",
    quiet: bool = False,
    **flags: Any,
) -> int:
    """Report as `audit` does, and fail when the policy under `flags` is broken."""
    if update_baseline and baseline is None:
        raise BadPolicy("--update-baseline needs --baseline FILE")
    policy = policy_of(config, no_config, **flags)
    progress = Progress(quiet)
    request = Request(layers, policy, seconds=MAX_SECONDS)
    found = shown = audit_paths(paths, request, jobs, progress)
    progress.end()
    if baseline is not None:
        from .baseline import accept, only, unaccepted

        if update_baseline:
            accept(baseline, found, request)
        shown = only(found, () if update_baseline else unaccepted(baseline, found, request, quiet))
    emit(
        shown,
        format_name,
        output,
        reports,
        color,
        quiet,
        policy.fail_on,
        kept=[policy.file, baseline],
    )
    return exits.of_check(
        found, policy, shown.findings, allow_skipped=allow_skipped, exit_zero=exit_zero
    )


def policy_of(config: str | None, no_config: bool, **flags: Any) -> "Policy":
    """The file's policy under the flags that were given; raises `BadPolicy`."""
    from ..policy.load import load_policy

    if config is not None and no_config:
        raise BadPolicy("--config and --no-config exclude each other")
    policy = load_policy(config, use_config=not no_config)
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if not given:
        return policy
    from ..policy.flags import with_flags

    return with_flags(policy, **given)
