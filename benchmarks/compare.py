"""Compare whole commands of pykopia, kopia, restic and borg; ``compare.py --help`` tells all options.

python benchmarks/compare.py --rounds 5 --sets big,small --tools pykopia,kopia --json result.json --markdown result.md
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.comparison.command_line import main

    sys.exit(main())
