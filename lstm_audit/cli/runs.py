"""What `audit` and `check` share: the policy that was asked for, and the audit itself.

Comes in: what was given on the command line. Goes out: a `Policy`, an `Audit`. Promise: nothing
here needs click, whose import takes longer than an audit.
"""

from typing import TYPE_CHECKING

from ..errors import BadPolicy
from ..facts import Audit
from ..fleet import audit_paths
from ..pipeline import Request
from ..policy.unmatched import refuse_unmatched
from ..reports.words import escape
from .options import Given, flags_of
from .output import Progress, tell

if TYPE_CHECKING:
    from ..policy.model import Policy


def audit_given(given: Given, request: Request) -> Audit:
    """The audit of the paths, with progress on a terminal."""
    progress = Progress(given.quiet)
    found = audit_paths(given.paths, request, given.jobs, progress, exclude=given.exclude)
    progress.end()
    refuse_unmatched([found], request.layers, request.policy)
    for path in found.ignored_paths if given.show_ignored else ():
        tell(f"ignored: {escape(path, limit=None)}")
    return found


def policy_of(given: Given) -> "Policy":
    """The file's policy under the flags that were given; raises `BadPolicy`."""
    from ..policy.load import load_policy

    if given.config is not None and given.no_config:
        raise BadPolicy("--config and --no-config exclude each other")
    policy = load_policy(given.config, use_config=not given.no_config)
    flags = flags_of(given)
    if "select" in flags or "ignore" in flags:
        from .catalogue import as_codes  # the rules, which a policy of numbers never needs

        for key in flags.keys() & {"select", "ignore"}:
            flags[key] = as_codes(flags[key])
    if not flags:
        return policy
    from ..policy.flags import with_flags

    return with_flags(policy, **flags)
