"""Every row of the bench runs, in a tiny world, and says what it promises in JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import ROWS
from bench.row import Result, Target, quantile

_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 900.0


def test_every_row_has_a_name_of_its_own() -> None:
    """`--only` means one row by each name."""
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_quantile_is_a_sample() -> None:
    """A percentile is a value that was seen, the smallest that enough others do not exceed."""
    samples = [float(number) for number in range(1, 101)]
    assert (quantile(samples, 0.5), quantile(samples, 0.99), quantile([7.0], 0.99)) == (50, 99, 7)


def test_targets_know_their_direction() -> None:
    """A latency must not exceed its target, a throughput must not fall short of it."""
    assert Target("p50_ms", 8).is_met(8)
    assert not Target("p50_ms", 8).is_met(8.1)
    assert not Target("per_cpu_s", 0.97, least=True).is_met(0.96)


@pytest.mark.root
@pytest.mark.envoy
@pytest.mark.haproxy
@pytest.mark.slow
def test_a_tiny_run_of_every_row_writes_its_figures(tmp_path: Path) -> None:
    """A quick run ends well, prints results as JSON lines, and writes the same into its folder."""
    command = (sys.executable, "-m", "bench", "--quick", "--results", str(tmp_path))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_S, cwd=_ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("*.jsonl")
    lines = written.read_text().splitlines()
    assert {json.loads(line)["row"] for line in lines} == {row.name for row in ROWS}
    for line in lines:
        assert line in done.stdout
        said = json.loads(line)
        assert set(said.pop("on")) == {"cpus", "python", "load"}
        result = Result(**said)
        assert all(value >= 0 for value in result.product.values())
        assert set(result.ratio) <= set(result.product) & set(result.floor)
