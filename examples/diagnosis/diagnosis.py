"""A diagnosis from measurements, learnt from the patients of two clinics that both are paid for it.

    python examples/diagnosis/diagnosis.py diagnosis/

trains in a second and writes what `pouw model import` takes: the model as ONNX, calibration data,
and held-out patients. The data are scikit-learn's copy of the Wisconsin breast cancer set: 30
measurements of cell nuclei from 569 patients (Street, Wolberg and Mangasarian, "Nuclear feature
extraction for breast tumor diagnosis", 1993). It is an example of the accounts, not of medicine.

What is submitted to a public chain is public for good: no real patient's data belong there.
"""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

SEED: Final = 0
EPOCHS: Final = 60
CLASSES: Final = ("malignant", "benign")
FIRST_CLINIC_SHARE: Final = 2 / 3
"""Of the patients trained with; the second clinic brings the others."""
ROYALTIES: Final = (4, 2)
"""Per cent of every bounty, in proportion to the patients that each clinic brings."""
_HELD_OUT: Final = 0.25


@dataclass(frozen=True)
class Patients:
    """Standard scores (N, 30) float32 and diagnoses (N,): of two clinics, and held out.

    A score is a measurement less the mean of the patients trained with, in their deviations.
    """

    clinics: tuple[NDArray[np.float32], NDArray[np.float32]]
    diagnoses: tuple[NDArray[np.int64], NDArray[np.int64]]
    held_out: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def together(self) -> NDArray[np.float32]:
        """The patients trained with."""
        return np.concatenate(self.clinics)


def load() -> Patients:
    """Return the data set, always divided in the same way."""
    found: Any = load_breast_cancer()
    parts: Any = train_test_split(
        found.data.astype(np.float32),
        found.target,
        test_size=_HELD_OUT,
        random_state=SEED,
        stratify=found.target,
    )
    train, held_out, known, labels = parts
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scores, held_out = (train - mean) / deviation, (held_out - mean) / deviation
    cut = round(FIRST_CLINIC_SHARE * len(train))
    return Patients((scores[:cut], scores[cut:]), (known[:cut], known[cut:]), held_out, labels)


def trained(patients: Patients) -> nn.Module:
    """Return a perceptron from standard scores to two logits, in evaluation mode."""
    torch.manual_seed(SEED)
    train = torch.from_numpy(patients.together)
    labels = torch.from_numpy(np.concatenate(patients.diagnoses))
    module = nn.Sequential(nn.Linear(train.shape[1], 32), nn.ReLU(), nn.Linear(32, len(CLASSES)))
    optimiser = torch.optim.Adam(module.parameters(), 1e-2, weight_decay=1e-3)
    for _ in range(EPOCHS):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(train), labels).backward()
        optimiser.step()
    return module.eval()


def export(module: nn.Module, example: NDArray[np.float32], file: Path) -> None:
    """Write a module as ONNX with a free batch dimension, its weights inside."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what it does not need
    torch.onnx.export(
        module,
        (torch.from_numpy(example[:2]),),
        file,
        input_names=["scores"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


def main(folder: Path) -> None:
    """Train the model and write all files."""
    torch.set_num_threads(1)  # so small matrices take longer on several
    folder.mkdir(parents=True, exist_ok=True)
    patients = load()
    module = trained(patients)
    with torch.no_grad():
        answers = module(torch.from_numpy(patients.held_out)).argmax(dim=1).numpy()
    right = np.mean(answers == patients.labels)
    print(f"diagnosis: {right:.2%} of {len(answers)} held-out patients")
    export(module, patients.together, folder / "diagnosis.onnx")
    np.save(folder / "calibration.npy", patients.together)
    np.save(folder / "patients.npy", patients.held_out)
    np.save(folder / "labels.npy", patients.labels)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/diagnosis/diagnosis.py FOLDER")
    main(Path(sys.argv[1]))
