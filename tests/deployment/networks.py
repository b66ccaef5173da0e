"""Small networks as users write them, with statistics as after training."""

import torch
from torch import nn


class Block(nn.Module):
    """A residual block as networks write it, with a shortcut of its own where sizes change."""

    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv3d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(c_out)
        self.short = nn.Identity()
        if stride != 1 or c_in != c_out:
            conv = nn.Conv3d(c_in, c_out, 1, stride=stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm3d(c_out))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.short(x)
        return self.relu(y)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 16, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(16),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(Block(16, 16), Block(16, 24, 2))
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3, 4)))


CLIP = torch.randn(2, 3, 4, 20, 20, generator=torch.Generator().manual_seed(1))


def trained(network):
    """With statistics as after training: nothing is 0 or 1."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d) and module.track_running_stats:
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return network.eval()
