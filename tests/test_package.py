"""The package as a whole: what its import loads, what it exports, and what its metadata promise."""

import ast
import platform
import re
import subprocess
import sys
import tomllib

import pytest
from support import tiny

import fer

PROJECT = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def requirements(name: str) -> set[str]:
    """The lines of a requirements file, without comments and included files."""
    lines = (tiny.ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r"))}


def test_import_is_light():
    code = (
        "import sys, time; started = time.process_time(); import fer; seconds = time.process_time() - started;"
        "print(seconds, *(name for name in ('numpy', 'cv2', 'keras', 'tensorflow', 'pandas') if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tiny.ROOT)
    seconds, *loaded = run.stdout.split()
    assert loaded == []
    assert float(seconds) < 0.1


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is asked for on x86 only")
@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
@pytest.mark.parametrize("statement", ["import fer.cli.train, keras", "import fer; fer.train; import keras"])
def test_training_asks_for_onednn_before_tensorflow_is_imported(statement, given, expected, monkeypatch):
    code = f"""
import os, sys
class Watch:
    def find_spec(self, name, *rest):
        if name == "tensorflow":
            print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
            sys.exit()  # its import takes seconds
sys.meta_path.insert(0, Watch())
{statement}
"""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if given:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tiny.ROOT)
    assert run.stdout.split() == [expected]


@pytest.mark.parametrize("name", fer.__all__)
def test_exported_name_exists(name):
    assert getattr(fer, name).__doc__
    assert name in dir(fer)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'loda'"):
        fer.loda  # noqa: B018 -- reading it is the test


def test_type_checkers_see_every_exported_name():
    tree = ast.parse((tiny.ROOT / "fer" / "__init__.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(fer.__all__) <= imported


@pytest.mark.parametrize(
    ("extra", "file"),
    [("web", "requirements-app.txt"), ("export", "requirements-export.txt"), ("dev", "requirements-dev.txt")],
)
def test_extra_equals_requirements_file(extra, file):
    own = {line for line in EXTRAS[extra] if not line.startswith("fer-suite[")}
    assert own == requirements(file)


def test_dependencies_equal_requirements_file():
    assert set(PROJECT["project"]["dependencies"]) == requirements("requirements.txt")


def test_constraints_name_every_requirement_within_its_range():
    packaging = pytest.importorskip("packaging.requirements")
    lines = (tiny.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        normal(name): version for name, version in (line.split("==") for line in lines if not line.startswith("#"))
    }
    files = ("requirements.txt", "requirements-app.txt", "requirements-export.txt", "requirements-dev.txt")
    for requirement in map(packaging.Requirement, set().union(*map(requirements, files))):
        assert pinned[normal(requirement.name)] in requirement.specifier, requirement


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_metadata_list_every_subpackage():
    folders = {path.parent for path in (tiny.ROOT / "fer").rglob("__init__.py")}
    packages = {".".join(folder.relative_to(tiny.ROOT).parts) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages | {"fer._models"}


def test_version_is_the_same_everywhere():
    assert f"version: {fer.__version__}\n" in (tiny.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {fer.__version__}" in (tiny.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
