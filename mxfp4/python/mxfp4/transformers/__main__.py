"""python -m mxfp4.transformers serve PATH | chat PATH: transformers' own server and chat, with MXFP4 experts on the CPU.

All other arguments are transformers' own: python -m mxfp4.transformers serve --help.
"""

import sys

import mxfp4.transformers


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in ("serve", "chat"):
        sys.exit(f"{__doc__}\nusage: python -m mxfp4.transformers {{serve,chat}} ...")
    try:
        from transformers.cli.transformers import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: pip install 'transformers[serving]'")
    mxfp4.transformers.enable()
    run()


if __name__ == "__main__":
    main()
