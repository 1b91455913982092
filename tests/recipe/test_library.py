from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.shipped import shipped_recipes, template, templates

ROOT = Path(__file__).resolve().parents[2]
#: libraries are found last, and `.pth` files of this environment (an editable install of hptransfer) not at all
LIST = (
    f"import sys; sys.path.append({sysconfig.get_path('purelib')!r}); "
    "from hptransfer.recipe.shipped import shipped_recipes; print(*shipped_recipes().items(), sep='\\n')"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build reads, with a space in its path."""
    folder = tmp_path_factory.mktemp("a checkout")
    for name in ("hptransfer", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(checkout: Path, kind: str, out: Path) -> Path:
    """Build "wheel" or "editable" with the project's own back end, without isolation, and unpack it into `out`."""
    built = out / "built"
    built.mkdir()
    code = f"import hatchling.build as back_end; print(back_end.build_{kind}({str(built)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    site = out / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def listed(code: str, folder: Path, **environment: str) -> str:
    """What a fresh interpreter prints, which does not know this checkout (-S)."""
    clean = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, cwd=folder, env=clean, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_wheel(checkout: Path, tmp_path: Path) -> None:
    """An installed wheel carries its recipes and templates inside the package."""
    site = build(checkout, "wheel", tmp_path)

    output = listed(LIST, tmp_path, PYTHONPATH=str(site))

    assert str(site / "hptransfer" / "recipes" / "quickstart.yaml") in output
    assert (site / "hptransfer" / "recipe" / "templates" / "gpt.yaml").is_file()


def test_editable(checkout: Path, tmp_path: Path) -> None:
    """An editable install reads the checkout it points to, so edits to a recipe count at once."""
    pytest.importorskip("editables", reason="hatchling needs it to build editable installs")
    site = build(checkout, "editable", tmp_path)

    output = listed(f"import site; site.addsitedir({str(site)!r}); {LIST}", tmp_path)

    assert str(checkout / "recipes" / "quickstart.yaml") in output


def test_checkout(checkout: Path) -> None:
    """A checkout on the path, installed in no way, has the recipes beside the package."""
    output = listed(LIST, checkout.parent, PYTHONPATH=str(checkout))

    assert str(checkout / "recipes" / "quickstart.yaml") in output


def test_a_stranger_folder_beside_the_package_is_not_ours(checkout: Path, tmp_path: Path) -> None:
    """A `recipes` folder beside an installed package belongs to someone else."""
    shutil.copytree(checkout / "hptransfer", tmp_path / "hptransfer")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "soup.yaml").touch()

    assert "soup" not in listed(LIST, tmp_path, PYTHONPATH=str(tmp_path))


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes_are_valid(name: str) -> None:
    """Every shipped recipe loads by its name, which is also the recipe's own."""
    assert load_recipe(name).recipe.name == name


def test_templates() -> None:
    """The templates of `init`, and their files."""
    assert templates() == ("gpt", "quickstart")
    assert all(template(name).is_file() for name in templates())
