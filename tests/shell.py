"""Running commands and building projects with CMake."""

import subprocess
from pathlib import Path


def run(*command) -> str:
    """A command's output; its messages in the report if it fails."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{' '.join(str(part) for part in command)}\n{done.stdout}"
    return done.stdout


def configure_and_build(source: Path, tree: Path, *options: str) -> None:
    run("cmake", "-S", source, "-B", tree, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *options)
    run("cmake", "--build", tree)
