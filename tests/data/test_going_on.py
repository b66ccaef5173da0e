"""A training that goes on in the middle of an epoch, on another number of processes."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.conftest import write_folder
from videowino.data import VideoFolder
from videowino.data.position import Position, Stretch
from videowino.data.samplers import EvenBatches, InOrder, Shuffled
from videowino.data.streaming.order import ShardsInOrder, ShuffledShards

WIDTHS = st.tuples(st.integers(1, 5), st.integers(1, 4))  # processes, and clips a batch
PARTS = st.lists(st.tuples(st.integers(0, 4), *[st.integers(1, 5)] * 2), max_size=3)


def clips(count):
    return [SimpleNamespace(shard=index // 4, start=index % 4) for index in range(count)]


ORDERS = {
    "in order": lambda count: InOrder(count),
    "shuffled": lambda count: Shuffled(count, seed=3),
    "shards in order": lambda count: ShardsInOrder(clips(count)),
    "shuffled shards": lambda count: ShuffledShards(clips(count), buffer=5, seed=3),
}


def each(order, width, position):
    """The samplers of all processes."""
    ranks, batch_size = width
    return [
        EvenBatches(order, batch_size, rank=rank, ranks=ranks, start=position)
        for rank in range(ranks)
    ]


@pytest.mark.parametrize("kind", ORDERS)
@given(count=st.integers(1, 40), parts=PARTS, width=WIDTHS)
def test_each_clip_of_an_epoch_is_seen_once(kind, count, parts, width):
    order, position, seen = ORDERS[kind](count), Position(2), []
    for taken, *wide in (*parts, (count, *width)):
        samplers = each(order, wide, position)
        batches = [list(sampler) for sampler in samplers]
        (left,) = {len(own) for own in batches}  # processes wait for each other
        (length,) = {len(sampler) for sampler in samplers}
        begun = {sampler.begun(2) for sampler in samplers}
        assert begun == {length - left}  # so the last batch has the number that it always has
        sizes = [len(batch.samples) for own in batches for batch in own]
        assert not sizes or max(sizes) <= wide[1]
        taken = min(taken, left)
        seen += [index for own in batches for b in own[:taken] for index, _ in b.samples]
        numbers = {batch.number for own in batches for batch in own[:taken]}
        assert numbers == set(range(length - left, length - left + taken))
        position = samplers[0].position(2, length - left + taken)
    assert sorted(seen) == list(range(count))


def test_the_same_processes_go_on_with_their_own_batches():
    whole = EvenBatches(Shuffled(11), 3)
    whole.set_epoch(2)
    position = whole.position(2, 1)
    assert position == Position(2, (Stretch(1, 1, 3),))
    assert list(EvenBatches(Shuffled(11), 3, start=position)) == list(whole)[1:]
    again = EvenBatches(Shuffled(11), 3, start=position).position(2, 3)
    assert again == Position(2, (Stretch(3, 1, 3),))


def test_the_epochs_after_it_are_whole():
    order, start = Shuffled(11), Position(2, (Stretch(1, 2, 2),))
    sampler = EvenBatches(order, 3, start=start)
    assert [len(b.samples) for b in sampler] == [2, 3, 3]  # three of eleven are seen
    sampler.set_epoch(3)
    assert sorted(i for b in sampler for i, _ in b.samples) == list(range(11))


def test_what_a_checkpoint_holds(tmp_path):
    data = VideoFolder(root=str(write_folder(tmp_path / "clips")), batch_size=2, num_workers=0)
    data.load_state_dict({"epoch": 1, "seen": [[1, 2, 1]]})
    epoch = SimpleNamespace(processed=1, started=2)
    batch = SimpleNamespace(current=SimpleNamespace(ready=0), is_last_batch=False)
    data.trainer = SimpleNamespace(
        global_rank=0,
        world_size=1,
        overfit_batches=0,
        fit_loop=SimpleNamespace(
            epoch_progress=SimpleNamespace(current=epoch),
            epoch_loop=SimpleNamespace(batch_progress=batch),
        ),
    )
    sampler = data.train_dataloader().sampler
    batch.current.ready = sampler.begun(1) + 2
    assert data.state_dict() == {"epoch": 1, "seen": [[1, 2, 1], [2, 1, 2]]}
    batch.is_last_batch = True
    assert data.state_dict() == {"epoch": 2, "seen": []}


@pytest.mark.parametrize(
    "state",
    [{}, {"epoch": 1, "batch": 3}, {"epoch": 1, "seen": [[1, 2]]}, {"epoch": 1, "seen": 3}]
    + [{"epoch": "1", "seen": []}, {"epoch": 1, "seen": [[1, 0, 4]]}, {"epoch": -1, "seen": []}],
)
def test_a_place_that_is_none(state):
    with pytest.raises(ValueError, match=r"ckpt_path: the place in an epoch .* --model\.weights"):
        VideoFolder(root="clips").load_state_dict(state)
