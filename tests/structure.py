"""The rules of the tree's layout. Each check takes a repository's root and yields what breaks its rule."""

import hashlib
import os
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

LONGEST_FILE = 600
LONGEST_MEDIAN = 200
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # sha256 of apache.org's LICENSE-2.0.txt

CODE = (".h", ".c", ".cpp", ".cu", ".cuh", ".inc", ".py", ".rs", ".cmake", ".sh")
OUTSIDERS = re.compile(r"_(test|bench|fuzz)\.(c|cpp)$|/test_\w+\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)', re.MULTILINE)


def files(root: Path, *suffixes: str) -> list[Path]:
    """The project's own files with one of the suffixes, without what is built, installed or test data."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", "data", "__pycache__") and (f[0] != "." or f == ".ci")]
        found += [Path(folder, name) for name in names if Path(name).suffix in suffixes]
    return sorted(found)


def read_rules(root: Path) -> dict[str, set[str]]:
    """include_rules.txt as folder -> folders."""
    lines = (root / "tests/include_rules.txt").read_text().splitlines()
    rules = (line.split(":") for line in lines if line and not line.startswith("#"))
    return {folder.strip(): set(allowed.split()) for folder, allowed in rules}


def rule_for(folder: str, rules: dict[str, set[str]]) -> str | None:
    """The folder, or the nearest above it, that has a rule."""
    while folder and folder not in rules:
        folder = folder.rpartition("/")[0]
    return folder or None


def includes(root: Path) -> Iterator[str]:
    """Every #include stays within the table; all of our own are written from the root."""
    rules = read_rules(root)
    for path in files(root, ".h", ".c", ".cpp", ".cu", ".cuh", ".inc"):
        name = path.relative_to(root).as_posix()
        if not name.startswith("mxfp4/") or OUTSIDERS.search(name):
            continue
        folder = rule_for(path.parent.relative_to(root / "mxfp4").as_posix(), rules)
        if folder is None:
            yield f"{name}: its folder has no line in include_rules.txt"
            continue
        for own, system in INCLUDE.findall(path.read_text()):
            if own:
                yield from own_include(name, folder, own, rules)
            elif folder == "codec" and system not in rules["codec <>"]:
                yield f"{name}: codec includes <{system}>"


def own_include(name: str, folder: str, included: str, rules: dict[str, set[str]]) -> Iterator[str]:
    if not included.startswith("mxfp4/"):
        yield f'{name}: "{included}" is not written from the root'
        return
    target = rule_for(included.removeprefix("mxfp4/").rpartition("/")[0], rules)
    if target != folder and target not in rules[folder]:
        yield f'{name}: {folder} includes "{included}"'
    if OUTSIDERS.search("/" + included):
        yield f'{name}: includes "{included}", which is for tests'


def public_headers(root: Path) -> list[Path]:
    """The headers that are installed."""
    inside = re.compile(r"^mxfp4/(cli/|kernel/\w+/)|_internal\.h$|/test_\w+\.h$")
    headers = (path for path in files(root, ".h") if path.is_relative_to(root / "mxfp4"))
    return [path for path in headers if not inside.search(path.relative_to(root).as_posix())]


def public_headers_stand_alone(root: Path) -> Iterator[str]:
    """A public header includes the standard library and public headers, nothing else."""
    public = {path.relative_to(root).as_posix() for path in public_headers(root)}
    for path in public_headers(root):
        for own, system in INCLUDE.findall(path.read_text()):
            if own and own not in public and not own.endswith(".inc"):
                yield f'{path.relative_to(root)}: includes "{own}", which is not installed'
            if system and not re.fullmatch(r"[a-z_0-9]+|std(def|int)\.h", system):
                yield f"{path.relative_to(root)}: includes <{system}>, which is not the standard library's"


def cli_is_a_caller(root: Path) -> Iterator[str]:
    """The tool sees the library as everybody does: through public headers and its own."""
    public = {path.relative_to(root).as_posix() for path in public_headers(root)}
    for path in files(root, ".h", ".cpp"):
        if path.is_relative_to(root / "mxfp4/cli") and not OUTSIDERS.search(path.as_posix()):
            for own, _ in INCLUDE.findall(path.read_text()):
                if own and own not in public and not own.startswith("mxfp4/cli/") and not own.endswith(".inc"):
                    yield f'{path.relative_to(root)}: includes "{own}", which is not installed'


def headers_say_what_they_are(root: Path) -> Iterator[str]:
    """The first line of a header is a sentence about it."""
    for path in files(root, ".h", ".cuh"):
        if not re.match(r"// \S+ \S", path.read_text()):
            yield f"{path.relative_to(root)}: does not begin with a comment"


def files_are_short(root: Path) -> Iterator[str]:
    """No file is longer than can be read at one sitting."""
    lengths = {path: path.read_text().count("\n") for path in files(root, *CODE)}
    for path, length in lengths.items():
        if length > LONGEST_FILE:
            yield f"{path.relative_to(root)}: {length} lines, more than {LONGEST_FILE}"
    if lengths and statistics.median(lengths.values()) >= LONGEST_MEDIAN:
        yield f"the median file has {statistics.median(lengths.values()):.0f} lines, not below {LONGEST_MEDIAN}"


def whitespace(root: Path) -> Iterator[str]:
    """No tabs, no blanks at the end of a line, a newline at the end of a file."""
    suffixes = (*CODE, ".in", ".txt", ".json", ".md", "")
    for path in files(root, *suffixes):
        if path.name.startswith(".") or path.name == "LICENSE":
            continue
        text = path.read_text()
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line or line != line.rstrip():
                yield f"{path.relative_to(root)}:{number}: a tab, or blanks at the end"
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            yield f"{path.relative_to(root)}: does not end with one newline"


def license_is_apache_2(root: Path) -> Iterator[str]:
    """LICENSE is the Apache License 2.0, word for word."""
    if hashlib.sha256((root / "LICENSE").read_bytes()).hexdigest() != APACHE_2:
        yield "LICENSE: not the text of the Apache License 2.0"


CHECKS = [
    includes,
    public_headers_stand_alone,
    cli_is_a_caller,
    headers_say_what_they_are,
    files_are_short,
    whitespace,
    license_is_apache_2,
]
