"""`egress-recorder run` whose capture process is `fed_capture.py`: `python benchmarks/fed_process.py LOOP SPEED SECONDS run …`.

Nothing else of it is changed, and nothing but the product's own modules is loaded: its memory is measured.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from egress_recorder.cli import main
from egress_recorder.supervisor.process import spawn_capture

if __name__ == "__main__":
    feed, arguments = sys.argv[1:4], sys.argv[4:]
    capture = [sys.executable, str(Path(__file__).with_name("fed_capture.py")), *feed]
    sys.exit(main(arguments, spawn=partial(spawn_capture, capture)))
