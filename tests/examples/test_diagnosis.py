"""The diagnosis example: as good as in floats, and its data's owners are paid whenever it is used.

The run is a user's own: every step is a command, at a real node with a real miner.
"""

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from pouw.core.keys import PrivateKey
from pouw.examples.diagnosis import diagnosis
from pouw.tests.cli.town import COIN, Ended, Town, address, open_town
from pouw.tests.examples.running import (
    accuracy,
    answers_of,
    float_answers,
    mining_town,
    output_of,
)
from pouw.vm.frontends.api import quantize, save
from pouw.vm.frontends.quantise import Quantised

CLINICS = (
    PrivateKey(b"a clinic that brings two thirds!"),
    PrivateKey(b"a clinic that brings one third!!"),
)
BOUNTIES = (3 * COIN, 7 * COIN + 33)
"""The second is no multiple of what the shares divide by."""


@pytest.fixture(scope="module")
def patients() -> diagnosis.Patients:
    return diagnosis.load()


@pytest.fixture(scope="module")
def module(patients: diagnosis.Patients) -> torch.nn.Module:
    torch.set_num_threads(1)
    return diagnosis.trained(patients)


@pytest.fixture(scope="module")
def quantised(patients: diagnosis.Patients, module: torch.nn.Module) -> Quantised:
    return quantize(module, patients.together)


@pytest.fixture
def town(tmp_path: Path) -> Generator[Town]:
    with open_town(tmp_path) as opened:
        yield opened


def test_it_is_as_good_as_in_floats(
    patients: diagnosis.Patients, module: torch.nn.Module, quantised: Quantised
) -> None:
    floats = float_answers(module, patients.held_out)
    ours = answers_of(quantised, patients.held_out)
    assert accuracy(floats, patients.labels) > 0.93
    assert accuracy(ours, patients.labels) >= accuracy(floats, patients.labels) - 0.005
    assert np.abs(ours - floats).mean() < 0.04 * np.abs(floats).mean()


@pytest.mark.slow
def test_both_clinics_earn_their_share_of_every_job(
    town: Town, patients: diagnosis.Patients, quantised: Quantised
) -> None:
    program, weights, card = save(quantised, town.folder, "diagnosis", classes=diagnosis.CLASSES)
    with mining_town(town):
        shares = zip(CLINICS, diagnosis.ROYALTIES, strict=True)
        royalties = [f"--royalty={address(key)}={percent}" for key, percent in shares]
        registered = succeeded(
            town.pouw(
                *("model", "register", "--name", "diagnosis", "--licence", "CC BY 4.0"),
                *("--program", program, "--weights", weights, "--card", card, *royalties),
            )
        )
        model = registered.out.strip()
        jobs = [
            run_job(town, model, patients.held_out[start::2], bounty)
            for start, bounty in enumerate(BOUNTIES)
        ]
        for start, job in enumerate(jobs):
            check_answer(town, job, quantised, patients, start)
    for key, percent in zip(CLINICS, diagnosis.ROYALTIES, strict=True):
        assert town.balance(key) == sum(bounty * percent // 100 for bounty in BOUNTIES)


def run_job(town: Town, model: str, held_out: np.ndarray, bounty: int) -> str:
    """Have patients diagnosed and return the job."""
    file = town.folder / f"patients-{bounty}.npy"
    np.save(file, held_out)
    amount = f"{bounty // COIN}.{bounty % COIN:09}"
    ended = town.pouw(
        *("job", "submit", model, "--input", file, "--bounty", amount, "--wait", "--json")
    )
    answer = json.loads(succeeded(ended).out)
    assert answer["status"] == "settled"
    return answer["job"]


def check_answer(
    town: Town, job: str, quantised: Quantised, patients: diagnosis.Patients, start: int
) -> None:
    """Compare a job's answer with the program's own, in integers, floats and names."""
    held_out, labels = patients.held_out[start::2], patients.labels[start::2]
    result = json.loads(succeeded(town.pouw("job", "result", job, "--json")).out)
    expected = np.frombuffer(output_of(quantised, held_out), "<i4").reshape(len(held_out), -1)
    assert np.array_equal(result["values"], expected)
    floats = json.loads(succeeded(town.pouw("job", "result", job, "--floats", "--json")).out)
    assert np.allclose(floats["values"], answers_of(quantised, held_out), rtol=1e-4, atol=1e-4)
    named = [diagnosis.CLASSES.index(name) for name in floats["classes"]]
    assert np.mean(np.array(named) == labels) > 0.9


def succeeded(ended: Ended) -> Ended:
    assert ended.code == 0, ended
    return ended
