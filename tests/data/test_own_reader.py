"""read_image of hooks.py: pixels, what is refused, and the name of the cache."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError
from twinrun.files import sha256_file

GREEN = """
import numpy as np
from PIL import Image

def read_image(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.repeat(pixels[..., 1:2], 3, axis=2)
"""


@pytest.fixture
def index(tmp_path: Path) -> pd.DataFrame:
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        drawn = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(drawn).save(path)
        rows.append((str(number), "train", "a", path.name, sha256_file(path)))
    return pd.DataFrame(rows, columns=["id", "part", "label", "path", "sha256"])


def pixels_by(small_toml: Path, index: pd.DataFrame, code: str, *changes: str) -> Pixels:
    small_toml.with_name("hooks.py").write_text(code)
    how = DecodeSettings.of(read_settings(small_toml, changes=changes))
    return cache_pixels(index, small_toml.parent, [32], small_toml.parent / "cache", how=how)[32]


def test_the_cache_has_what_it_gives(small_toml: Path, index: pd.DataFrame) -> None:
    plain = pixels_by(small_toml, index, "")
    green = pixels_by(small_toml, index, GREEN)
    image = green.rows(index["sha256"].tolist()).image(0)
    assert image.shape == (32, 48, 3)
    assert (image == image[..., :1]).all()
    assert plain.path != green.path
    assert plain.table["digest"].tolist() != green.table["digest"].tolist()
    # Of Pillow's own decoding: the second channel of the same picture.
    decoded = plain.rows(index["sha256"].tolist()).image(0)
    assert (decoded[..., 1] == image[..., 0]).all()


def test_an_edit_is_another_cache_and_a_comment_is_not(
    small_toml: Path, index: pd.DataFrame
) -> None:
    first = pixels_by(small_toml, index, GREEN).path
    assert pixels_by(small_toml, index, f"# Mine.\n{GREEN}").path == first
    assert pixels_by(small_toml, index, GREEN.replace("1:2", "2:3")).path != first
    assert pixels_by(small_toml, index, f"{GREEN}\nimport PIL.ImageFile\nPIL.x = 1\n").path != first


def test_it_is_not_bound_by_max_pixels_and_may_give_an_image(
    small_toml: Path, index: pd.DataFrame
) -> None:
    code = "from PIL import Image\n\ndef read_image(path):\n    return Image.new('RGB', (50, 50))\n"
    pixels = pixels_by(small_toml, index, code, "data.max_pixels=1000")
    assert pixels.table["width"].tolist() == [50, 50, 50]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("np.zeros((4, 5, 3))", r"an array of float64, \(4, 5, 3\), for .*\.png"),
        ("np.zeros((4, 5), np.uint8)", r"an array of uint8, \(4, 5\)"),
        ("np.zeros((0, 5, 3), np.uint8)", r"an array of uint8, \(0, 5, 3\)"),
        ("Image.new('L', (4, 4))", r"an image of mode L and \(4, 4\)"),
        ("None", "NoneType for"),
    ],
)
def test_what_is_no_picture_is_refused(
    small_toml: Path, index: pd.DataFrame, given: str, said: str
) -> None:
    code = (
        f"import numpy as np\nfrom PIL import Image\n\ndef read_image(path):\n    return {given}\n"
    )
    with pytest.raises(InputError, match=f"line 4: `read_image` gives {said}"):
        pixels_by(small_toml, index, code)


def test_a_mistake_names_the_image_and_a_file_that_is_none_is_listed(
    small_toml: Path, index: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match=r"hooks\.py, line 2: KeyError: 'x'") as told:
        pixels_by(small_toml, index, "def read_image(path):\n    return {}['x']\n")
    assert any("while it read" in line and ".png" in line for line in told.value.details)
    (small_toml.parent / "1.png").write_bytes(b"no image")
    index.loc[1, "sha256"] = sha256_file(small_toml.parent / "1.png")
    with pytest.raises(InputError, match="1 of 3 images") as unread:
        pixels_by(small_toml, index, GREEN)
    assert any("1.png" in line for line in unread.value.details)


def test_what_it_draws_depends_on_the_image_alone(small_toml: Path, index: pd.DataFrame) -> None:
    code = (
        "import random\nimport numpy as np\n\ndef read_image(path):\n"
        "    return np.full((40, 40, 3), random.randrange(256), np.uint8)\n"
    )
    first = pixels_by(small_toml, index, code).table["digest"]
    random.seed(5)
    (small_toml.parent / "cache").rename(small_toml.parent / "before")
    again = pixels_by(small_toml, index[::-1], code).table["digest"]
    assert again.to_dict() == first.to_dict()
    assert first.nunique() == 3
