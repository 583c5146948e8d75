"""Python programs in processes of their own."""

import subprocess
import sys


def python(script: str, *options: str, **kwargs) -> str:
    """A program's output. It must end well and say nothing on stderr."""
    done = subprocess.run([sys.executable, *options, "-c", script], capture_output=True, text=True, **kwargs)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
