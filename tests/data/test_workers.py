"""Loading processes that are deaf to SIGTERM end with the process that started them."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LEFT = """
import sys
from torch.utils.data import DataLoader
from videowino.data.workers import deaf_to_signals, end_with_process

end_with_process()
loader = DataLoader(range(99), num_workers=1, worker_init_fn=deaf_to_signals)
batches = iter(loader)
next(batches)
sys.modules["kept"] = batches  # as a traceback may
print(batches._workers[0].pid, flush=True)
sys.exit(130)
"""


def test_a_process_that_exits_does_not_wait_for_them():
    command = [sys.executable, "-c", LEFT]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")
    assert not os.path.exists(f"/proc/{int(done.stdout)}")
