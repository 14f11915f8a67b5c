"""XML as far as model files need it: elements with attributes, streamed, without entities.

Comes in: a span over a file. Goes out: `Element`s as they close. Promise: a file with a document
type is refused before anything of it is expanded (entity bombs), and size, depth and the number of
elements are bounded.
"""

from collections.abc import Mapping
from typing import NamedTuple
from xml.parsers import expat

from ..errors import MalformedFile
from ..raw.span import Span

MAX_SIZE = 32 << 20
MAX_DEPTH = 64
MAX_ELEMENTS = 300_000
PIECE = 1 << 16


class Element(NamedTuple):
    """A tag, its attributes, and the elements inside."""

    tag: str
    attributes: Mapping[str, str]
    inside: "list[Element]"

    def first(self, tag: str) -> "Element | None":
        """The first element inside with this tag."""
        return next((element for element in self.inside if element.tag == tag), None)

    def each(self, tag: str) -> "list[Element]":
        """The elements inside with this tag."""
        return [element for element in self.inside if element.tag == tag]


def parse_xml(span: Span) -> Element:
    """The root element; raises `MalformedFile` for what is no XML, or is too much of it."""
    if span.size > MAX_SIZE:
        raise MalformedFile(
            f"{span.size} bytes of XML; at most {MAX_SIZE} are read", span.at, "limit"
        )
    builder = _Builder(span)
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.open
    parser.EndElementHandler = builder.close
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        for at in range(0, span.size, PIECE):
            parser.Parse(span[at : min(at + PIECE, span.size)].read(), False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        message = f"not well-formed XML: {expat.errors.messages.get(error.code, error)}"
        raise MalformedFile(message, span.place(parser.ErrorByteIndex)) from None
    if builder.root is None:
        raise MalformedFile("XML without an element", span.at)
    return builder.root


class _Builder:
    """The tree, as the parser reports its elements."""

    def __init__(self, span: Span) -> None:
        self.root: Element | None = None
        self._span = span
        self._stack: list[Element] = []
        self._left = MAX_ELEMENTS

    def open(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if self._left < 0 or len(self._stack) >= MAX_DEPTH:
            raise MalformedFile("XML with too many or too deep elements", self._span.at, "limit")
        element = Element(tag, attributes, [])
        if self._stack:
            self._stack[-1].inside.append(element)
        self.root = self.root or element
        self._stack.append(element)

    def close(self, tag: str) -> None:
        self._stack.pop()

    def refuse(self, *_: object) -> None:
        message = "XML with a document type, which could hold entities; a model has none"
        raise MalformedFile(message, self._span.at, "unsupported")
