"""Reports say the same as Markdown and as HTML, and nothing in a text is taken for markup."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest

from clear_hug.report import Code, Heading, Picture, Table, Text, write_report

PNG = b"\x89PNG\r\n\x1a\nnot really"


class Collector(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.images, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_both_files(tmp_path):
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    picture.write_bytes(PNG)
    blocks = [
        Heading("Figures"),
        Text("p < 0.05 & <b>not bold</b>"),
        Text("Simulated.", note=True),
        Code("clear-hug demo --out <dir>"),
        Table(["model", "macro AUROC"], [["HUG | linear", "0.91 [0.88, 0.94]"], ["none", "–"]]),
        Picture(picture, "A picture"),
    ]
    markdown, page = (path.read_text(encoding="utf-8") for path in write_report(tmp_path, "A <title>", blocks))
    assert "![A picture](pictures/a.png)" in markdown
    assert "| model | macro AUROC |\n| --- | ---: |\n| HUG \\| linear | 0.91 [0.88, 0.94] |" in markdown
    reader = Collector()
    reader.feed(page)
    assert not reader.open
    assert base64.b64decode(reader.images[0].split(",")[1]) == PNG
    text = "".join(reader.words)
    for words in (
        "A <title>",
        "p < 0.05 & <b>not bold</b>",
        "clear-hug demo --out <dir>",
        "0.91 [0.88, 0.94]",
        "A picture",
    ):
        assert words in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "report.html", "report.md"]


def test_a_missing_picture_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path, "t", [Picture(tmp_path / "none.png", "x")])
