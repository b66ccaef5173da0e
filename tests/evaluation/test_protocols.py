"""Protocols by name, and the views they take."""

import pytest
import torch

from videowino.data.crops import Crop
from videowino.data.transforms import eval_transform
from videowino.evaluation.protocols import Protocol, parse_protocols, richest
from videowino.evaluation.views import ViewPlan


def test_names_and_counts():
    protocols = parse_protocols("1x1, 10x3,3x1m,1x10")
    assert protocols == [Protocol(), Protocol(10, 3), Protocol(3, 1, True), Protocol(1, 10)]
    assert [p.views for p in protocols] == [1, 30, 6, 10]
    assert [p.name for p in protocols] == ["1x1", "10x3", "3x1m", "1x10"]
    assert str(protocols[2]) == "3 clips x 1 crop, mirrored too"
    assert richest(protocols) == Protocol(10, 3)
    assert richest([Protocol(10, 1), Protocol(1, 10)]) == Protocol(10, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0x1", "views=0x1: 0x1 has no clip; at least 1"),
        ("1x1,2x5", "2x5 has 5 crops; 1, 3 or 10"),
        ("10", "'10' is not clips x crops; give e.g. 1x1,10x1"),
        ("", "'' is not clips x crops"),
        ("1x-1", "'1x-1' is not clips x crops"),
        ("1x10m", "ten crops are mirrored already"),
        ("1x1,1x1", "1x1 is given twice"),
    ],
)
def test_what_is_no_protocol(text, message):
    with pytest.raises(ValueError, match=message):
        parse_protocols(text)
    with pytest.raises(ValueError, match="data.clips=0: at least 1"):
        Protocol(0)
    with pytest.raises(ValueError, match="data.crops=5: 1"):
        Protocol(1, 5)


@pytest.mark.parametrize(
    "protocol", [Protocol(), Protocol(3, 3), Protocol(2, 1, True), Protocol(2, 10)]
)
@pytest.mark.parametrize("frame", [(9, 12), (12, 9), (6, 6)])
def test_views_are_those_of_the_data_module_in_its_order(protocol, frame):
    protocols = [Protocol(1, 3), protocol]
    clips = torch.randint(0, 256, (5, 2, 3, *frame), dtype=torch.uint8)
    plan = ViewPlan(protocols, (6, 6))
    assert plan.clips == list(dict.fromkeys([1, protocol.clips]))
    views = plan.views(*frame)
    chosen = [views.distinct[at] for at in views.of[protocol]]
    ours = torch.stack([view.cut(clips, (6, 6)) for view in chosen])
    first = 0 if protocol.clips == 1 else 1
    transform = eval_transform(
        size=(6, 6),
        crops=protocol.crops,
        mirror=protocol.mirror,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    theirs = transform(clips[first : first + protocol.clips]).flatten(0, 1)
    assert len(ours) == protocol.views
    assert torch.equal(ours.transpose(1, 2).float(), (theirs * 255).round())


def test_views_that_protocols_share_are_computed_once():
    ten, three, one = Protocol(4, 10), Protocol(4, 3), Protocol(4, 1)
    plan = ViewPlan([one, three, ten, Protocol(1, 1)], (6, 6))
    views = plan.views(10, 14)
    # The centre is in all three, the ends of the longer side in none but their own.
    assert len(views.distinct) == 4 * (10 + 2) + 1
    assert views.distinct[views.of[one][0]].crop == Crop(2, 4)
    assert set(views.of[one]) <= set(views.of[three])
    # Where the frame is the crop, ten crops are two: plain and mirrored.
    same = plan.views(6, 6)
    assert len(same.distinct) == 4 * 2 + 1
    assert len(same.of[ten]) == 40
    assert plan.views(6, 6) is same
    with pytest.raises(ValueError, match="frames are 5x9 after data.resize, smaller"):
        plan.views(5, 9)
