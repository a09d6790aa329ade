#!/bin/bash
# Writes DeepSpeed's host file of this Slurm job: its nodes, each with the GPUs that the job has on it.
#
#   infra/slurm/hostfile.sh .assay/hostfile
set -euo pipefail
nodes=${SLURM_JOB_NODELIST:?is set inside of a Slurm job only}
slots=${SLURM_GPUS_ON_NODE:?is set when the job asks for GPUs: --gpus-per-node=N}
mkdir -p "$(dirname "$1")"
scontrol show hostnames "$nodes" | sed "s/$/ slots=$slots/" >"$1.new"
mv "$1.new" "$1"
