"""Entry of the mover: ``pykopia-mover``, or ``python -m pykopia_mover``."""

from typing import NoReturn

from pykopia.signals import hand_over


def main() -> NoReturn:
    """Run the mover; a signal that arrives while its modules are imported is kept for it.

    The first process of a container ignores signals without a handler.
    """
    early: list[int] = []
    hand_over(early.append)
    from pykopia_mover.main import main as run  # noqa: PLC0415 -- after the line above

    run(early)


if __name__ == "__main__":
    main()
