"""Owns a finalizer without media: copies the file; a file of 13 bytes has no media, one of 66 makes it fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    data = source.read_bytes()
    if len(data) == 66:
        sys.exit("moov is broken")
    empty = len(data) == 13
    target.write_bytes(data + b"-final")
    print(json.dumps({"duration": 0.0 if empty else 1.5, "frames": 0 if empty else 45}))


if __name__ == "__main__":
    main()
