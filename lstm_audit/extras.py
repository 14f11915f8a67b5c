"""The line of pip that brings an extra.

Comes in: an extra's name. Goes out: the packages that pip is to install. Promise: the line works
wherever this package came from, a clone, a folder or an index: it names the packages themselves.
"""

import re


def pip_line(extra: str) -> str:
    """`pip install 's3fs>=2024.2'` for `s3`, by what this package was installed with."""
    from importlib import metadata  # 20 ms that only a missing package costs

    try:
        wanted = metadata.requires("lstm-audit") or []
    except metadata.PackageNotFoundError:  # run from a folder that was never installed
        wanted = []
    marker = re.compile(rf"""extra *== *["']{re.escape(extra)}["']""")
    packages = [one.partition(";")[0].strip() for one in wanted if marker.search(one)]
    quoted = " ".join(f"'{one}'" for one in packages or [f"lstm-audit[{extra}]"])
    return f"pip install {quoted}"
