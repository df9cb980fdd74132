"""All files below a folder, in subfolders that are links too, and each folder once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from clear_hug.data.source import SourceError

__all__ = ["walk_files"]


def walk_files(root: Path, skip: Callable[[Path], bool] = lambda folder: False) -> Iterator[tuple[Path, list[str]]]:
    """The folders below one, itself included, each with the sorted names of the files in it.

    Folders that are links come after all others and are entered only where what they point to has not been visited:
    a link to a folder above ends nowhere, and adding one changes no path that there was before.

    Args:
        root: the folder.
        skip: tells folders that are passed over, with all below them.

    Raises:
        SourceError: a folder cannot be read.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        links: list[Path] = []
        for start in waiting:
            for place, subfolders, files in os.walk(start, onerror=_stop):
                folder = Path(place)
                about = os.stat(folder)  # noqa: PTH116
                if (about.st_dev, about.st_ino) in visited:
                    subfolders.clear()
                    continue
                visited.add((about.st_dev, about.st_ino))
                subfolders[:] = [name for name in sorted(subfolders) if not skip(folder / name)]
                links += [folder / name for name in subfolders if (folder / name).is_symlink()]
                yield folder, sorted(files)
        waiting = sorted(links)


def _stop(error: OSError) -> None:
    """Files that nobody can see would be missing from the store without a word."""
    raise SourceError(
        f"the folder {error.filename} cannot be read ({error.strerror}); make it readable, or move it elsewhere"
    ) from error
