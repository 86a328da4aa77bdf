"""Where things are in a package."""

from __future__ import annotations

README, CONTENTS = "README.md", "package.json"
CODE, RUN = "code", "run"
LOCK = f"{CODE}/requirements.lock"

# What a run may leave in a package. No weights but safetensors: to read others may run code.
RUN_SUFFIXES = (".csv", ".html", ".json", ".parquet", ".safetensors")
