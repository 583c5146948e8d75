"""python -m mxfp4.transformers serve PATH | chat PATH: transformers' own server with MXFP4 experts on the CPU, and its chat.

The chat speaks to a server, by default to that on port 8000. All other arguments are transformers' own:
python -m mxfp4.transformers serve --help.
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
    try:
        run()
    except ValueError as error:  # the chat found no server, and names a command that would expand the model
        sys.exit(f"{error}\nWith the experts in MXFP4 that is: python -m mxfp4.transformers serve ...")


if __name__ == "__main__":
    main()
