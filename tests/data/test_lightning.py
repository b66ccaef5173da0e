"""What the data modules rely on in Lightning: epochs are told, and told again after a resume."""

import pytest  # noqa: I001 - compat comes before Lightning
import torch

from tests.data.conftest import write_folder, write_lists
from videowino.data import VideoFolder
import pytorch_lightning as pl


class Recorder(pl.LightningModule):
    """Learns nothing and notes what it is given: (epoch, video, sum of the clip)."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, _):
        for video, clip in zip(batch["video"], batch["clip"]):
            self.seen.append((self.current_epoch, int(video), float(clip.double().sum())))
        return self.weight * 0

    def validation_step(self, batch, _):
        self.seen.append((self.current_epoch, "val", float(batch["clip"].double().sum())))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_lists(write_folder(tmp_path_factory.mktemp("data"), groups=4))


def fit(root, path, epochs, num_workers=0, checkpoint=None):
    data = VideoFolder(
        root=str(root),
        frames=3,
        size=(16, 16),
        resize=None,
        batch_size=4,
        num_workers=num_workers,
        color_jitter=0.5,
    )
    module = Recorder()
    trainer = pl.Trainer(
        default_root_dir=path,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, ckpt_path=checkpoint)
    trainer.save_checkpoint(path / "last.ckpt")
    return module.seen


def test_epochs_differ_and_a_resume_goes_on_with_the_next(root, tmp_path):
    whole = fit(root, tmp_path, epochs=4)
    by_epoch = [
        sorted(entry[1:] for entry in whole if entry[0] == e and entry[1] != "val")
        for e in range(4)
    ]
    assert [[video for video, _ in epoch] for epoch in by_epoch] == [list(range(6))] * 4
    assert len({tuple(value for _, value in epoch) for epoch in by_epoch}) == 4
    validation = [entry[2] for entry in whole if entry[1] == "val"]
    assert len(validation) == 4 and len(set(validation)) == 1

    half = fit(root, tmp_path, epochs=2)
    rest = fit(root, tmp_path, epochs=4, checkpoint=tmp_path / "last.ckpt")
    assert half + rest == whole


def test_workers_see_the_same_epochs(root, tmp_path):
    assert fit(root, tmp_path, 2, num_workers=2) == fit(root, tmp_path, 2)


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfitting_on_few_batches(root, tmp_path):
    data = VideoFolder(
        root=str(root), frames=3, size=(16, 16), resize=None, batch_size=2, num_workers=0
    )
    module = Recorder()
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_epochs=2,
        overfit_batches=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    videos = [entry[1] for entry in module.seen if entry[1] != "val"]
    assert videos[:2] == videos[2:]
    assert len(videos) == 4
