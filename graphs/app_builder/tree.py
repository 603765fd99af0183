"""A file tree that may be given away: its paths are plain, its size is bounded.

Place in the path: inside the app builder; every tree goes through it, whoever wrote it. Such a tree
can be unpacked on any system without leaving its folder, and kept by PostgreSQL. What else is in
the files is `syntax`'s.
"""

from collections.abc import Iterator, Mapping

from core.apps import MAX_PATH, MOST_FILES_OF_APP
from graphs.app_builder.faults import Fault

MAX_FILE_BYTES = 256 * 2**10
MAX_TREE_BYTES = 2**20
MAX_DEPTH = 8
MAX_SEGMENT = 80
KNOWN_ENDS = (
    *("js", "jsx", "mjs", "cjs", "ts", "tsx", "vue", "html", "css", "json", "sql", "md", "txt"),
)
PLAIN_NAMES = (".gitignore", ".env.example", "LICENSE")
"""Names that need no ending."""
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{name}{n}" for name in ("com", "lpt") for n in range(10)
}
"""Names that Windows takes for devices, whatever their ending."""
FORBIDDEN = set('<>:"|?*\\')


def tree_faults(files: Mapping[str, str]) -> list[Fault]:
    """Everything that is wrong with paths and sizes; nothing when the tree may be given away."""
    return [
        *_size_faults(files),
        *_path_faults(files),
        *_clashes(files),
        *_text_faults(files),
    ]


def _size_faults(files: Mapping[str, str]) -> Iterator[Fault]:
    if not files:
        yield Fault("", "there are no files")
    if len(files) > MOST_FILES_OF_APP:
        yield Fault("", f"{len(files)} files, over {MOST_FILES_OF_APP}")
    sizes = {path: len(text.encode("utf-8", "replace")) for path, text in files.items()}
    if sum(sizes.values()) > MAX_TREE_BYTES:
        yield Fault("", f"{sum(sizes.values()):,} bytes in all, over {MAX_TREE_BYTES:,}")
    for path, size in sizes.items():
        if size > MAX_FILE_BYTES:
            yield Fault(path[:MAX_PATH], f"{size:,} bytes, over {MAX_FILE_BYTES:,}")


def _text_faults(files: Mapping[str, str]) -> Iterator[Fault]:
    for path, text in files.items():
        if "\0" in text:
            yield Fault(path[:MAX_PATH], "there is a NUL in it, which no source has")


def _path_faults(files: Mapping[str, str]) -> Iterator[Fault]:
    for path in files:
        message = path_fault(path)
        if message is not None:
            yield Fault(path[:MAX_PATH], message)


def path_fault(path: str) -> str | None:
    """Why `path` cannot be a file of a tree; None when it can."""
    if len(path) > MAX_PATH:
        return f"the path is over {MAX_PATH} characters"
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        return f"the path is over {MAX_DEPTH} folders deep"
    for part in parts:
        message = _part_fault(part)
        if message is not None:
            return message
    name = parts[-1]
    if name not in PLAIN_NAMES and name.rpartition(".")[2] not in KNOWN_ENDS:
        return f"only files that end in {', '.join(KNOWN_ENDS)} are taken"
    return None


def _part_fault(part: str) -> str | None:
    """Why a name between two slashes cannot be one."""
    if part in ("", ".", ".."):
        return "the path must be relative, without '.', '..' or empty names"
    if len(part) > MAX_SEGMENT:
        return f"a name is over {MAX_SEGMENT} characters"
    if not part.isascii() or not part.isprintable() or FORBIDDEN & set(part):
        return "names may have plain ASCII letters, digits and marks only"
    if part != part.strip() or part.endswith("."):
        return "names must not begin or end with a blank, nor end with a dot"
    if part.partition(".")[0].lower() in DEVICES:
        return f"'{part}' is the name of a device on some systems"
    return None


def _clashes(files: Mapping[str, str]) -> Iterator[Fault]:
    """Paths that some system takes for the same, or for a file and a folder."""
    seen: set[str] = set()
    folders = {
        "/".join(parts[:n])
        for path in files
        if (parts := path.lower().split("/"))
        for n in range(1, len(parts))
    }
    for path in files:
        if path.lower() in seen:
            yield Fault(path[:MAX_PATH], "another path differs in capitals only")
        if path.lower() in folders:
            yield Fault(path[:MAX_PATH], "the path is a folder of another one")
        seen.add(path.lower())
