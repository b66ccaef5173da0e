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


def test_imports_only_when_asked_and_once_for_all_threads():
    run_python(
        """
import sys
from concurrent.futures import ThreadPoolExecutor
from videowino.compat import ensure_torchvision
assert "torchvision" not in sys.modules
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: ensure_torchvision(), range(8)))
assert all(package is found[0] for package in found)
"""
    )


def test_operators_are_declared_only_when_the_import_stops_at_them():
    run_python(
        """
import pathlib, sys, tempfile, torch
root = pathlib.Path(tempfile.mkdtemp()) / "torchvision"
for name in ("models/video", "transforms/v2"):
    (root / name).mkdir(parents=True)
    (root / name / "__init__.py").touch()
    (root / name).parent.joinpath("__init__.py").touch()
(root / "early.py").touch()
sys.path.insert(0, str(root.parent))
sys.dont_write_bytecode = True
from videowino.compat import _definitions, ensure_torchvision

def package(body):
    (root / "__init__.py").write_text(body)
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]

package("raise RuntimeError('the disk is on fire')")
try:
    ensure_torchvision()
except RuntimeError as error:
    assert str(error) == "the disk is on fire"
else:
    raise AssertionError("no error")
assert not _definitions

package("whole = True")
assert ensure_torchvision().whole and not _definitions
assert not hasattr(torch.ops.torchvision, "nms")

package('''
import torch, torchvision.early
torch.library.register_fake("torchvision::nms")(lambda *args: None)
repaired = True
''')
assert ensure_torchvision() is ensure_torchvision() and len(_definitions) == 2
assert ensure_torchvision().repaired
expected = "torchvision::qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
assert str(torch.ops.torchvision.qnms.default._schema) == expected
"""
    )


def test_unknown_attribute_is_an_attribute_error():
    import videowino.compat

    with pytest.raises(AttributeError, match="no attribute 'torchaudio'"):
        _ = videowino.compat.torchaudio
