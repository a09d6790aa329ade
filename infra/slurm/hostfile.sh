#!/bin/bash
# Writes DeepSpeed's host file of this Slurm job: its nodes, each with the GPUs that the job has on it.
#
#   infra/slurm/hostfile.sh .assay/hostfile
set -euo pipefail
slots=${SLURM_GPUS_ON_NODE:?"is set when the job asks for GPUs: --gpus-per-node=N"}
mapfile -t nodes < <(scontrol show hostnames "${SLURM_JOB_NODELIST:?"is set inside of a Slurm job only"}")
if ((${#nodes[@]} != SLURM_JOB_NUM_NODES)); then
    echo "Slurm names ${#nodes[@]} nodes in '$SLURM_JOB_NODELIST', and gave this job $SLURM_JOB_NUM_NODES." >&2
    exit 1
fi
mkdir -p "$(dirname "$1")"
printf "%s slots=$slots\n" "${nodes[@]}" >"$1.new"
mv "$1.new" "$1"
