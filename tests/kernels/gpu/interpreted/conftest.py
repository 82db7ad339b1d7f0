"""These tests run kernels under Triton's interpreter, which is chosen before triton is imported:
`test_interpreted.py` runs each file in a process of its own, and no other run collects them."""

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]
