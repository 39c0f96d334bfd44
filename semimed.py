"""``python -m semimed ...`` from the repository's folder: the commands of ``workflow/semimed``.

The package is not installed into the environment on purpose: every checkout runs its own code.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "workflow"))

from semimed.__main__ import main

main()
