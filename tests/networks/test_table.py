"""Settings are read without torch; the table names what it does not know."""

from __future__ import annotations

import subprocess
import sys

import pytest

from twinrun.errors import InputError
from twinrun.networks.table import FAMILIES, deciding_packages, family_of, network_forms


def test_the_table_imports_neither_torch_nor_a_package_of_networks() -> None:
    code = (
        "import sys, twinrun.networks.table, twinrun.config.reading;"
        "print([n for n in ('torch', 'torchvision', 'timm', 'fastai') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_form_is_of_one_family() -> None:
    for form in network_forms():
        assert sum(family.owns(form) for family in FAMILIES) == 1


def test_a_name_of_no_family_is_refused_with_the_nearest() -> None:
    assert family_of("timm/convnext_tiny.fb_in1k").name == "timm"
    assert family_of("densenet201").name == "torchvision"
    with pytest.raises(
        InputError, match="there is no network 'resnet_50'; did you mean 'resnet50'"
    ):
        family_of("resnet_50")


def test_packages_decide_bits_whoever_asks_for_them() -> None:
    assert set(deciding_packages()) == {"timm", "torch", "torchvision"}
