"""The Slurm scripts: shellcheck and sbatch's own rules, and the host file of DeepSpeed from what Slurm says of a job."""

import os
import re
import shutil
import subprocess

import pytest
from deepspeed.launcher.runner import fetch_hostfile

from tests.infra.compose_file import INFRA, TOOLS

HOSTFILE = INFRA / "slurm/hostfile.sh"
SCRIPTS = sorted([*INFRA.glob("slurm/*"), *INFRA.glob("config/*.sh")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    done = subprocess.run([TOOLS / "shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_directives_come_before_the_first_command():
    """Else sbatch ignores them."""
    lines = (INFRA / "slurm/study.sbatch").read_text().splitlines()
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert len(directives) >= 9 and max(directives) < first_command


@pytest.fixture
def slurm_job(tmp_path):
    """The environment of a batch script on three nodes; `scontrol` is Slurm's, which takes the names of nodes apart without a cluster."""
    if not shutil.which("scontrol"):
        pytest.skip("there is no scontrol on this machine, which this test calls: apt-get install slurm-client")
    (tmp_path / "slurm.conf").write_text("ClusterName=none\nSlurmctldHost=localhost\n")
    of_slurm = {"SLURM_JOB_NODELIST": "gpu[08-09],fat1", "SLURM_JOB_NUM_NODES": "3", "SLURM_GPUS_ON_NODE": "4"}
    return {"PATH": os.environ["PATH"], "SLURM_CONF": str(tmp_path / "slurm.conf"), **of_slurm}


def test_deepspeed_reads_the_host_file_of_a_job(slurm_job, tmp_path):
    subprocess.run([HOSTFILE, tmp_path / "in/hostfile"], env=slurm_job, check=True)
    assert fetch_hostfile(str(tmp_path / "in/hostfile")) == {"gpu08": 4, "gpu09": 4, "fat1": 4}


@pytest.mark.parametrize("name", ["SLURM_JOB_NODELIST", "SLURM_GPUS_ON_NODE"])
def test_outside_of_a_job_no_host_file_is_written(slurm_job, tmp_path, name):
    del slurm_job[name]
    done = subprocess.run([HOSTFILE, tmp_path / "hostfile"], env=slurm_job, capture_output=True, text=True)
    assert done.returncode and re.search(f"{name}: is set", done.stderr)
    assert not (tmp_path / "hostfile").exists()


def test_nodes_that_slurm_does_not_understand_leave_no_host_file(slurm_job, tmp_path):
    done = subprocess.run([HOSTFILE, tmp_path / "hostfile"], env=slurm_job | {"SLURM_JOB_NODELIST": "gpu[08-"}, capture_output=True, text=True)
    assert done.returncode and "Slurm names 1 nodes in 'gpu[08-', and gave this job 3." in done.stderr
    assert not (tmp_path / "hostfile").exists()
