#!/bin/sh
# Calibrates real activations of a transformer with every method: installs what is missing, builds
# the program, prints what each method costs and writes the parameters as JSON.
# Usage: scripts/demo.sh [OPTION...]   options are passed to `cuqat calibrate`
set -eu
cd "$(dirname "$0")/.."

scripts/setup.sh g++ cmake ninja-build libcli11-dev libfmt-dev nlohmann-json3-dev

build=build/demo
if [ ! -f "$build/build.ninja" ]; then
  echo "Configuring $build"
  cmake -S . -B "$build" -G Ninja -D CMAKE_BUILD_TYPE=Release -D CUQAT_BUILD_TESTS=OFF \
    -D CUQAT_CUDA=OFF >/dev/null
fi
echo "Building the program"
ninja -C "$build" --quiet cuqat_cli

echo "Calibrating data/minilm_activations.safetensors: inputs of linear layers of all-MiniLM-L6-v2"
"$build/bin/cuqat" calibrate data/minilm_activations.safetensors \
  --json "$build/minilm_activations.json" "$@"
echo "Parameters: $build/minilm_activations.json"
