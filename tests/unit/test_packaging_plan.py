"""What packages hold, for which target, and where it comes from."""

from __future__ import annotations

import re
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from scones_ml.errors import ConfigurationError
from scones_ml.packaging import HOST, PackageRequest, Target, build, plan
from scones_ml.packaging.contents import FUNCTIONS, distributions, is_needed
from scones_ml.packaging.distributions import installed_files, unpack_wheels
from scones_ml.packaging.plan import Pin
from scones_ml.packaging.target import interpreter

ROOT = Path(__file__).parents[2]
NOT_FOR_INFERENCE = {"flatbuffers", "packaging", "protobuf"}
"""What ONNX Runtime requires for making models, not for running them."""
IN_EVERY_RUNTIME = {"botocore"}


def test_every_handler_is_packaged() -> None:
    """The functions are the handlers' files."""
    assert set(FUNCTIONS) == {path.stem for path in (ROOT / "handlers").glob("*.py")}


def test_a_plan_names_everything_and_writes_nothing(tmp_path: Path, tiny_model: Path) -> None:
    """Pins carry the installed versions, the model travels where it is used, and no file appears."""
    request = PackageRequest(folder=tmp_path / "out", classifier="onnx", model=tiny_model)
    found = plan(request)
    assert {pin.name: pin.version for pin in found.pins} == {pin.name: version(pin.name) for pin in found.pins}
    by_name = {function.name: function for function in found.functions}
    files = dict(by_name["classify_image_data"].files)
    assert files["model/model.onnx"] == tiny_model / "model.onnx"
    assert files["classify_image_data.py"].is_file()
    assert "scones_ml/inference/model.py" in files
    assert not any(name.startswith("model/") for name, _ in by_name["filter_low_confidence"].files)
    assert by_name["filter_low_confidence"].folder == tmp_path / "out" / "filter_low_confidence"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("classifier", ["sagemaker", "onnx"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("tracing", [False, True])
def test_what_a_distribution_requires_is_there(function: str, classifier: str, tracing: bool) -> None:
    """Each listed distribution's own requirements are listed too, in the runtime, or known to be needless."""
    names = set(distributions(function, classifier, tracing=tracing))  # type: ignore[arg-type]
    for name in names:
        for requirement in requires(name) or ():
            if "extra ==" not in requirement:
                match = re.match(r"[\w.-]+", requirement)
                assert match is not None
                needed = match[0].lower().replace("_", "-")
                assert needed in names | NOT_FOR_INFERENCE | IN_EVERY_RUNTIME, f"{name} requires {needed}"


def test_what_cannot_run_is_left_out() -> None:
    """Types, headers, records, scripts, AVIF and ONNX Runtime for C stay behind; code, libraries and licences go."""
    for path in ("PIL/Image.py", "pydantic-2.0.dist-info/METADATA", "numpy.libs/libopenblas.so", "a/licenses/LICENSE"):
        assert is_needed(path), path
    for path in ("PIL/_avif.pyi", "../../bin/f2py", "x.dist-info/RECORD", "onnxruntime/capi/libonnxruntime.so.1.2"):
        assert not is_needed(path), path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"functions": ("classify_video",)}, "there is no function 'classify_video'"),
        ({"model": Path("model")}, "needs ONNX Runtime: choose onnx"),
        ({"model": Path("gone"), "classifier": "onnx"}, "gone has no model.json"),
    ],
)
def test_requests_that_cannot_be_are_refused(change: dict[str, object], words: str) -> None:
    """An unknown function, a model that nothing would load and one that is not there are one clear line each."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        plan(replace(PackageRequest(), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(("python", "architecture"), [("3", "arm64"), ("2.7", "arm64"), ("3.13", "riscv")])
def test_targets_are_lambdas(python: str, architecture: str) -> None:
    """Only Lambda's architectures and versions make a target."""
    with pytest.raises(ConfigurationError):
        Target(python, architecture)


def test_bytecode_only_from_the_very_version() -> None:
    """The present interpreter compiles for its own version; of a version that is not here, there is none."""
    assert interpreter(f"{sys.version_info.major}.{sys.version_info.minor}") == sys.executable
    assert interpreter("3.99") is None


def wheel(folder: Path, tags: str, content: str) -> None:
    with zipfile.ZipFile(folder / f"demo_pkg-1.0-{tags}.whl", "w") as archive:
        archive.writestr("demo_pkg/__init__.py", content)
        archive.writestr("demo_pkg/__init__.pyi", "")
        archive.writestr("demo_pkg-1.0.data/platlib/demo_native.py", content)
        archive.writestr("demo_pkg-1.0.data/scripts/demo", "#!python\n")
        archive.writestr("demo_pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo-pkg\nVersion: 1.0\n")
        archive.writestr("demo_pkg-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tags}\n")
        archive.writestr("demo_pkg-1.0.dist-info/RECORD", "")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for all there is."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    wheel(folder, "cp313-cp313-manylinux_2_28_aarch64", "PLACE = 'arm64'\n")
    wheel(folder, "cp313-cp313-manylinux_2_17_x86_64", "PLACE = 'x86_64'\n")
    return folder


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_wheels_are_the_targets(shelf: Path, tmp_path: Path, architecture: str) -> None:
    """Whatever this machine is, the wheel of the target's architecture is taken, without scripts and types."""
    found = {
        path: data
        for _, path, data in unpack_wheels([Pin("demo-pkg", "1.0")], Target("3.13", architecture), tmp_path / "down")
    }
    assert set(found) == {
        "demo_pkg/__init__.py",
        "demo_native.py",
        "demo_pkg-1.0.dist-info/METADATA",
        "demo_pkg-1.0.dist-info/WHEEL",
    }
    assert found["demo_native.py"].decode() == f"PLACE = '{architecture}'\n"


def test_a_missing_wheel_is_named(shelf: Path, tmp_path: Path) -> None:
    """When no wheel fits the target, the message names the target and the distribution."""
    with pytest.raises(ConfigurationError, match=r"no wheels for python 3\.14 on arm64: .*demo-pkg"):
        list(unpack_wheels([Pin("demo-pkg", "1.0")], Target("3.14", "arm64"), tmp_path / "down"))


def test_a_package_that_lambda_would_refuse_is_not_built(tmp_path: Path) -> None:
    """Beyond Lambda's limit the build stops and says what to do."""
    assert HOST is not None
    request = PackageRequest(folder=tmp_path, target=HOST, functions=("filter_low_confidence",))
    with pytest.raises(ConfigurationError, match="leave the model in S3"):
        build(plan(request), most_bytes=1000)
    assert not (tmp_path / "filter_low_confidence").exists()


def test_what_is_installed_is_read_file_by_file() -> None:
    """An installed distribution gives its sources and licences, but no bytecode and no records."""
    paths = [path for path, _ in installed_files(Pin("annotated-types", version("annotated-types")))]
    assert "annotated_types/__init__.py" in paths
    assert not [path for path in paths if path.endswith((".pyc", "RECORD"))]
