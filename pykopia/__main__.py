"""Entry of the program: ``pykopia``, or ``python -m pykopia``."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the program; Ctrl-C ends it without a traceback even while its modules are imported."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pykopia.cli.main import main as run  # noqa: PLC0415 -- after the line above

    run()


if __name__ == "__main__":
    main()
