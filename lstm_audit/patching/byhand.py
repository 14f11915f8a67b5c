"""A patch of a file that lies elsewhere: not done, but said in three lines that do it.

Comes in: a locator and the words of the target. Goes out: the lines, or the refusal that holds
them. Promise: no credential of the locator is in them.
"""

import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import NotPatchable
from ..raw.locators import is_remote, label


class Tools(NamedTuple):
    """The commands that fetch a file and bring it back; {url}, {name}, {repo}, {path}, {bucket} and
    {key} are put in.
    """

    fetch: str
    store: str


# For a scheme whose own tools are not known: fsspec itself.
FSSPEC = "python -c 'import fsspec, sys; f, p = fsspec.url_to_fs(sys.argv[1]); f.{}'"

ANY = Tools(
    FSSPEC.format("get(p, sys.argv[2])") + " {url} {name}",
    FSSPEC.format("put(sys.argv[2], p)") + " {url} {name}",
)
TOOLS = {
    "http": Tools("curl -fLO {url}", "curl -fT {name} {url}"),
    "https": Tools("curl -fLO {url}", "curl -fT {name} {url}"),
    "s3": Tools("aws s3 cp {url} {name}", "aws s3 cp {name} {url}"),
    "gs": Tools("gcloud storage cp {url} {name}", "gcloud storage cp {name} {url}"),
    "hf": Tools("hf download {repo} {path} --local-dir .", "hf upload {repo} {path} {path}"),
    "az": Tools(
        "az storage blob download -c {bucket} -n {key} -f {name}",
        "az storage blob upload --overwrite -c {bucket} -n {key} -f {name}",
    ),
}


def refuse_remote(paths: Iterable[str], words: Sequence[str]) -> None:
    """Raise `NotPatchable` for the first locator, with the lines that do by hand what the `words`
    of a target (`--forget-bias 1`) ask for.
    """
    for path in paths:
        if is_remote(path):
            lines = "\n".join(f"  {line}" for line in lines_by_hand(path, words))
            message = f"{label(path)} lies elsewhere, and only local files are patched; by hand:"
            raise NotPatchable(f"{message}\n{lines}")


def lines_by_hand(locator: str, words: Sequence[str]) -> list[str]:
    """Fetch, patch, bring back; with the credentials of the user's own tools."""
    url = label(locator)
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    parts = rest.split("/")
    name = parts[-1] or "model"
    path = "/".join(parts[2:]) or name
    places = {
        "url": url,
        "name": name,
        "repo": "/".join(parts[:2]).partition("@")[0],
        "path": path,
        "bucket": bucket,
        "key": key,
    }
    quoted = {word: shlex.quote(value) for word, value in places.items()}
    tools = TOOLS.get(scheme, ANY)
    file = path if scheme == "hf" else name
    return [
        tools.fetch.format(**quoted),
        shlex.join(["lstm-audit", "patch", file, *words]),
        tools.store.format(**quoted),
    ]
