#!/bin/sh
# What can be measured on a GPU alone, in under 8 minutes on one card: speed and utilisation of the built-in trainer at
# real sizes, agreement of losses with the processor's, and several trials on one card.
#
#   sh benchmarks/gpu.sh           on a machine with a GPU
#   sh benchmarks/gpu.sh --dry     the same code at small sizes on the processor, in under 2 minutes
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" -m benchmarks.gpu "$@"
