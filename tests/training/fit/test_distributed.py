"""Several devices and several hosts: processes on this machine train together, and alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.fit.distributed_worker import PLAIN, train
from training.fit import distributed
from training.zoo import ARCHITECTURES


def spawn(devices: str, kept: Path, data_dir: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a process that trains and keeps its weights in the file `kept`."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.fit.distributed_worker"]
    return subprocess.Popen(
        [*command, devices, str(kept), str(data_dir)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports() -> int:
    """Return the first of two neighbouring free ports, where our Slurm jobs have theirs.

    It is below those that the kernel gives to connections.
    """
    for port in range(20000 + os.getpid() % 11000, 32000):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("localhost", port))
                second.bind(("localhost", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")


def weights(kept: Path) -> dict[str, NDArray[np.float32]]:
    """Read the weights that a process kept."""
    with np.load(kept) as arrays:
        return dict(arrays)


# On a busy machine the processes wait for each other.
@pytest.mark.timeout(300)
@pytest.mark.slow
def test_devices_and_hosts_train_as_one_process(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts, one told by TF_CONFIG and one by Slurm, end with the same weights and statistics, and only
    the chief's run stays. What they trained is what one process trains, and one with two devices.
    """
    port = free_ports()
    cluster = {"worker": [f"localhost:{port}", f"localhost:{port + 1}"]}
    config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}})
    slurm = {
        "SLURM_JOB_ID": str(port - 20000),
        "SLURM_PROCID": "1",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    hosts, alone = tmp_path / "hosts", tmp_path / "alone"
    processes = [
        spawn("hosts", hosts / "0.npz", data_dir, TF_CONFIG=config),
        spawn("hosts", hosts / "1.npz", data_dir, **slurm),
        spawn("all", alone / "2.npz", data_dir),
    ]
    hosts.mkdir()
    alone.mkdir()
    try:
        for process in processes:
            output, _ = process.communicate(timeout=280)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for place in ("hosts/0", "hosts/1", "alone/2"):
        told = json.loads((tmp_path / place).with_suffix(".json").read_text())
        assert {size for parts in told["parts"] for size in parts} == {1, 2}
        assert all(len(set(parts)) == 1 for parts in told["parts"])
        if place.startswith("hosts"):
            assert (told["agreed"], told["mean"]) == (10, [0.5, 1.0])
    chief, worker, devices = map(weights, (hosts / "0.npz", hosts / "1.npz", alone / "2.npz"))
    monkeypatch.setitem(ARCHITECTURES, "plain", PLAIN)
    expected = train(tmp_path / "one", data_dir)
    assert chief.keys() == worker.keys() == devices.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(chief[name], worker[name])
        if "moving" not in name:
            assert chief[name] == pytest.approx(value, abs=1e-5)
            assert devices[name] == pytest.approx(value, abs=1e-5)
    assert sorted(path.name for path in hosts.glob("*plain*")) == [".plain.lock", "plain"]


@pytest.mark.parametrize(
    "config", [None, "{}", "not json", '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 3}}']
)
def test_hosts_need_a_cluster(config: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TF_CONFIG or Slurm, or with a broken one, the error says what is needed."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(distributed.DistributionError, match="TF_CONFIG"):
        distributed.scope("hosts", tmp_path).__enter__()


def test_one_device_changes_nothing(tmp_path: Path) -> None:
    """By default the run's own folder is used, and batches stay whole."""
    import tensorflow as tf

    with distributed.scope("one", tmp_path) as worker:
        assert worker == distributed.Worker(tmp_path, chief=True)
        batches = tf.data.Dataset.range(10).batch(4)
        assert distributed.share(batches, training=True) is batches
