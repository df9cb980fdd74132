"""Where the data sets that can be fetched without an agreement lie on PhysioNet, and where the others are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PHYSIONET", "REMOTE_SETS", "DownloadError", "RemoteSet", "remote_set"]


PHYSIONET = "https://physionet.org/files/"


class DownloadError(ValueError):
    """A data set that cannot be fetched; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class RemoteSet:
    """One data set.

    Attributes:
        name: as `clear-hug prepare` calls it.
        directory: on the server: PhysioNet's name and version.
        within: only the files below this folder, which is left off their paths; "" for all.
        size: about, for the help.
    """

    name: str
    directory: str
    size: str
    within: str = ""


REMOTE_SETS = {
    remote.name: remote
    for remote in (
        RemoteSet("ptbxl", "ptb-xl/1.0.3", "3 GB"),
        RemoteSet("cpsc2018", "challenge-2021/1.0.3", "1 GB", "training/cpsc_2018/"),
        RemoteSet("csn", "ecg-arrhythmia/1.0.0", "5 GB"),
        RemoteSet("mimic-iv-ecg", "mimic-iv-ecg/1.0", "90 GB"),
        RemoteSet("ludb", "ludb/1.0.1", "30 MB"),
        RemoteSet("cinc2021", "challenge-2021/1.0.3", "11 GB", "training/"),
        RemoteSet("mitdb", "mitdb/1.0.0", "100 MB"),
    )
}

_ELSEWHERE = {"code15": "CODE-15 % is at zenodo.org/records/4916206; fetch exams.csv and exams_part*.zip from there"}
_CREDENTIALED = (
    "mimic-iii",
    "mimiciii",
    "mimic-iv",
    "mimiciv",
    "mimic-iv-ed",
    "mimic-iv-note",
    "mimic-cxr",
    "eicu-crd",
)


def remote_set(name: str) -> RemoteSet:
    """The data set of that name.

    Raises:
        DownloadError: it is unknown, on another server, or open only to those who signed an agreement.
    """
    if name in REMOTE_SETS:
        return REMOTE_SETS[name]
    if name in _ELSEWHERE:
        raise DownloadError(_ELSEWHERE[name])
    if name in _CREDENTIALED:
        raise DownloadError(
            f"{name} is open only to credentialed users of physionet.org who signed its agreement; fetch it from there "
            "(mimic-iv-ecg is open to everybody)"
        )
    raise DownloadError(f"unknown data set {name!r}; choose one of {', '.join(REMOTE_SETS)}")
