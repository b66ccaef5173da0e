"""Tiny clips in memory, in the batches of a VideoDataModule."""

import pytest  # noqa: I001 - compat comes before Lightning
import torch
from torch.utils.data import DataLoader, Dataset

from videowino.compat import torchvision  # noqa: F401
import pytorch_lightning as pl

CLASSES = 6
SHAPE = (3, 4, 16, 16)  # C T H W


class Clips(Dataset):
    """Noise around one fixed pattern a class, so that a few steps lower the loss."""

    def __init__(self, count: int, views: int | None, classes: int = CLASSES):
        generator = torch.Generator().manual_seed(count)
        self.label = torch.arange(count) % classes
        patterns = torch.randn(classes, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
        noise = torch.randn(count, views or 1, *SHAPE, generator=generator)
        self.clip = patterns[self.label] + 0.5 * noise
        self.train = views is None

    def __len__(self):
        return len(self.label)

    def __getitem__(self, index):
        clip = self.clip[index]
        return {
            "clip": clip[0] if self.train else clip,
            "label": self.label[index],
            "video": torch.tensor(index),
        }


class TinyData(pl.LightningDataModule):
    def __init__(self, root: str = "", count: int = 12, views: int = 2, batch_size: int = 4):
        super().__init__()
        self.save_hyperparameters()
        self.num_classes = CLASSES

    def _loader(self, views):
        return DataLoader(Clips(self.hparams.count, views), batch_size=self.hparams.batch_size)

    def train_dataloader(self):
        return self._loader(None)

    def val_dataloader(self):
        return self._loader(self.hparams.views)

    test_dataloader = predict_dataloader = val_dataloader


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny operators gain nothing from threads, and lose much where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data():
    return TinyData()


@pytest.fixture
def make_trainer(tmp_path):
    def make(**options):
        defaults = dict(
            default_root_dir=tmp_path,
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            deterministic=True,
        )
        return pl.Trainer(**(defaults | options))

    return make


@pytest.fixture
def make_classifier():
    """A small R3D; the seed makes equal calls give equal networks."""

    def make(**options):
        from videowino.training import VideoClassifier

        torch.manual_seed(0)
        defaults = dict(backbone="r3d_18", num_classes=CLASSES, width=0.125, stem="small", lr=0.05)
        return VideoClassifier(**(defaults | options))

    return make
