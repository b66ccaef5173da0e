"""From a trained network to the one that runs."""

from videowino.deployment.deployed import DeployedModel, deploy, load
from videowino.deployment.preprocessing import Preprocessing
from videowino.deployment.report import DeploymentReport, LayerTime

__all__ = ["DeployedModel", "DeploymentReport", "LayerTime", "Preprocessing", "deploy", "load"]
