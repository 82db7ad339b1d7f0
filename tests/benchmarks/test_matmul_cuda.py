"""Without a GPU the benchmark says so in one line; what it measures is tested in the interpreter
(`tests/kernels/gpu/interpreted/test_benchmark.py`)."""

import pytest
import torch
from click.testing import CliRunner
from pouw.benchmarks.__main__ import main


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_no_gpu_is_one_clear_line(device: str) -> None:
    result = CliRunner().invoke(main, ["matmul", "--device", device, "--json"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: device {device}: torch ")
    assert result.output.endswith("use --device cpu\n")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_unknown_devices_are_refused(device: str) -> None:
    result = CliRunner().invoke(main, ["matmul", "--device", device])
    assert result.exit_code == 1
    assert "choose cpu or cuda:0" in result.output
