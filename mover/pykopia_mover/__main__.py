"""Runs the mover by ``python -m pykopia_mover``."""

from pykopia_mover.main import main

main()
