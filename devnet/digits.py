"""The demo's model: a classifier of the UCI handwritten digits that scikit-learn ships.

(Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998: 1,797
images of 8×8 pixels.) Hidden layers of 640 give products whose k is long enough to be mined.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.codec import encode
from ..core.errors import UserError
from ..vm.frontends.mlp import quantise_mlp

HIDDEN: Final = 640
_EPOCHS: Final = 15
_PIXEL_MAX: Final = 16.0
_HELD_OUT: Final = 0.3


@dataclass(frozen=True, slots=True)
class DigitsModel:
    """A trained float model beside its quantised program, and the images kept from training."""

    program: bytes
    """Canonical program."""
    weights: bytes
    input: bytes
    """The held-out images as the program takes them."""
    labels: NDArray[np.int64]
    """(N,) true digits of the held-out images."""
    float_answers: NDArray[np.int64]
    """(N,) the float model's answers on them."""

    def save(self, folder: Path) -> None:
        """Write program, weights, images and labels as files that the commands take."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "digits.program").write_bytes(self.program)
        (folder / "digits.weights").write_bytes(self.weights)
        images = np.frombuffer(self.input, np.int8).reshape(len(self.labels), -1)
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", self.labels)

    def accuracy(self, answers: NDArray[Any]) -> float:
        """Return the share of right answers, for display."""
        return float((answers == self.labels).mean())


def train_digits() -> DigitsModel:
    """Train, quantise and encode; takes some seconds. Raises UserError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra of the demo only
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
        from sklearn.model_selection import train_test_split  # noqa: PLC0415
        from sklearn.neural_network import MLPClassifier  # noqa: PLC0415
    except ImportError:
        raise UserError("the demo trains with scikit-learn: pip install 'pouw[demo]'") from None
    images, labels = load_digits(return_X_y=True)
    train, held_out, train_labels, held_out_labels = train_test_split(
        images / _PIXEL_MAX, labels, test_size=_HELD_OUT, random_state=0, stratify=labels
    )
    classifier = MLPClassifier((HIDDEN, HIDDEN), max_iter=_EPOCHS, alpha=1e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # accurate enough after few epochs
        classifier.fit(train, train_labels)
    layers = [(w.T, b) for w, b in zip(classifier.coefs_, classifier.intercepts_, strict=True)]
    model = quantise_mlp(layers, train)
    return DigitsModel(
        program=encode(model.program),
        weights=model.weights,
        input=model.encoder.encode(held_out),
        labels=np.asarray(held_out_labels, np.int64),
        float_answers=np.asarray(classifier.predict(held_out), np.int64),
    )
