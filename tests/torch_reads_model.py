#!/usr/bin/env python3
"""Loads a model file that tally writes into PyTorch's modules, unchanged. Argument: the program that writes it."""
import subprocess
import sys
import tempfile

try:
    import torch
    from safetensors import safe_open
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

INPUTS, HIDDEN, CLASSES = 3, 5, 4


def part(tensors, prefix):
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}


def check_module(module, layers):
    cell = module.__name__.lower()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.safetensors"
        subprocess.run([sys.argv[1], "--write", path, str(layers), cell], check=True)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}

    rnn = module(INPUTS, HIDDEN, layers, batch_first=True)
    head = torch.nn.Linear(HIDDEN, CLASSES)
    rnn.load_state_dict(part(tensors, "rnn."), strict=True)
    head.load_state_dict(part(tensors, "head."), strict=True)
    assert metadata == {"format": "pt", "tally.cell": cell, "task": "count", "letters": "\u00e9\u00df"}, metadata

    loaded = {f"rnn.{name}": value for name, value in rnn.state_dict().items()}
    loaded |= {f"head.{name}": value for name, value in head.state_dict().items()}
    assert loaded.keys() == tensors.keys(), tensors.keys()
    for number, name in enumerate(sorted(loaded), start=1):
        expected = number + torch.arange(loaded[name].numel()) / 64
        if name.startswith("rnn.bias_hh_"):  # part of bias_ih, except for the GRU's n
            expected[: 2 * HIDDEN if cell == "gru" else None] = 0
        assert torch.equal(loaded[name].flatten(), expected), (cell, name)


for module in torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN:
    for layers in 1, 2, 12:
        check_module(module, layers)
print("PyTorch has the weights and the notes")
