"""Images of more than 8 bits a value: the audit says how they are seen, and where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twinrun.audit.audit import Audit, audit_folder
from twinrun.audit.check import Finding
from twinrun.config.reading import read_settings
from twinrun.errors import InputError, NegativeVerdict

CLASSES = ("leaf_rust", "stem_rust", "healthy_wheat")


def draw(path: Path, number: int, low: float, high: float, kind: str = "uint16") -> None:
    """Soft patches of such values; the darkest and the brightest of them are there."""
    patches = np.random.default_rng(number).integers(0, 256, (8, 8)).astype(np.uint8)
    soft = Image.fromarray(patches).resize((40, 40), Image.Resampling.BILINEAR)
    shares = np.asarray(soft).astype(float)
    shares = (shares - shares.min()) / (shares.max() - shares.min())
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((low + shares * (high - low)).astype(kind)).save(path, "TIFF")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images of 12 bits in files of 16, two of each class; two test images, one reaches further."""
    folder = tmp_path / "data"
    for number, name in enumerate(CLASSES * 2):
        draw(folder / "train" / name / f"I{number}.tif", number, 16, 3936)
    draw(folder / "test" / "I6.tif", 6, 16, 3936)
    draw(folder / "test" / "I7.tif", 7, 0, 60_000)
    rows = "".join(f"I{number},0,0,0\n" for number in (6, 7))
    (folder / "sample_submission.csv").write_text("ID," + ",".join(CLASSES) + "\n" + rows)
    return folder


@pytest.fixture
def audited(data: Path, small_toml: Path, tmp_path: Path) -> Callable[..., Audit]:
    def audit(*changes: str) -> Audit:
        return audit_folder(read_settings(small_toml, data=data, changes=changes), tmp_path / "c")

    return audit


def of(audit: Audit, check: str) -> Finding:
    (finding,) = (finding for finding in audit.found if finding.check == check)
    return finding


def test_the_audit_says_in_which_range_they_are_seen(audited: Callable[..., Audit]) -> None:
    found = of(audited(), "values")
    assert (found.severity, found.count) == ("note", 8)
    assert (
        found.title == "more than 8 bits a value: seen from 16 to 3936, what training images reach"
    )
    assert found.details == (
        "I;16: 8",
        "test images with values beyond it, which are clipped: 1",
    )
    asked = of(audited("data.range=[100, 2000]"), "values")
    assert asked.title == "more than 8 bits a value: seen from 100 to 2000, as data.range says"
    assert asked.details[1:] == (
        "training images with values beyond it, which are clipped: 6",
        "test images with values beyond it, which are clipped: 2",
    )


def test_none_of_them_is_black_and_nothing_stops(audited: Callable[..., Audit]) -> None:
    audit = audited()
    assert {each.check for each in audit.found} & {"blank", "dark", "unseen"} == set()
    audit.refuse()


def test_a_picture_that_the_range_leaves_black_is_never_trained_on_in_silence(
    data: Path, audited: Callable[..., Audit]
) -> None:
    # As where numbers from 0 to 1 lie beside those of 16 bits, or one pixel is defective.
    draw(data / "train" / "leaf_rust" / "F.tif", 9, 0, 1, "float32")
    audit = audited()
    found = of(audit, "unseen")
    assert (found.severity, found.count) == ("error", 1)
    assert found.details == ("train/leaf_rust/F.tif: values from 0 to 1",)
    assert found.title.endswith("without a picture in the range from 0 to 3936")
    with pytest.raises(NegativeVerdict, match=r"F\.tif: values from 0 to 1") as why:
        audit.refuse()
    assert "Set data.range" in str(why.value)


def test_two_numbers_are_the_users_own_word(data: Path, audited: Callable[..., Audit]) -> None:
    draw(data / "train" / "leaf_rust" / "F.tif", 9, 0, 1, "float32")
    audit = audited("data.range=[0, 3936]")
    assert of(audit, "unseen").severity == "warning"
    audit.refuse()


def test_an_image_that_is_even_in_its_file_is_blank_and_no_fault_of_the_range(
    data: Path, audited: Callable[..., Audit]
) -> None:
    draw(data / "train" / "leaf_rust" / "E.tif", 9, 16, 16.5)
    audit = audited()
    assert of(audit, "blank").count == 1
    assert "unseen" not in {each.check for each in audit.found}


def test_values_that_are_no_numbers_are_named(data: Path, audited: Callable[..., Audit]) -> None:
    path = data / "train" / "leaf_rust" / "N.tif"
    draw(path, 9, 16, 3936, "float32")
    values = np.array(Image.open(path))
    values[:3] = np.nan
    Image.fromarray(values).save(path)
    assert of(audited(), "values").details[-1] == (
        "values that are no numbers, taken for the lowest: in train/leaf_rust/N.tif"
    )


@pytest.mark.parametrize(
    "value", ["[4095, 0]", "[1]", "[7, 7]", "[0, inf]", "[nan, 1]", '"full"', "4095", "[0, 1, 2]"]
)
def test_what_is_no_range_is_refused(small_toml: Path, value: str) -> None:
    with pytest.raises(InputError, match="range"):
        read_settings(small_toml, changes=[f"data.range={value}"])
