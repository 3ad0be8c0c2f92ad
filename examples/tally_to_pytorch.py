#!/usr/bin/env python3
"""tally_to_pytorch.py MODEL.safetensors X.npy

Loads a model trained by tally into PyTorch's modules, which are chosen by the shapes of the weights, and prints its
predictions for the sequences in X [sequences, time steps, inputs]:

    tally train npy --x X.npy --y Y.npy --cell gru --out model.safetensors
    python3 examples/tally_to_pytorch.py model.safetensors X.npy
"""
import json
import sys

import numpy
import torch
from safetensors import safe_open

CELLS = {4: torch.nn.LSTM, 3: torch.nn.GRU, 1: torch.nn.RNN}  # by the rows of weights per unit


def part(tensors, prefix):
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}


def load(path):
    """Returns the recurrent layers, the head and the notes. Tensors of the training state are ignored."""
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    rnn, head = part(tensors, "rnn."), part(tensors, "head.")
    rows, hidden = rnn["weight_hh_l0"].shape
    layers = sum(name.startswith("weight_hh_l") for name in rnn)
    layers_module = CELLS[rows // hidden](rnn["weight_ih_l0"].shape[1], hidden, layers, batch_first=True)
    layers_module.load_state_dict(rnn)
    head_module = torch.nn.Linear(hidden, head["weight"].shape[0])
    head_module.load_state_dict(head)
    return layers_module, head_module, notes


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rnn, head, notes = load(sys.argv[1])
    x = torch.from_numpy(numpy.load(sys.argv[2]).astype("float32"))
    if "mean" in notes:  # how tally normalised what it was trained on
        x = (x - float(notes["mean"])) * (1 / float(notes["deviation"]))
    with torch.no_grad():
        outputs, _ = rnn(x)
        for number, p in enumerate(torch.softmax(head(outputs[:, -1]), dim=1)):
            print(json.dumps({"sequence": number, "class": int(p.argmax()), "probabilities": p.tolist()}))


if __name__ == "__main__":
    main()
