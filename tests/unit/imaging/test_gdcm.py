"""The program that decodes lossless JPEG runs however its layer was unpacked."""

import importlib.util
import os
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from imaging import render
from imaging.gdcm_plugin import program


def test_a_program_that_lost_its_permission_is_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a layer that was unpacked without permissions
    package = shutil.copytree(program().parent, tmp_path / "_gdcm")
    shutil.copytree(program().parent.parent / "python_gdcm.libs", tmp_path / "python_gdcm.libs")
    (package / "gdcmconv").chmod(0o644)
    spec = ModuleSpec("_gdcm", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "_gdcm" else find_spec(name))

    # WHEN a lossless JPEG is rendered THEN it is
    file = Path(str(get_testdata_file("JPGLosslessP14SV1_1s_1f_8b.dcm"))).read_bytes()
    assert render(file, size=64).data
    assert os.access(package / "gdcmconv", os.X_OK)
