"""Calls that hang are given up; the caller goes on."""

import ctypes
import pickle
import threading
import time
from functools import partial

import pytest
import torch.multiprocessing as multiprocessing

from videowino.data.decoding.time_limit import TimeLimit

# A sleep in C, as a decoder that hangs; ctypes releases the lock as decoders do.
hang = partial(ctypes.CDLL(None).usleep, 3_000_000)


def test_returns_and_raises_what_the_call_does():
    limited = TimeLimit(5)
    assert limited(lambda: 3) == 3
    with pytest.raises(KeyError, match="gone"):
        limited(lambda: {}["gone"])
    assert limited(threading.get_ident) == limited(threading.get_ident) != threading.get_ident()


def test_a_hanging_call_is_given_up_and_the_next_one_made():
    limited = TimeLimit(0.2)
    start = time.monotonic()
    for _ in range(2):
        with pytest.raises(TimeoutError, match="took longer than 0.2 s"):
            limited(hang)
        assert limited(lambda: "on") == "on"
    assert time.monotonic() - start < 2


def test_no_limit_needs_no_thread():
    assert TimeLimit(0)(threading.get_ident) == threading.get_ident()


def _in_child(limited, queue):
    queue.put(limited(lambda: "child"))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_in_other_processes(start):
    limited = TimeLimit(5)
    assert limited(lambda: "parent") == "parent"
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(limited, queue))
    child.start()
    assert queue.get(timeout=60) == "child"
    child.join()


def test_copies_have_threads_of_their_own():
    limited = TimeLimit(5)
    mine = limited(threading.get_ident)
    again = pickle.loads(pickle.dumps(limited))
    assert again.seconds == 5 and again(threading.get_ident) != mine
