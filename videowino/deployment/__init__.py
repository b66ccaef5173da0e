"""From a trained network to the one that runs."""

from videowino.deployment.deployed import DeployedModel, deploy
from videowino.deployment.report import DeploymentReport, LayerTime

__all__ = ["DeployedModel", "DeploymentReport", "LayerTime", "deploy"]
