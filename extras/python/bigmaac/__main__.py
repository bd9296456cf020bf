"""python -m bigmaac [LAUNCHER'S OPTION...] [PYTHON'S OPTION...] job.py [ARGUMENT...]

Options with two dashes are the launcher's (--help lists them), those with one are Python's.
"""
import sys

from . import launch

WITH_VALUE = {"--min", "--fries", "--mmap", "--dir", "--fork", "--paging"}
ALONE = {"--check", "--top", "--jupyter", "--help", "--version", "-h"}  # these start no Python


def command(arguments):
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        option = arguments[at]
        if option in ALONE:
            return arguments
        if not option.startswith("--"):
            break
        at += 1
        if option == "--":
            break
        if option in WITH_VALUE:
            at += 1
    if at >= len(arguments):
        return arguments  # the launcher says what is missing
    return arguments[:at] + [sys.executable] + arguments[at:]


if __name__ == "__main__":
    try:
        launch(command(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"bigmaac: {error}")
