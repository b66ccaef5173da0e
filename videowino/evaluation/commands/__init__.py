"""The subcommands of `evaluate.py`, one a file."""

from videowino.evaluation.commands.compare import Compare
from videowino.evaluation.commands.deploy import Deploy
from videowino.evaluation.commands.latency import LatencyOfLayers
from videowino.evaluation.commands.options import Command
from videowino.evaluation.commands.predict import Predict
from videowino.evaluation.commands.report import Report
from videowino.evaluation.commands.test import ByProtocol

COMMANDS: dict[str, Command] = {
    "compare": Compare(),
    "deploy": Deploy(),
    "latency": LatencyOfLayers(),
    "predict": Predict(),
    "report": Report(),
    "test": ByProtocol(),
}
