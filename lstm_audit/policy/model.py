"""What a policy is: settings, and overrides of them for some files and layers.

Comes in: nothing. Goes out: `Policy`, frozen and picklable. Promise: every value knows where it was
set.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from ..result import quote_for_repr
from ..tuples import NamedTuple
from .keys import defaults

if TYPE_CHECKING:
    from ..lstm.own import Own

# The dotted name of a key to its value; see `keys`.
Settings = Mapping[str, Any]


class Override(NamedTuple):
    """Settings for the files and layers that match; an empty tuple of globs matches all."""

    files: tuple[str, ...]
    layers: tuple[str, ...]
    settings: Settings


class Policy(NamedTuple):
    """Everything that a verdict depends on.

    `folder` is the one that `files` globs are relative to, empty without a configuration file.
    `conventions` are the user's own, of which `find_lstms` knows first. `origins` maps the keys
    that `describe` shows to where they were set; what is missing there is a default.
    """

    settings: Settings = defaults()  # nothing writes to it
    overrides: tuple[Override, ...] = ()
    folder: str = ""
    file: str | None = None
    origins: Mapping[str, str] = {}
    conventions: "tuple[Own, ...]" = ()

    def __repr__(self) -> str:
        said = f"{len(self.origins)} keys set, {len(self.overrides)} overrides"
        return f"<Policy {quote_for_repr(self.file or 'defaults')}: {said}>"

    @property
    def fail_on(self) -> str:
        """The mildest severity that fails a run, or never."""
        return str(self.settings["fail-on"])

    @property
    def require_lstm(self) -> bool:
        """Whether a run without an LSTM fails."""
        return bool(self.settings["require-lstm"])

    @property
    def has_patterns(self) -> bool:
        """Whether something in it is meant for some files or layers, and may match none."""
        return bool(self.overrides or self.conventions)

    def having(self, key: str, value: object) -> Self:
        """The same policy but for one key on the top."""
        return self._replace(settings={**self.settings, key: value})
