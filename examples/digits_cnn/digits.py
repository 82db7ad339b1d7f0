"""Two classifiers of handwritten digits: a perceptron, and a small CNN with batch normalisation.

    python examples/digits_cnn/digits.py digits/

trains both in some seconds and writes what `pouw model import` takes: ONNX files, images to
calibrate with, held-out images to ask for, and their labels. The images are those that
scikit-learn ships: 1,797 of 8×8 pixels (Alpaydin and Kaynak, "Optical Recognition of Handwritten
Digits", UCI repository, 1998).
"""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED: Final = 0
EPOCHS: Final = 16
CLASSES: Final = tuple("0123456789")
_PIXEL_MAX: Final = 16.0
_HELD_OUT: Final = 0.25
_CALIBRATION_ITEMS: Final = 128
_BATCH: Final = 68  # leaves no rest so small that it would upset batch normalisation


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, 8, 8) float32 in [0, 1] and their digits (N,), to train with and held out."""

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    held_out: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def calibration(self) -> NDArray[np.float32]:
        """Some images that were trained with."""
        return self.train[:_CALIBRATION_ITEMS]


def load() -> Digits:
    """Return the data set, always divided in the same way."""
    found: Any = load_digits()
    images = (found.images[:, np.newaxis] / _PIXEL_MAX).astype(np.float32)
    parts: Any = train_test_split(
        images, found.target, test_size=_HELD_OUT, random_state=SEED, stratify=found.target
    )
    return Digits(parts[0], parts[2], parts[1], parts[3])


def perceptron() -> nn.Module:
    """Return an untrained perceptron with two hidden layers."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, len(CLASSES)),
    )


def convolutional() -> nn.Module:
    """Return an untrained CNN: batch normalisation, both kinds of pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, len(CLASSES)),
    )


MODELS: Final = {"digits-mlp": perceptron, "digits-cnn": convolutional}


def trained(name: str, digits: Digits) -> nn.Module:
    """Return a model of MODELS, trained, in evaluation mode."""
    torch.manual_seed(SEED)
    module = MODELS[name]()
    images, labels = torch.from_numpy(digits.train), torch.from_numpy(digits.train_labels)
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(_BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(images[batch]), labels[batch]).backward()
            optimiser.step()
        schedule.step()
    return module.eval()


def export(module: nn.Module, example: NDArray[np.float32], file: Path) -> None:
    """Write a module as ONNX with a free batch dimension, its weights inside."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what it does not need
    torch.onnx.export(
        module,
        (torch.from_numpy(example[:2]),),
        file,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


def main(folder: Path) -> None:
    """Train both models and write all files."""
    torch.set_num_threads(1)  # so small matrices take longer on several
    folder.mkdir(parents=True, exist_ok=True)
    digits = load()
    np.save(folder / "calibration.npy", digits.calibration)
    np.save(folder / "images.npy", digits.held_out)
    np.save(folder / "labels.npy", digits.labels)
    for name in MODELS:
        module = trained(name, digits)
        with torch.no_grad():
            answers = module(torch.from_numpy(digits.held_out)).argmax(dim=1).numpy()
        print(f"{name}: {np.mean(answers == digits.labels):.2%} of {len(answers)} held-out images")
        export(module, digits.train, folder / f"{name}.onnx")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/digits_cnn/digits.py FOLDER")
    main(Path(sys.argv[1]))
