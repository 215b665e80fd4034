"""``python -m pykopia``."""

from pykopia.cli.main import main

if __name__ == "__main__":
    main()
