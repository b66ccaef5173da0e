import pytest
import torch

from videowino.training.checkpoint_file import CheckpointFiles, before
from videowino.training.run_folder import find_checkpoint, held


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    files = CheckpointFiles()
    last = tmp_path / "checkpoints" / "last.ckpt"
    for value in (1.0, 2.0):
        files.save_checkpoint({"value": torch.full((1000,), value)}, last)
    assert find_checkpoint("last", tmp_path, "fit") == str(last)
    last.write_bytes(last.read_bytes()[:500])
    with pytest.warns(
        UserWarning, match=r"last\.ckpt: is damaged .*; going on from .*-before\.ckpt"
    ):
        assert find_checkpoint("last", tmp_path, "fit") == str(before(last))
    last.unlink()  # killed between two renames, where there are no hard links
    assert find_checkpoint("last", tmp_path, "fit") == str(before(last))
    before(last).write_bytes(b"")
    with pytest.raises(ValueError, match=r"before\.ckpt: is damaged .*there is no other"):
        find_checkpoint("last", tmp_path, "fit")


def test_a_folder_is_one_training_s(tmp_path):
    with held(tmp_path):
        with pytest.raises(ValueError, match="another training is writing to it"):
            with held(tmp_path):
                pass
    with held(tmp_path):
        pass
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("")
    with pytest.raises(ValueError, match=r"run=.*: cannot be written to \(File exists\)"):
        with held(tmp_path / "run"):
            pass
