"""Short reports as Markdown and as one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clear_hug.files import write_text

STYLE = """
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: #15171c; background: #fff;
       max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin-bottom: .3rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; border: 1px solid #e3e6ec; border-radius: 6px; }
figure { margin: 1rem 0; } figcaption { color: #5a6070; font-size: .9rem; margin-top: .35rem; }
table { border-collapse: collapse; font-size: .93rem; margin: .8rem 0; }
th, td { text-align: left; padding: .32rem .9rem .32rem 0; border-bottom: 1px solid #e3e6ec; vertical-align: top; }
th { color: #5a6070; font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f5f6f9; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; font-size: .85rem; }
.note { background: #fff6e0; border-left: 4px solid #e8a800; padding: .6rem 1rem; border-radius: 0 6px 6px 0; }
"""


@dataclass(frozen=True)
class Heading:
    """A section's title."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; `note` sets it off."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Code:
    """Commands or settings, verbatim."""

    text: str


@dataclass(frozen=True)
class Table:
    """Columns of text; those that hold numbers only are set flush right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A picture file beside the report, with its caption."""

    path: Path
    caption: str


Block = Heading | Text | Code | Table | Picture


def write_report(folder: str | Path, title: str, blocks: Sequence[Block], name: str = "report") -> tuple[Path, Path]:
    """Write `name.md` (pictures linked) and `name.html` (pictures inside) into `folder`.

    Args:
        folder: the pictures lie in it or below.
        title: of the report.
        blocks: its content in order.
        name: file name without suffix.

    Returns:
        Both paths.
    """
    folder = Path(folder)
    markdown = "\n\n".join([f"# {title}", *(_markdown(block, folder) for block in blocks)]) + "\n"
    body = "\n".join(_html(block) for block in blocks)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
    return write_text(folder / f"{name}.md", markdown), write_text(folder / f"{name}.html", page)


def _markdown(block: Block, folder: Path) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Text(text, note):
            return f"> {text}" if note else text
        case Code(text):
            return f"```\n{text}\n```"
        case Picture(path, caption):
            return f"![{caption}]({path.relative_to(folder).as_posix()})\n\n*{caption}*"
        case Table(columns, rows):
            rule = ["---:" if number else "---" for number in _number_columns(columns, rows)]
            lines = [columns, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{html.escape(text)}</h2>"
        case Text(text, note):
            return f"<p{' class=note' if note else ''}>{html.escape(text)}</p>"
        case Code(text):
            return f"<pre>{html.escape(text)}</pre>"
        case Picture(path, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            escaped = html.escape(caption, quote=True)
            return (
                f'<figure><img src="data:image/png;base64,{data}" alt="{escaped}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
        case Table(columns, rows):
            kinds = [" class=number" if number else "" for number in _number_columns(columns, rows)]
            head = "".join(f"<th{kind}>{html.escape(c)}</th>" for kind, c in zip(kinds, columns, strict=True))
            lines = [
                "<tr>"
                + "".join(f"<td{kind}>{html.escape(c)}</td>" for kind, c in zip(kinds, row, strict=True))
                + "</tr>"
                for row in rows
            ]
            return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(lines) + "\n</tbody></table>"


def _number_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    return [
        bool(rows)
        and all(row[k] in ("", "–") or row[k].lstrip("+-")[:1].isdigit() for row in rows)
        and any(row[k] for row in rows)
        for k in range(len(columns))
    ]
