"""torchvision imports beside any build of torch; each case runs in a fresh interpreter."""

import subprocess
import sys

import pytest


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_after_another_library_failed_to_import_it():
    out = run_python(
        """
import sys
try:
    import torchvision  # may leave partial modules behind
except RuntimeError:
    pass
from videowino.compat import ensure_torchvision, torchvision
assert ensure_torchvision() is torchvision is sys.modules["torchvision"]
import torch
from torchvision.transforms import v2
clip = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
assert torch.equal(v2.functional.horizontal_flip(clip), clip.flip(-1))
import torchvision.ops
print(torchvision.models.video.r3d_18(num_classes=2).fc.out_features)
"""
    )
    assert out.strip() == "2"


def test_threads_importing_at_once_get_one_package():
    run_python(
        """
from concurrent.futures import ThreadPoolExecutor
from videowino.compat import ensure_torchvision
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: ensure_torchvision(), range(8)))
assert all(package is found[0] for package in found)
"""
    )


def test_importing_compat_alone_imports_no_torchvision():
    run_python("import sys, videowino.compat; assert 'torchvision' not in sys.modules")


FAKE_TORCHVISION = """
import pathlib, sys, tempfile, torch
root = pathlib.Path(tempfile.mkdtemp()) / "torchvision"
for name in ("models/video", "transforms/v2"):
    (root / name).mkdir(parents=True)
    (root / name / "__init__.py").touch()
    (root / name).parent.joinpath("__init__.py").touch()
(root / "early.py").write_text("count = 0")
(root / "__init__.py").write_text({body!r})
sys.path.insert(0, str(root.parent))
from videowino.compat import _definitions, ensure_torchvision
"""


def test_operators_are_declared_only_when_the_import_stops_at_them():
    needs = """
import torch, torchvision.early
torch.library.register_fake("torchvision::nms")(lambda *args: None)
"""
    run_python(
        FAKE_TORCHVISION.format(body=needs)
        + """
assert ensure_torchvision() is ensure_torchvision() and len(_definitions) == 2
schema = torch.ops.torchvision.qnms.default._schema
assert str(schema) == (
    "torchvision::qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"), schema
"""
    )
    run_python(
        FAKE_TORCHVISION.format(body="")
        + "ensure_torchvision()\nassert not _definitions\n"
        + "assert not hasattr(torch.ops.torchvision, 'nms')"
    )


def test_any_other_failure_is_torchvisions_own():
    run_python(
        FAKE_TORCHVISION.format(body="raise RuntimeError('the disk is on fire')")
        + """
try:
    ensure_torchvision()
except RuntimeError as error:
    assert str(error) == "the disk is on fire" and not _definitions
else:
    raise AssertionError("no error")
"""
    )


def test_unknown_attribute_is_an_attribute_error():
    import videowino.compat

    with pytest.raises(AttributeError, match="no attribute 'torchaudio'"):
        _ = videowino.compat.torchaudio
