import pytest
import pytorch_lightning as pl

from videowino.training.named_errors import _instantiate, instantiators


class Own(pl.Callback):
    def __init__(self, count: int = 1, most: int | None = 3) -> None:
        if count == 0:
            raise ValueError(f"count={count}: at least 1")
        if count == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        if count == 2:
            raise RuntimeError("a bug")
        if count == 3:
            raise FileNotFoundError("most: no such file")
        if count == 4:
            raise ValueError("nothing that begins with an argument")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"count": 0}, ValueError, r"^trainer\.callbacks\.count=0: at least 1$"),
        ({"count": 1}, ValueError, r"^trainer\.callbacks: asks for more memory than there is"),
        ({"count": 2}, RuntimeError, "^a bug$"),
        ({"count": 3}, FileNotFoundError, r"^trainer\.callbacks\.most: no such file$"),
        ({"count": 4}, ValueError, "^nothing that begins with an argument$"),
        ({"count": None}, ValueError, r"^trainer\.callbacks\.count=null: is no value for it"),
    ],
)
def test_constructors_errors_have_full_names(arguments, kind, message):
    with pytest.raises(kind, match=message):
        _instantiate({"trainer.callbacks": pl.Callback})(Own, **arguments)


def test_what_may_be_null_is():
    make = _instantiate({"trainer.callbacks": pl.Callback})
    assert isinstance(make(Own, count=9, most=None), Own)
    assert {kind.__name__ for _, kind, _ in instantiators()} >= {"Callback", "VideoClassifier"}
