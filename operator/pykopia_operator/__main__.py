"""``python -m pykopia_operator``."""

from pykopia_operator.main import main

if __name__ == "__main__":
    main()
