"""The hospital's package holds what the hospital's code imports, and its wheel nothing of the box's models."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions

from systemd.build.debian_contents import BOX, HOSPITAL
from tests.peers import REPOSITORY

LOAD = """
import importlib, pkgutil, sys
before = set(sys.modules)
import hospital
for module in pkgutil.walk_packages(hospital.__path__, "hospital."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""
NOT_NEEDED = {"pysocks"}
"""paho-mqtt goes without it."""


def test_every_library_that_the_hospitals_code_imports_is_in_its_package() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    for path in (REPOSITORY / "hospital").rglob("*.py"):  # some are imported only when they are needed
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    bring = packages_distributions()
    needed = {one.lower().replace("_", "-") for name in imported for one in bring.get(name, ())}
    assert HOSPITAL.libraries is not None
    assert needed - NOT_NEEDED - {"lantern-box"} - HOSPITAL.libraries == set()


def test_the_two_packages_share_no_file() -> None:
    assert not BOX.collect_files(REPOSITORY).keys() & HOSPITAL.collect_files(REPOSITORY).keys()
    assert BOX.product.command != HOSPITAL.product.command
    assert BOX.product.prefix != HOSPITAL.product.prefix
