#!/usr/bin/env python3
"""pytorch_to_tally.py MODEL.safetensors X.npy [lstm|gru|rnn]

Saves a PyTorch model so that tally can load it: the recurrent layers must be named rnn and the linear layer after them
head. Writes random sequences to X.npy and prints PyTorch's predictions for them, for comparison with those of tally:

    python3 examples/pytorch_to_tally.py model.safetensors x.npy gru
    tally predict model.safetensors --npy x.npy --json
"""
import json
import sys

import numpy
import torch
from safetensors.torch import save_file

CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


class Classifier(torch.nn.Module):
    """tally's model: recurrent layers, and a linear layer on the last output of the last one."""

    def __init__(self, cell, inputs, hidden, classes, layers):
        super().__init__()
        self.rnn = CELLS[cell](inputs, hidden, layers, batch_first=True)
        self.head = torch.nn.Linear(hidden, classes)

    def forward(self, x):
        outputs, _ = self.rnn(x)
        return self.head(outputs[:, -1])


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] and sys.argv[3] not in CELLS:
        sys.exit(__doc__)
    torch.manual_seed(1)
    model = Classifier(sys.argv[3] if len(sys.argv) > 3 else "lstm", inputs=3, hidden=16, classes=5, layers=2)
    # ... train it here ...
    save_file(model.state_dict(), sys.argv[1])

    x = torch.randn(10, 7, 3)  # sequences, time steps, inputs
    numpy.save(sys.argv[2], x.numpy())
    with torch.no_grad():
        for number, p in enumerate(torch.softmax(model(x), dim=1)):
            print(json.dumps({"sequence": number, "class": int(p.argmax()), "probabilities": p.tolist()}))


if __name__ == "__main__":
    main()
