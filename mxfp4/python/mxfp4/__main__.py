"""`python -m mxfp4`: the command-line tool, in place of this process."""

import os
import sys

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "mxfp4")


def main() -> None:
    os.execv(TOOL, ["mxfp4", *sys.argv[1:]])


if __name__ == "__main__":
    main()
