"""How fast images come to a node: `python -m benchmarks.sharing`.

Through a shared folder, and through an S3 server of moto on this machine, which shares its cores:
what a real store would be limited by, the network, is not in these figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from twinrun.cluster.share import share_images
from twinrun.cluster.storage import Storage
from twinrun.console import console, say
from twinrun.data.decoding import bytes_digest
from twinrun.data.pixels import Pixels

ROWS, COLUMNS = 224, 336
SMALL_FILES = 20
SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Measure once; print a line for each storage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/sharing"))
    parser.add_argument("--megabytes", type=int, default=200)
    given = parser.parse_args()
    folder: Path = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    pixels = _drawn(folder / "cache", given.megabytes * 10**6 // (ROWS * COLUMNS * 3))
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        host, port = server.stdout.readline().split()
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        import fsspec

        fsspec.filesystem("s3").mkdir("bucket")
        for name, address in (("folder", str(folder / "shared")), ("S3", "s3://bucket/shared")):
            _measure(name, Storage(address), pixels, folder / f"node-{name}")
        assert server.stdin is not None
        server.stdin.close()
    shutil.rmtree(folder)


def _measure(name: str, storage: Storage, pixels: Pixels, node: Path) -> None:
    megabytes = (pixels.table["rows"] * pixels.table["columns"]).sum() * 3 / 1e6
    index = pd.DataFrame({"sha256": pixels.table.index})
    console.quiet = True
    shared = []
    share = _seconds(lambda: shared.append(share_images(storage, index, {ROWS: pixels})))
    first = _seconds(lambda: shared[0].here(node))
    later = _seconds(lambda: shared[0].here(node))
    small = node.with_name("small")
    small.write_text("x" * 20_000, encoding="ascii")

    def publish_small() -> None:
        for number in range(SMALL_FILES):
            storage.publish(small, f"small/{number}")

    put = _seconds(publish_small)
    check = _seconds(storage.check)
    console.quiet = False
    say(
        f"{name}: {megabytes:.0f} MB shared in {share:.2f} s ({megabytes / share:.0f} MB/s), on a "
        f"node first in {first:.2f} s ({megabytes / first:.0f} MB/s), later in {later:.2f} s; a "
        f"small file in {put / SMALL_FILES * 1e3:.1f} ms; tried out in {check:.2f} s"
    )


def _seconds(what: Callable[[], object]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def _drawn(folder: Path, count: int) -> Pixels:
    """A cache of noise."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    size = ROWS * COLUMNS * 3
    rows = {}
    with (folder / "pixels.u8").open("wb") as file:
        for number in range(count):
            content = draws.integers(0, 256, size, dtype=np.uint8).tobytes()
            file.write(content)
            rows[f"{number:064x}"] = {
                "offset": number * size,
                "rows": ROWS,
                "columns": COLUMNS,
                "digest": bytes_digest(content, COLUMNS, ROWS),
                "format": "JPEG",
                "mode": "RGB",
                "width": 900,
                "height": 600,
            }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return Pixels(ROWS, folder / "pixels.u8", table)


if __name__ == "__main__":
    main()
