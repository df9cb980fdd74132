"""XML from strangers: no entities, no external references, bounded depth and number of elements.

Expat alone would expand entities a billion-fold (CWE-776) and leave external ones (CWE-611) to whoever asks. Here a
document that declares anything of its own is refused. A mere reference to a DTD, as GE MUSE writes it, is allowed and
never followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from clear_hug.data.formats.channels import read_bytes
from clear_hug.data.record import RecordError

__all__ = ["child", "number_of", "parse_xml", "text_of"]

_MAX_BYTES = 1 << 27
_MAX_ELEMENTS = 200_000
_MAX_DEPTH = 64


class _RefusalError(Exception):
    """What is wrong with a document, in words."""


def parse_xml(path: Path) -> Element:
    """The root element of a file; names of elements and attributes without their namespaces.

    Raises:
        RecordError: no XML, cut off, above 128 MiB, entities or other declarations of its own, or too deep or too many
            elements for any ECG.
    """
    content = read_bytes(path, _MAX_BYTES)
    builder = TreeBuilder()
    seen = {"elements": 0, "depth": 0}

    def start(name: str, attributes: dict[str, str]) -> None:
        seen["elements"] += 1
        seen["depth"] += 1
        if seen["depth"] > _MAX_DEPTH or seen["elements"] > _MAX_ELEMENTS:
            raise _RefusalError("it has more or deeper elements than any ECG")
        builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        seen["depth"] -= 1
        builder.end(_local(name))

    def doctype(name: str, system: str | None, public: str | None, internal: bool) -> None:
        if internal:
            raise _RefusalError("it declares entities or types of its own, which ECG files have no need of")

    def refuse(*details: Any) -> Any:
        raise _RefusalError("it declares or refers to entities, which are never expanded")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.SkippedEntityHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    except _RefusalError as refusal:
        raise RecordError(f"record {path.stem}: {path} is refused: {refusal}; export it again") from None
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        raise RecordError(f"record {path.stem}: {path} is no complete XML ({error}); fetch it again") from error


def _local(name: str) -> str:
    return name.rsplit(" ", 1)[-1].rsplit(":", 1)[-1]


def child(element: Element | None, *names: str) -> Element | None:
    """The first child of that name, its first child of the next name, and so on; None where one is missing."""
    for name in names:
        element = element.find(name) if element is not None else None
    return element


def text_of(element: Element | None, *names: str) -> str:
    """Text of a descendant, without surrounding blanks; "" where there is none."""
    found = child(element, *names)
    return (found.text or "").strip() if found is not None else ""


def number_of(text: str, what: str, path: Path) -> float:
    """A number out of the text of a file.

    Raises:
        RecordError: it is none, or not finite.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise RecordError(f"record {path.stem}: the {what} of {path.name} is {text[:40]!r}, which is no number")
    return value
