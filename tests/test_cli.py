import argparse
import logging
import sys
import warnings

import jsonargparse
import pytest
from torch.utils.data import DataLoader, Dataset

from videowino import cli


@pytest.fixture(autouse=True)
def _as_warnings_were(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def outcome(main, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    return ended.value.code, capsys.readouterr().err


def raiser(error):
    def main():
        raise error

    return main


def test_success_exits_with_0(capsys):
    assert outcome(lambda: None, capsys) == (0, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("model.rank=0: must be 1 or more"), "model.rank=0: must be 1 or more"),
        (FileNotFoundError("data.root=x: no such folder"), "data.root=x: no such folder"),
        (ValueError("two\n  lines"), "two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(error, line, capsys):
    assert outcome(raiser(error), capsys) == (2, f"error: {line}\n")


def test_error_of_the_operating_system_names_the_file(tmp_path, capsys):
    missing = tmp_path / "none.txt"
    code, err = outcome(lambda: missing.read_text(), capsys)
    assert (code, err) == (2, f"error: {missing}: No such file or directory\n")


@pytest.mark.parametrize("name", ["MisconfigurationException", "UsageError", "CommError"])
def test_user_errors_of_lightning_and_wandb_are_known_by_name(name):
    kind = type(name, (Exception,), {})
    assert cli.is_user_error(kind("x")) and cli.is_user_error(type("Below", (kind,), {})("x"))


def test_what_loggers_tell_is_printed_once_and_by_scripts_alone(capsys):
    def main():
        logging.getLogger("videowino.data.somewhere").info("80 %% of %d clips train", 10)
        logging.getLogger("elsewhere").info("not ours")

    for _ in range(2):
        with pytest.raises(SystemExit):
            cli.run(main)
        assert capsys.readouterr().out == "80 % of 10 clips train\n"
    main()
    assert capsys.readouterr().out == ""


def test_warnings_are_one_line(capsys):
    def main():
        warnings.simplefilter("always")
        warnings.warn("two\n  lines", stacklevel=1)

    with warnings.catch_warnings():
        assert outcome(main, capsys) == (0, "warning: two lines\n")


def test_interrupt_exits_130(capsys):
    assert outcome(raiser(KeyboardInterrupt()), capsys) == (130, "interrupted\n")


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyError("bug"), AssertionError("bug")])
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error), match="bug"):
        cli.run(raiser(error))


def test_traceback_on_demand(monkeypatch):
    monkeypatch.setenv("VIDEOWINO_TRACEBACK", "1")
    with pytest.raises(ValueError, match="whole"):
        cli.run(raiser(ValueError("whole story")))


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError("clip.avi: has no frames:\nnothing to decode")


def test_error_of_a_loader_worker_is_reduced_to_its_message(capsys):
    code, err = outcome(lambda: next(iter(DataLoader(Broken(), num_workers=1))), capsys)
    assert (code, err) == (2, "error: clip.avi: has no frames: nothing to decode\n")


class Head:
    def __init__(self, classes: int = 2, bias: bool = True):
        pass


class Base:
    def __init__(self, root: str = "", split: int = 1):
        pass


class Child(Base):
    def __init__(self, extra: int = 0, **kwargs):
        if extra < 0:
            raise ValueError(f"extra={extra}: 0 or more")
        super().__init__(**kwargs)


def parser() -> jsonargparse.ArgumentParser:
    new = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    new.add_argument("--learning_rate", type=float)
    new.add_argument("--config", action=jsonargparse.ActionConfigFile)
    new.add_class_arguments(Head, "head")
    new.add_subclass_arguments(Base, "data")
    return new


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--learning_rat=3"],
            "unknown option 'learning_rat'; did you mean 'learning_rate'?",
        ),
        (["--head.clases", "3"], "unknown option 'head.clases'; did you mean 'head.classes'?"),
        (["--zzz", "3"], "unknown option 'zzz'"),
        (
            ["--data=CHILD", "--data.rot=x"],
            "unknown option 'data.rot' of CHILD; did you mean 'data.root'?",
        ),
        (
            ["--data=CHILD", "--data.etra=x"],
            "unknown option 'data.etra' of CHILD; did you mean 'data.extra'?",
        ),
        (["--data=CHILD", "--data.split=x"], "data.split of CHILD: Expected a int. Got value: x"),
        (["--learning_rate=x"], "learning_rate: Expected a float. Got value: x"),
    ],
)
def test_parser_errors_name_the_option_and_the_nearest(arguments, line):
    child = f"{__name__}.Child"
    sys.modules.setdefault(__name__, sys.modules[Child.__module__])
    new = parser()
    with pytest.raises(argparse.ArgumentError) as raised:
        new.parse_args([a.replace("CHILD", child) for a in arguments])
    text = cli.explain(str(raised.value), cli.option_names(new))
    assert text == line.replace("CHILD", child)


def test_what_a_constructor_refuses_is_the_message(capsys):
    new = jsonargparse.ArgumentParser(exit_on_error=False)
    new.add_argument("--data", type=list[Base] | Base | None)
    sys.modules.setdefault(__name__, sys.modules[Child.__module__])
    config = new.parse_object(
        {"data": [{"class_path": f"{__name__}.Child", "init_args": {"extra": -1}}]}
    )
    code, err = outcome(lambda: new.instantiate(config), capsys)
    assert (code, err) == (2, "error: extra=-1: 0 or more\n")


def test_no_name_is_suggested_where_none_is_near():
    assert cli.suggestion("abc", ["root", "split"]) == ""
    known = ["trainer.callbacks.seconds", "trainer.callbacks.batch_size"]
    assert cli.suggestion("trainer.callbacks.startt", known, "trainer.callbacks") == ""
    near = cli.suggestion("trainer.callbacks.second", known, "trainer.callbacks")
    assert near == "; did you mean 'trainer.callbacks.seconds'?"
