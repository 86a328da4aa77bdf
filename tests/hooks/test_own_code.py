"""hooks.py as it stands: which hooks, what each reaches, without running any of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from twinrun.errors import InputError
from twinrun.hooks.own_code import NO_CODE, OwnCode, holds_code, read_own_code
from twinrun.hooks.table import Enters

TEMPLATE = ROOT / "template" / "{{cookiecutter.project_slug}}" / "competition" / "hooks.py"
BASE = '''"""Mine."""

import math

from helpers import gem
from pydantic import BaseModel

SCALE = 3.0
UNUSED = 4.0


class Settings(BaseModel):
    margin: float = 0.5


def scaled(x):
    """Times the scale."""
    return x * SCALE


def loss(member, settings):
    return scaled(settings.margin)


def head(classes):
    return gem(classes)


def metric(probabilities, truth):
    # The plainest one.
    return float((probabilities.argmax(1) == truth).mean())


def read_image(path):
    return open("palette.txt").read()
'''
HELPERS = """import numpy as np

POWER = np.float32(3)

def gem(x):
    return x**POWER

def other():
    return 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "palette.txt").write_text("green\n")
    (tmp_path / "hooks.py").write_text(BASE)
    return tmp_path


def read(folder: Path) -> OwnCode:
    return read_own_code(folder / "competition.toml")


def digests(folder: Path) -> dict[str, str]:
    return {name: part.digest for name, part in read(folder).hooks.items()}


def changed(folder: Path, file: str, old: str, new: str) -> set[str]:
    """The hooks whose digest an edit changes."""
    before = digests(folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    after = digests(folder)
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_a_hook_is_a_name_of_the_table(folder: Path) -> None:
    found = read(folder)
    assert list(found.hooks) == ["head", "loss", "metric", "read_image"]
    assert found.hooks["loss"].line == 21
    assert [name for name, part in found.hooks.items() if part.reads_settings] == ["loss"]
    assert set(found.texts) == {"hooks.py", "helpers.py"}
    assert found.effects == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("hooks.py", "SCALE = 3.0", "SCALE = 3.5", {"loss"}),
        ("hooks.py", "return x * SCALE", "return SCALE * x", {"loss"}),
        ("hooks.py", "margin: float = 0.5", "margin: float = 0.4", {"loss"}),
        ("hooks.py", "(probabilities.argmax(1) == truth)", "(truth == truth)", {"metric"}),
        ("hooks.py", "UNUSED = 4.0", "UNUSED = 5.0", set()),
        ("hooks.py", "import math\n", "import math\nimport json\n", set()),
        ("hooks.py", "# The plainest one.", "# Plain.\n\n", set()),
        ("hooks.py", "Times the scale.", "By it.", set()),
        ("helpers.py", "POWER = np.float32(3)", "POWER = np.float32(4)", {"head"}),
        ("helpers.py", "import numpy as np", "import math as np", {"head"}),
        ("helpers.py", "return 1", "return 2", set()),
        ("palette.txt", "green", "red", {"read_image"}),
    ],
)
def test_an_edit_changes_what_reaches_it_and_nothing_else(
    folder: Path, file: str, old: str, new: str, stale: set[str]
) -> None:
    assert changed(folder, file, old, new) == stale


def test_a_module_that_is_imported_whole_counts_whole(folder: Path) -> None:
    text = BASE.replace("from helpers import gem", "import helpers").replace(
        "return gem(", "return helpers.gem("
    )
    (folder / "hooks.py").write_text(text)
    assert changed(folder, "helpers.py", "return 1", "return 2") == {"head"}


def test_so_does_a_file_in_which_names_are_looked_up(folder: Path) -> None:
    (folder / "hooks.py").write_text(BASE.replace("return scaled(", "return globals()['scaled']("))
    assert changed(folder, "hooks.py", "UNUSED = 4.0", "UNUSED = 5.0") == {"loss"}


@pytest.mark.parametrize(
    "text",
    [
        "from package.inner import f\n\ndef loss():\n    return f()\n",
        "from package import inner\n\ndef loss():\n    return inner.f()\n",
        "import package.inner\n\ndef loss():\n    return package.inner.f()\n",
        "from package.inner import *\n\ndef loss():\n    return f()\n",
        "def loss():\n    from package.inner import f\n    return f()\n",
        "try:\n    from package.inner import f\nexcept ImportError:\n    f = None\n\n"
        "def loss():\n    return f()\n",
        "from package import again\n\ndef loss():\n    return again()\n",
    ],
)
def test_packages_are_followed(tmp_path: Path, text: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import f as again\n")
    (package / "inner.py").write_text("def f():\n    return 1\n")
    (tmp_path / "hooks.py").write_text(text)
    assert changed(tmp_path, "package/inner.py", "return 1", "return 2") == {"loss"}


def test_what_acts_on_import_is_named_by_what_it_acts_on(folder: Path) -> None:
    text = BASE + (
        "\n\nimport torch\nfrom twinrun.metrics import METRICS\n"
        "from twinrun.transforms.table import TRANSFORMS\n\nLIST = []\nLIST.append(1)\n"
        "METRICS.add(UNUSED)\nshear = TRANSFORMS.add(SCALE)\ntorch.backends.x = 3\nscaled(2)\n"
    )
    (folder / "hooks.py").write_text(text)
    found = read(folder)
    assert {name: part.enters for name, part in found.effects.items()} == {
        "METRICS": "blend",
        "TRANSFORMS": "training",
        "torch": "training",
        "top level": "training",
    }
    before = found.digests("training", {})
    assert before.keys() == {"head", "loss", "TRANSFORMS", "torch", "top level"}
    assert found.digests("blend", {}).keys() == {"metric", "METRICS"}
    (folder / "hooks.py").write_text(text.replace("UNUSED = 4.0", "UNUSED = 5.0"))
    after = read(folder)
    assert after.digests("training", {}) == before
    assert after.effects["METRICS"] != found.effects["METRICS"]


def test_the_table_counts_for_what_is_given_it(folder: Path) -> None:
    found = read(folder)
    both: tuple[Enters, ...] = ("pixels", "blend")
    for enters in both:
        assert found.digests(enters, {}) == found.digests(enters, {"margin": 0.3})
    plain, other = found.digests("training", {}), found.digests("training", {"margin": 0.3})
    assert plain["head"] == other["head"]
    assert plain["loss"] != other["loss"]


def test_packages_that_training_hooks_import(folder: Path) -> None:
    assert read(folder).packages == ("numpy", "pydantic")
    assert read(folder).hooks["metric"].packages == {}


def test_a_package_that_is_not_installed_is_refused_with_its_line(folder: Path) -> None:
    (folder / "hooks.py").write_text("def loss():\n    import no_such_thing\n")
    with pytest.raises(InputError, match="not locked") as refused:
        read(folder)
    assert "hooks.py, line 2: imports no_such_thing" in str(refused.value)


def test_so_is_one_that_the_lock_does_not_name(folder: Path) -> None:
    competition = folder / "competition"
    competition.mkdir()
    (competition / "hooks.py").write_text(
        "import numpy\nimport PIL\n\ndef head():\n    PIL, numpy\n"
    )
    (folder / "requirements.lock").write_text("numpy==2.4.1 --hash=sha256:00\n")
    with pytest.raises(InputError) as refused:
        read(competition)
    assert refused.value.details == (
        "competition/hooks.py, line 2: imports PIL, of the package pillow, which "
        "requirements.lock does not name",
    )
    (folder / "requirements.lock").write_text("numpy==2.4.1 --hash=sha256:00\nPillow==12.0 --h\n")
    assert read(competition).packages == ("numpy", "pillow")


@pytest.mark.parametrize("name", ["json.py", "torch.py", "numpy/__init__.py"])
def test_a_file_that_would_hide_a_package_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    module = name.removesuffix(".py").partition("/")[0]
    (tmp_path / "hooks.py").write_text(f"import {module}\n")
    with pytest.raises(InputError, match=f"the name of a package: {module}"):
        read(tmp_path)


def test_a_parameter_that_is_not_given_is_refused(folder: Path) -> None:
    (folder / "hooks.py").write_text("def metric(probabilities, labels, beta=2):\n    return 0\n")
    with pytest.raises(InputError, match=r"line 1: `metric` asks for labels, which") as refused:
        read(folder)
    assert any(line.startswith("truth: ") for line in refused.value.details)


@pytest.mark.parametrize(
    "text", ["", "# Mine.\n", '"""Mine."""\n\n# More.\n', TEMPLATE.read_text()]
)
def test_comments_are_no_code(text: str, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(text, encoding="utf-8")
    assert not holds_code(tmp_path / "competition.toml")
    assert not read(tmp_path).hooks


def test_no_file_is_no_code(tmp_path: Path) -> None:
    assert read(tmp_path) is NO_CODE
    assert not holds_code(tmp_path / "competition.toml")


@pytest.mark.parametrize("content", [b"def (", b"x = '\xff'\n", b"\x00"])
def test_what_is_no_python_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_bytes(content)
    with pytest.raises(InputError, match=r"hooks\.py"):
        read(tmp_path)
    assert holds_code(tmp_path / "competition.toml")


F = "def f(x):\n    return x * 1\n"
TURNED = ("x * 1", "x * 2")
REACHED = {
    "two imports that bind one name, the first": (
        {
            "hooks.py": "import pkg.a\nimport pkg.b\n\ndef loss():\n    return pkg.a.f\n",
            "pkg/__init__.py": "",
            "pkg/a.py": F,
            "pkg/b.py": F,
        },
        "pkg/a.py",
        TURNED,
    ),
    "an import of which another is the stand-in": (
        {
            "hooks.py": "try:\n    from a import f\nexcept ImportError:\n    from b import f\n\n"
            "def loss():\n    return f\n",
            "a.py": F,
            "b.py": F,
        },
        "a.py",
        TURNED,
    ),
    "the condition of an import": (
        {
            "hooks.py": "FAST = True\nif FAST:\n    from a import f\nelse:\n    from b import f\n\n"
            "def loss():\n    return f\n",
            "a.py": F,
            "b.py": F,
        },
        "hooks.py",
        ("FAST = True", "FAST = False"),
    ),
    "what the condition of an import goes by": (
        {
            "hooks.py": "from a import fast\nif fast():\n    import a as x\nelse:\n"
            "    import b as x\n\ndef loss():\n    return x.f\n",
            "a.py": F + "\ndef fast():\n    return True\n",
            "b.py": F,
        },
        "a.py",
        ("return True", "return False"),
    ),
    "a part of a package that the package imports": (
        {
            "hooks.py": "from pkg import losses\n\ndef loss():\n    return losses.f\n",
            "pkg/__init__.py": "from . import losses\n",
            "pkg/losses.py": F,
        },
        "pkg/losses.py",
        TURNED,
    ),
    "and imports from": (
        {
            "hooks.py": "from pkg import losses\n\ndef loss():\n    return losses.f\n",
            "pkg/__init__.py": "from . import losses\nfrom .losses import f\n",
            "pkg/losses.py": F,
        },
        "pkg/losses.py",
        TURNED,
    ),
    "a part of a package that takes all names of another": (
        {
            "hooks.py": "from pkg import losses\n\ndef loss():\n    return losses.f\n",
            "pkg/__init__.py": "from .base import *\n",
            "pkg/base.py": "X = 1\n",
            "pkg/losses.py": F,
        },
        "pkg/losses.py",
        TURNED,
    ),
    "all names of a file that has the hook": (
        {"hooks.py": "from mine import *\n", "mine.py": "def loss(x=1):\n    return x * 1\n"},
        "mine.py",
        TURNED,
    ),
    "all names of a file that hide an import": (
        {
            "hooks.py": "from a import f\nfrom b import *\n\ndef loss():\n    return f\n",
            "a.py": F,
            "b.py": F,
        },
        "b.py",
        TURNED,
    ),
}
REGISTER = "LOSSES = {}\n\ndef register(f):\n    LOSSES[f.__name__] = f\n    return f\n"
REACHED |= {
    "what a decorator puts into a table": (
        {
            "hooks.py": f"{REGISTER}\n@register\n{F}\ndef loss():\n    return LOSSES['f']\n",
        },
        "hooks.py",
        TURNED,
    ),
    "into one of another file": (
        {
            "hooks.py": f"import tables\n\n@tables.register\n{F}\n"
            "def loss():\n    from tables import LOSSES\n    return LOSSES['f']\n",
            "tables.py": REGISTER,
        },
        "hooks.py",
        TURNED,
    ),
    "by a method": (
        {
            "hooks.py": "class Table(dict):\n    def put(self, f):\n        self[f.__name__] = f\n"
            "        return f\n\nTABLE = Table()\n\n@TABLE.put\n" + F + "\ndef loss():\n"
            "    return TABLE['f']\n",
        },
        "hooks.py",
        TURNED,
    ),
    "a class that its base is told of": (
        {
            "hooks.py": "class Base:\n    known = {}\n\n    def __init_subclass__(cls):\n"
            "        Base.known[cls.__name__] = cls\n\nclass Focal(Base):\n"
            "    def __call__(self, x):\n        return x * 1\n\n"
            "def loss():\n    return Base.known['Focal']()\n",
        },
        "hooks.py",
        TURNED,
    ),
    "a class that its metaclass is told of": (
        {
            "hooks.py": "class Meta(type):\n    known = {}\n\n    def __init__(cls, name, *more):\n"
            "        Meta.known[name] = cls\n\nclass Focal(metaclass=Meta):\n"
            "    def __call__(self, x):\n        return x * 1\n\n"
            "def loss():\n    return Meta.known['Focal']()\n",
        },
        "hooks.py",
        TURNED,
    ),
}
LOOKED_UP = {
    "the table of modules": "import sys\n\ndef loss():\n    return sys.modules[__name__].OTHER\n",
    "that of another name": "import sys as s\n\ndef loss():\n"
    "    return s.modules[__name__].OTHER\n",
    "that alone": "from sys import modules\n\ndef loss():\n    return modules[__name__].OTHER\n",
    "an import by name": "from importlib import import_module as get\n\ndef loss():\n"
    "    return get(__name__).OTHER\n",
    "attributes": "def scale():\n    pass\n\ndef loss():\n    return scale.__globals__['OTHER']\n",
    "locals": "HERE = locals()\n\ndef loss():\n    return HERE['OTHER']\n",
}
REACHED |= {
    name: ({"hooks.py": f"OTHER = 1\n{code}"}, "hooks.py", ("OTHER = 1", "OTHER = 2"))
    for name, code in LOOKED_UP.items()
}


@pytest.mark.parametrize("case", REACHED)
def test_what_is_reached_by_a_detour_counts(tmp_path: Path, case: str) -> None:
    files, file, turn = REACHED[case]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert changed(tmp_path, file, *turn) == {"loss"}


def test_what_is_named_like_a_look_up_is_none(tmp_path: Path) -> None:
    code = "OTHER = 1\n\ndef loss(net):\n    net.eval()\n    return list(net.modules())\n"
    (tmp_path / "hooks.py").write_text(code.replace("(net)", "(member)").replace("net.", "member."))
    assert changed(tmp_path, "hooks.py", "OTHER = 1", "OTHER = 2") == set()


def test_what_a_decorator_makes_may_be_given_the_table(tmp_path: Path) -> None:
    code = "from helpers import with_table\n\n@with_table\ndef loss(margin):\n    return margin\n"
    (tmp_path / "helpers.py").write_text(
        "def with_table(f):\n    def g(settings):\n        return f(settings['margin'])\n"
        "    return g\n"
    )
    (tmp_path / "hooks.py").write_text(code)
    assert read(tmp_path).hooks["loss"].reads_settings


def test_a_model_of_another_file_counts(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pydantic import BaseModel\n\nclass Settings(BaseModel):\n    x: int = 1\n"
    )
    for way in ("from mine import Settings", "from mine import *"):
        (tmp_path / "hooks.py").write_text(f"{way}\n\ndef loss(settings):\n    return 1\n")
        assert read(tmp_path).has_model
        assert changed(tmp_path, "mine.py", "x: int =", "x: int = 1 +") == {"loss"}


def test_a_parameter_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text("def loss(member, /, name):\n    return member\n")
    with pytest.raises(InputError, match="line 1: `loss` takes member by place alone"):
        read(tmp_path)


def test_a_class_of_a_plain_base_does_not_count_for_the_base(tmp_path: Path) -> None:
    code = (
        "class Base:\n    x = 1\n\nclass More(Base):\n    y = 1\n\ndef loss():\n    return Base()\n"
    )
    (tmp_path / "hooks.py").write_text(code)
    assert changed(tmp_path, "hooks.py", "y = 1", "y = 2") == set()


def test_what_is_registered_with_a_library_acts_on_it(tmp_path: Path) -> None:
    code = (
        "from timm.models import register_model\nfrom functools import cache\n\n@register_model\n"
        "def my_net(pretrained=False):\n    return 1\n\n@cache\ndef other():\n    return 1\n"
    )
    (tmp_path / "hooks.py").write_text(code)
    before = read(tmp_path).effects
    assert before.keys() == {"register_model"}
    (tmp_path / "hooks.py").write_text(code.replace("return 1", "return 2", 1))
    assert read(tmp_path).effects != before
