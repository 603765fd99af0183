"""Has installers forget packages that are there only in part: `partial.py DIRECTORY...`.

Place: before `install.sh` installs anything; only the standard library is there. Whoever is
killed while it installs, updates or removes leaves packages without all of their files, which pip
and uv take as installed all the same once they have a description. Both note which files there
are (`RECORD`) and, as one of the last, who installed them (`INSTALLER`). Where one of these or one
of those files is missing, the description is removed, and the package is installed again.
"""

import csv
import shutil
import sys
from pathlib import Path

FIELDS = 3


def is_whole(description: Path) -> bool:
    """Whether all files of a package are there; what Python compiles may be missing."""
    try:
        with (description / "RECORD").open(newline="") as record:
            lines = list(csv.reader(record))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    own = [f"{description.name}/{name}" for name in ("INSTALLER", "RECORD")]
    if any(len(line) != FIELDS for line in lines) or not set(own) <= {line[0] for line in lines}:
        return False  # cut off while it was written
    needed = (line[0] for line in lines if not line[0].endswith(".pyc"))
    return all((description.parent / file).exists() for file in needed)


def forget_partial(directory: Path) -> None:
    for description in directory.glob("*.dist-info"):
        if not is_whole(description):
            shutil.rmtree(description)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        forget_partial(Path(name))
