"""Which process of how many, from what torchrun and srun set."""

from __future__ import annotations

import pytest

from tile2vec_cli.errors import UsageError
from tile2vec_cli.job import launch
from tile2vec_cli.job.launch import ALONE, Launch

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "head",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "6",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NUM_NODES": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "gpu[03-04,9]",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
    "ENVIRONMENT": "BATCH",
}


def test_torchrun() -> None:
    assert launch.find(TORCHRUN) == Launch(5, 8, 1, 4, 4, "head", 29500)
    assert launch.find({**SRUN, **TORCHRUN}).count == 8  # srun has started torchrun


def test_srun() -> None:
    found = launch.find(SRUN)
    assert (found.rank, found.count, found.local_rank, found.local_count) == (3, 5, 1, 2)
    assert (found.cpu_sharers, found.host) == (1, "gpu03")
    others = [{**SRUN, "SLURM_STEP_ID": "1"}, {**SRUN, "SLURM_JOB_ID": "8"}]
    assert found.port not in {launch.find(env).port for env in others}
    chosen = launch.find({**SRUN, "MASTER_ADDR": "elsewhere", "MASTER_PORT": "1234"})
    assert (chosen.host, chosen.port) == ("elsewhere", 1234)


@pytest.mark.parametrize(
    ("nodes", "count", "host"),
    [
        ("a", "2", "a"),
        ("b-2,b-7", "2", "b-2"),
        ("n[1,5-9],m2", "7", "n1"),
        ("rack[01-02]-ib", "2", "rack01-ib"),
        ("here", "1", "127.0.0.1"),
        ("", "2", "10.0.0.1"),
    ],
)
def test_the_first_process_is_on_the_first_node(nodes: str, count: str, host: str) -> None:
    assert launch.find({**SRUN, "SLURM_STEP_NODELIST": nodes, "SLURM_STEP_NUM_NODES": count}).host == host


def test_what_srun_has_not_started_is_alone() -> None:
    """A job's script is task 0 of all tasks to Slurm; a shell of salloc has no number."""
    script = {key: value for key, value in SRUN.items() if not key.startswith("SLURM_STEP")}
    assert launch.find({**script, "SLURM_PROCID": "0"}) == ALONE
    assert launch.find({"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}) == ALONE
    assert launch.find({}) == ALONE
    assert launch.find({**SRUN, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}).count == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"RANK": "8"}, "process 8 of 8: needs one from 0 to 7"),
        ({"RANK": "first"}, "RANK is 'first'"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT 65536"),
    ],
)
def test_half_a_launch_is_a_usage_error(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        launch.find({**TORCHRUN, **wrong})
