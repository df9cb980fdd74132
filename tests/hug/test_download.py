"""`clear-hug download`, from a server on this machine: whole, in parts, interrupted, refused, damaged."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.data import transfer
from clear_hug.data.download import download, list_files
from clear_hug.data.remote_sets import REMOTE_SETS, DownloadError, RemoteSet, remote_set

SET = RemoteSet("made", "made/1.0.0", "1 MB")
BLOCK = 4096  # bytes that wfdb's client takes at a time
CONTENT = {
    "RECORDS": b"a/1\na/2\n",
    "a/1.hea": b"1 1 500 5\n",
    "a/1.dat": bytes(range(256)) * 80,
    "a/2.hea": b"2 1 500 5\n",
    "a/2.dat": bytes(reversed(range(256))) * 40,
    "empty.txt": b"",
}


class Server(ThreadingHTTPServer):
    """Serves `files`; `answers` names paths with another status; `log` keeps (path, first byte asked for)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {f"/made/1.0.0/{path}": data for path, data in CONTENT.items()}
        self.answers: dict[str, int] = {}
        self.log: list[tuple[str, int]] = []
        self.ranges = True
        self.stalls: threading.Event | None = None
        self.busy = 0  # so many answers of 503 for .dat files
        self.cut_short: list[int] = []  # bytes after which the next .dat files break off
        self.list_checksums(CONTENT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def list_checksums(self, content: dict[str, bytes]) -> None:
        lines = [f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in content.items()]
        self.files["/made/1.0.0/SHA256SUMS.txt"] = "".join(lines).encode()

    def asked(self, name: str) -> list[int]:
        return [begin for path, begin in self.log if path.endswith("/" + name)]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        begin, _, end = asked.removeprefix("bytes=").partition("-") if asked else ("0", "", "")
        self.server.log.append((self.path, int(begin)))
        status = self.server.answers.get(self.path, 200 if self.path in self.server.files else 404)
        data = self.server.files.get(self.path, b"")
        if self.server.stalls is not None and self.path.endswith(".dat"):
            self.server.stalls.wait(10)
            return
        if self.path.endswith(".dat") and self.server.busy > 0:
            self.server.busy -= 1
            status = 503
        if status != 200:
            self._send(status, b"", {})
        elif asked and self.server.ranges and int(begin) >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        elif asked and self.server.ranges:
            part = data[int(begin) : int(end) + 1 if end else None]
            where = f"bytes {begin}-{int(begin) + len(part) - 1}/{len(data)}"
            self._send(206, part, {"Content-Range": where})
        else:
            self._send(200, data, {})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.path.endswith(".dat") and self.server.cut_short:
            self.wfile.write(data[: self.server.cut_short.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(transfer, "_PAUSE_S", 0.0)
    monkeypatch.setitem(REMOTE_SETS, "made", SET)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_arrives_whole(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    result = download(SET, tmp_path / "out", server=server.url, on_file=lambda *now: seen.append(now))
    assert _files(tmp_path / "out") == CONTENT
    assert (result.fetched, result.there, result.received) == (6, 0, sum(map(len, CONTENT.values())))
    assert [done for done, _, _ in seen] == list(range(7))
    assert {files for _, files, _ in seen} == {6}


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    download(SET, tmp_path / "out", server=server.url, only=["a/1*"])
    assert set(_files(tmp_path / "out")) == {"a/1.hea", "a/1.dat"}
    server.log.clear()
    result = download(SET, tmp_path / "out", server=server.url)
    assert (result.fetched, result.there) == (4, 2)
    assert server.asked("1.dat") == []
    assert _files(tmp_path / "out") == CONTENT


def test_verify_compares_what_is_there_and_fetches_again_what_differs(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    download(SET, out, server=server.url, only=["a/*"])
    (out / "a" / "1.dat").write_bytes(CONTENT["a/1.dat"][:-1] + b"x")
    (out / "a" / "2.hea").write_bytes(b"")
    server.log.clear()
    trusting = download(SET, out, server=server.url, only=["a/*"])
    assert (trusting.fetched, trusting.there, trusting.wrong, server.asked("1.dat")) == (0, 4, 0, [])
    seen: list[tuple[int, int, int]] = []
    result = download(SET, out, server=server.url, verify=True, on_file=lambda *now: seen.append(now))
    assert (result.fetched, result.there, result.wrong) == (4, 2, 2)
    assert [done for done, _, _ in seen] == list(range(7))
    assert (server.asked("1.hea"), server.asked("2.dat")) == ([], [])
    assert _files(out) == CONTENT
    words = ["download", "made", "--out", str(out), "--server", server.url, "--verify"]
    said = " ".join(CliRunner().invoke(app, words).output.split())
    assert "0 files fetched (0.0 MB), 6 files there already, with the published checksum" in said


def test_a_wrong_file_stays_until_the_right_one_is_whole(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "1.dat").write_bytes(b"old")
    server.answers["/made/1.0.0/a/1.dat"] = 404
    with pytest.raises(DownloadError, match="there is no"):
        download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"], verify=True)
    assert (tmp_path / "out" / "a" / "1.dat").read_bytes() == b"old"


def test_an_interrupted_file_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "1.dat.part").write_bytes(CONTENT["a/1.dat"][:2345])
    result = download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"])
    assert result.received == len(CONTENT["a/1.dat"]) - 2345
    assert min(server.asked("1.dat")) == 2345
    assert _files(tmp_path / "out") == {"a/1.dat": CONTENT["a/1.dat"]}


def test_killed_between_blocks_it_resumes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(done: int, files: int, received: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        download(SET, tmp_path / "out", server=server.url, on_file=die)
    there = {name: data for name, data in _files(tmp_path / "out").items() if not name.endswith(".part")}
    assert all(CONTENT[name] == data for name, data in there.items())
    assert len(there) >= 2
    download(SET, tmp_path / "out", server=server.url)
    assert _files(tmp_path / "out") == CONTENT


def test_a_line_that_breaks_is_tried_again_from_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut_short = [3 * BLOCK + 100, BLOCK + 100]
    result = download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"])
    assert server.asked("1.dat") == [0, 3 * BLOCK, 4 * BLOCK]  # whole blocks are kept
    assert result.received == len(CONTENT["a/1.dat"])
    assert _files(tmp_path / "out") == {"a/1.dat": CONTENT["a/1.dat"]}


@pytest.mark.parametrize(("busy", "arrives"), [(transfer.TRIES - 1, True), (transfer.TRIES, False)])
def test_a_busy_server_is_asked_again_but_not_for_ever(
    server: Server, tmp_path: Path, busy: int, arrives: bool
) -> None:
    server.busy = busy
    if arrives:
        download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"])
        assert _files(tmp_path / "out") == {"a/1.dat": CONTENT["a/1.dat"]}
    else:
        with pytest.raises(DownloadError, match=r"a/1\.dat could not be fetched \(status 503\); run the same command"):
            download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"])
    assert len(server.asked("1.dat")) == transfer.TRIES


def test_refusals_are_not_repeated(server: Server, tmp_path: Path) -> None:
    server.answers["/made/1.0.0/a/1.dat"] = 403
    with pytest.raises(DownloadError, match="not open to everybody"):
        download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"])
    assert server.asked("1.dat") == [0]


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"out.* cannot be written \(.*\); make room there or choose another"):
        download(SET, tmp_path / "out", server=server.url)


@pytest.mark.parametrize("address", ["nowhere", "ftp://127.0.0.1/"])
def test_addresses_that_are_none(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError, match="could not be fetched"):
        download(SET, tmp_path / "out", server=address)


def test_a_server_without_ranges_serves_too(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "1.dat.part").write_bytes(CONTENT["a/1.dat"][:2345])
    download(SET, tmp_path / "out", server=server.url)
    assert _files(tmp_path / "out") == CONTENT


def test_a_damaged_part_is_fetched_from_the_start(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    for wrong in (b"not what it was", CONTENT["a/1.dat"] + b"and more"):
        (tmp_path / "out" / "a" / "1.dat.part").write_bytes(wrong)
        download(SET, tmp_path / "out", server=server.url, only=["a/1.dat"])
        assert _files(tmp_path / "out") == {"a/1.dat": CONTENT["a/1.dat"]}
        (tmp_path / "out" / "a" / "1.dat").unlink()


def test_a_file_that_differs_from_its_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/made/1.0.0/a/1.dat"] = b"changed"
    with pytest.raises(DownloadError, match=r"a/1\.dat does not have its published checksum"):
        download(SET, tmp_path / "out", server=server.url)
    assert "a/1.dat" not in _files(tmp_path / "out")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "not open to everybody"),
        (401, "not open to everybody"),
        (404, "there is no"),
        (500, "run the same command"),
    ],
)
@pytest.mark.parametrize("path", ["SHA256SUMS.txt", "a/2.dat"])
def test_refusals_say_what_to_do(server: Server, tmp_path: Path, path: str, status: int, message: str) -> None:
    server.answers[f"/made/1.0.0/{path}"] = status
    with pytest.raises(DownloadError, match=message):
        download(SET, tmp_path / "out", server=server.url)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "c:\\d", ""])
def test_lists_that_lead_outside_are_refused(server: Server, tmp_path: Path, path: str) -> None:
    server.list_checksums({path: b"x"})
    with pytest.raises(DownloadError, match="line 1"):
        download(SET, tmp_path / "out", server=server.url)
    assert not (tmp_path / "outside").exists()


def test_part_of_a_larger_data_set_loses_its_folder(server: Server) -> None:
    part = RemoteSet("part", "made/1.0.0", "1 MB", "a/")
    assert [file.path for file in list_files(part, server.url)] == ["1.hea", "1.dat", "2.hea", "2.dat"]


def test_no_server_at_all(tmp_path: Path, server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="could not be fetched"):
        download(SET, tmp_path / "out", server=server.url)


def test_a_server_that_falls_silent_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_TIMEOUT_S", 0.3)
    server.stalls = threading.Event()
    try:
        with pytest.raises(DownloadError, match=r"could not be fetched \(.*timed out"):
            download(SET, tmp_path / "out", server=server.url)
    finally:
        server.stalls.set()


def test_names() -> None:
    assert remote_set("ptbxl").directory == "ptb-xl/1.0.3"
    with pytest.raises(DownloadError, match="credentialed users"):
        remote_set("mimic-iv")
    with pytest.raises(DownloadError, match="zenodo"):
        remote_set("code15")
    with pytest.raises(DownloadError, match="unknown data set 'ptb'; choose one of ptbxl, "):
        remote_set("ptb")


def test_the_command(server: Server, tmp_path: Path) -> None:
    arguments = ["download", "made", "--out", str(tmp_path / "out"), "--server", server.url]
    first = CliRunner().invoke(app, [*arguments, "--only", "a/*"])
    assert first.exit_code == 0, first.output
    assert "4 files fetched (0.0 MB)" in first.output
    again = CliRunner().invoke(app, arguments)
    assert "2 files fetched (0.0 MB), 4 files there already" in again.output
    nothing = CliRunner().invoke(app, [*arguments, "--only", "b/*"])
    assert nothing.exit_code == 2
    assert "no file that matches b/*" in nothing.output
    unknown = CliRunner().invoke(app, ["download", "nowhere"])
    assert (unknown.exit_code, "unknown data set" in unknown.output) == (2, True)
    told = CliRunner().invoke(app, ["download", "--help"]).output
    assert "clear-hug download ludb" in told
    assert "--only '*.csv' --only 'records100/*'" in told
