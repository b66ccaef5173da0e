import csv

from videowino.training.run_logger import RunLogger


def rows(tmp_path):
    with (tmp_path / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_every_row_is_on_disk_at_once(tmp_path):
    logger = RunLogger(tmp_path)
    logger.log_metrics({"loss": 0.5}, step=3)
    assert rows(tmp_path) == [{"loss": "0.5", "step": "3"}]
    logger.log_metrics({"top1": 1.0}, step=4)
    assert rows(tmp_path) == [{"loss": "0.5", "step": "3"}, {"top1": "1.0", "step": "4"}]
    assert logger.log_dir == str(tmp_path)


def test_a_resumed_run_replaces_the_steps_that_it_repeats(tmp_path):
    killed = RunLogger(tmp_path)
    for step in range(6):
        killed.log_metrics({"loss": float(step)}, step=step)
    resumed = RunLogger(tmp_path)
    for step in range(4, 8):
        resumed.log_metrics({"loss": 10.0 + step, "lr": 0.1}, step=step)
    assert [(r["step"], r["loss"]) for r in rows(tmp_path)] == [
        ("0", "0.0"),
        ("1", "1.0"),
        ("2", "2.0"),
        ("3", "3.0"),
        ("4", "14.0"),
        ("5", "15.0"),
        ("6", "16.0"),
        ("7", "17.0"),
    ]


def test_a_half_written_last_row_is_dropped(tmp_path):
    (tmp_path / "metrics.csv").write_text("loss,step\n1.0,0\n2.0,\n")
    RunLogger(tmp_path).log_metrics({"loss": 3.0}, step=1)
    assert rows(tmp_path) == [{"loss": "1.0", "step": "0"}, {"loss": "3.0", "step": "1"}]
