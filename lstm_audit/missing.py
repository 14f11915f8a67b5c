"""What to say of a path that is not there.

Comes in: what the user typed. Goes out: a sentence. Promise: the line that works, wherever it can
be guessed.
"""

import os
import re

from .spelling import nearest_file

NOT_THERE = "no such file or folder"
WINDOWS = re.compile(r"([A-Za-z]):[\\/]")
REMOTE = re.compile(r"[a-z][\w+.-]*://")
# A scheme whose colon or slashes went astray.
BROKEN = re.compile(r"(https?|s3|gs|hf|az)(?::/{0,2}|//)(?=\w)", re.IGNORECASE)
HOSTS = ("huggingface.co", "github.com", "raw.githubusercontent.com", "storage.googleapis.com")
HUB = re.compile(r"[\w-][\w.-]*/[\w-]+")


def explain_missing(path: str) -> str:
    """Why there is no such path, and what was meant: a near name, a mounted drive, a hub."""
    if drive := WINDOWS.match(path):
        rest = path[3:].replace("\\", "/")
        return f"a Windows path; under WSL it is /mnt/{drive[1].lower()}/{rest}"
    if REMOTE.match(path):
        return "it lies elsewhere, and only local files are read here: download it first"
    if url := _as_url(path):
        return f"{NOT_THERE}; did you mean {url}?"
    if near := _nearest(path):
        return f"{NOT_THERE}; did you mean {near}?"
    if HUB.fullmatch(path) and not os.path.isdir(os.path.dirname(path)):
        return f"{NOT_THERE}; a file of a Hugging Face repository is hf://{path}/FILE"
    return NOT_THERE


def _as_url(path: str) -> str:
    """The URL that is meant by `https:/HOST/...`, `https//HOST/...` and `www.HOST/...`; else
    nothing.
    """
    if broken := BROKEN.match(path):
        return f"{broken[1].lower()}://{path[broken.end() :]}"
    host, slash, _ = path.partition("/")
    known = host.startswith("www.") or host in HOSTS
    return f"https://{path}" if slash and known and not os.path.isdir(host) else ""


def _nearest(path: str) -> str:
    """The path that is there and is spelled almost like this one, folder by folder; empty where
    there is none.
    """
    folder, name = os.path.split(path.rstrip("/"))
    if folder and not os.path.isdir(folder):
        above = "" if os.path.exists(folder) else _nearest(folder)
        return _inside(above, name) if above else ""
    return _inside(folder, name)


def _inside(folder: str, name: str) -> str:
    """The file of this name in a folder, else the one whose name is a slip away from it."""
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return ""
    near = name if name in names else nearest_file(name, names)
    return os.path.join(folder, near) if near else ""
