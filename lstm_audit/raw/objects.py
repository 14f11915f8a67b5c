"""An object of S3, of Google's store, of Azure's: each range with the version that it is of.

Comes in: fsspec's file system of a store, and a path in it. Goes out: an `Answer` for each range.
Promise: a range is one request, which says size and version too; nothing else is asked for, but
whether an object without any range is empty.
"""

from typing import Any

from ..errors import Unreadable
from .attempts import status_of
from .web import NO_RANGES, Answer


class Bucket:
    """An object of S3: `GetObject` says size and version beside every range."""

    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._path = path
        bucket, key, version = files.split_path(path)
        self._object = {"Bucket": bucket, "Key": key, **files.req_kw}
        self._object |= {"VersionId": version} if version else {}

    async def ask(self, start: int, stop: int) -> Answer:
        """One range."""
        place = f"bytes={start}-{stop - 1}"
        try:
            answer = await self._files._call_s3("get_object", Range=place, **self._object)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:  # an empty object has no range that could be asked for
            info = await self._files._info(self._path, refresh=True) if not start else {}
            if info.get("size") != 0:
                raise
            return Answer(start, 0, str(info.get("ETag")), b"")
        async with answer["Body"] as body:
            data = await body.read()
        return _answer_of(answer["ContentRange"], answer["ETag"], data)


class GoogleObject:
    """An object of Google's store: its generation stands beside every range."""

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path = files, path

    async def ask(self, start: int, stop: int) -> Answer:
        """One range."""
        place = {"Range": f"bytes={start}-{stop - 1}"}
        try:
            said, data = await self._files._call("GET", self._files.url(self._path), headers=place)
        except Exception as error:
            info = await self._files._info(self._path) if _is_outside(error, start) else {}
            if info.get("size") != 0:
                raise
            return Answer(start, 0, str(info.get("generation")), b"")
        version = said.get("X-Goog-Generation") or said.get("ETag") or ""
        return _answer_of(said.get("Content-Range", ""), version, data)


class Blob:
    """A blob of Azure's store: its ETag stands beside every range."""

    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._container, self._name, self._version = files.split_path(path)

    async def ask(self, start: int, stop: int) -> Answer:
        """One range."""
        client = self._files.service_client.get_blob_client(self._container, self._name)
        given = {"version_id": self._version} if self._version else {}
        async with client:
            try:
                stream = await client.download_blob(offset=start, length=stop - start, **given)
            except Exception as error:
                outside = _is_outside(error, start)
                said = await client.get_blob_properties(**given) if outside else None
                if said is None or said.size:
                    raise
                return Answer(start, 0, str(said.etag), b"")
            data = await stream.readall()
        said = stream.properties
        return _answer_of(said.content_range or "", str(said.etag), data)


def _is_outside(error: Exception, start: int) -> bool:
    """Whether an object has not even a first byte, or its store says so (416): it may be empty."""
    return not start and status_of(error) == 416


def _answer_of(place: str, version: str, data: bytes) -> Answer:
    """An answer whose header says `bytes FIRST-LAST/SIZE`."""
    first, _, rest = place.removeprefix("bytes ").partition("-")
    size = rest.rpartition("/")[2]
    if not (first.isdigit() and size.isdigit()):
        raise Unreadable(f"{NO_RANGES} of this object: is it kept compressed?")
    return Answer(int(first), int(size), version, data)
