"""Checkpoints of a gigabyte that take a few megabytes of disk: four LSTMs, and holes for the rest.

What is written are the headers, the directory and the biases; everything else is never written.
"""

import json
import struct
from pathlib import Path

HIDDEN = 256
GIGABYTE = 1 << 30


def bias(k: int, half: int) -> bytes:
    """What stands in a half of the k-th LSTM: the forget gate's bias is k + half / 4."""
    zeros = [0.0] * HIDDEN
    values = zeros + [k + half / 4] * HIDDEN + zeros + zeros
    return struct.pack(f"<{len(values)}f", *values)


def model():
    """Four LSTMs with 256 MB of other weights before each, none of it touched."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for k in range(4):
                setattr(self, f"dense{k}", torch.nn.Module())
                getattr(self, f"dense{k}").weight = torch.nn.Parameter(torch.empty(GIGABYTE // 16))
                setattr(self, f"lstm{k}", torch.nn.LSTM(HIDDEN, HIDDEN))

    return Model()


def write_zip(path: Path) -> Path:
    """As torch.save writes it, with the data left out (torch.serialization.skip_data)."""
    import zipfile

    import torch

    with torch.serialization.skip_data():
        torch.save(model().state_dict(), path)
    names = list(model_names())
    with zipfile.ZipFile(path) as archive:
        places = {i.filename: i.header_offset for i in archive.infolist()}
    with path.open("r+b") as file:
        for key, name in enumerate(names):
            if "bias" in name:
                at = places[f"{path.stem}/data/{key}"]
                file.seek(at)
                header = file.read(30)
                name_size, extra = struct.unpack("<2H", header[26:30])
                file.seek(at + 30 + name_size + extra)
                file.write(bias(int(name[4]), "hh" in name))
    return path


def model_names() -> list[str]:
    names = []
    for k in range(4):
        names.append(f"dense{k}.weight")
        names += [f"lstm{k}.{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    return names


def write_safetensors(path: Path) -> Path:
    """Header, holes, biases."""
    header, at, biases = {}, 0, []
    for name in model_names():
        if name.startswith("dense"):
            shape = [GIGABYTE // 16]
        else:
            shape = [4 * HIDDEN] if "bias" in name else [4 * HIDDEN, HIDDEN]
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        if "bias" in name:
            biases.append((at, bias(int(name[4]), "hh" in name)))
        at += size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for place, data in biases:
            file.seek(8 + len(raw) + place)
            file.write(data)
        file.truncate(8 + len(raw) + at)
    return path


def write_h5(path: Path, hidden: int = 32, spread: bool = False, libver: str = "earliest") -> Path:
    """As Keras 2 saves weights: an embedding of a gigabyte, then a group a layer; datasets are
    never written but for the biases and the last number, which makes the file as long as it says.
    `spread`: behind each LSTM stands a dense layer of 256 MB. `libver` is h5py's: which version of
    every structure is written.
    """
    import h5py
    import numpy

    with h5py.File(path, "w", libver=libver) as file:
        layers = ["embedding", *(f"lstm_{k}" for k in range(4))]
        if spread:
            layers = [one for k in range(4) for one in (f"lstm_{k}", f"embedding_{k}")]
        file.attrs["layer_names"] = numpy.array(layers, dtype="S")
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        for layer in layers:
            group = file.create_group(layer)
            parts = ["kernel", "recurrent_kernel", "bias"] if "lstm" in layer else ["embeddings"]
            rows = GIGABYTE // 4 // 256 // (4 if spread else 1)
            inner = f"{layer}/lstm_cell" if "lstm" in layer else layer
            group.attrs["weight_names"] = numpy.array([f"{inner}/{p}:0" for p in parts], dtype="S")
            for part in parts:
                shape = (rows, 256) if part == "embeddings" else (hidden, 4 * hidden)
                made = group.create_dataset(
                    f"{inner}/{part}:0", (4 * hidden,) if part == "bias" else shape, dtype="f4"
                )
                if part == "bias":
                    values = [0.0] * hidden + [float(layer[-1])] * hidden + [0.0] * 2 * hidden
                    made[...] = numpy.array(values, "f4")
                else:
                    made[-1, -1] = 0
    return path


WRITERS = {"zip": write_zip, "safetensors": write_safetensors, "h5": write_h5}
SUFFIX = {"zip": ".pt", "safetensors": ".safetensors", "h5": ".h5"}
