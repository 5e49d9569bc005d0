"""The operator's desk: one process that does what operators do, by orders that come line by line.

    python -m tests.storm.desk

Reads JSON objects from standard input, each with the name of an act (acts.py), and answers each with one line.
"""

from __future__ import annotations

import importlib
import json
import sys

import django


def main() -> None:
    django.setup()
    # It imports models, which takes that Django is set up.
    acts = importlib.import_module("tests.storm.acts")
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(acts.carry_out(json.loads(line)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
