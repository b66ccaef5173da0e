"""The tiny data, trainers and classifiers of the training tests."""

from tests.training.conftest import (  # noqa: F401
    _one_thread,
    data,
    make_classifier,
    make_trainer,
)
