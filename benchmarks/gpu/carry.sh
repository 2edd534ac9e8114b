#!/usr/bin/env bash
# Downloads what the measurements import and the borrowed machine lacks into benchmarks/gpu/wheels, and prints the sum.
#
#     bash benchmarks/gpu/carry.sh
#
# Wheels are for Python 3.12 on Linux x86-64, in the versions of constraints.txt. PyTorch, torchvision, numpy and Pillow
# are expected there. wrk, the load generator for lookups, is copied with the library that it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
wheels=benchmarks/gpu/wheels
limit_mb=64
python=${PYTHON:-.venv/bin/python}

names=(
    # aiohttp and what it imports
    aiohttp aiohappyeyeballs aiosignal attrs frozenlist idna multidict propcache yarl typing_extensions
    # the lookup service, registration and tickets
    py-consul requests urllib3 certifi charset-normalizer cryptography cffi pycparser dnspython PyJWT
    # the commands
    typer pydantic pydantic_core annotated-types typing-inspection click rich shellingham annotated-doc markdown-it-py mdurl Pygments
    prometheus_client uvloop
)

rm -rf "$wheels"
mkdir -p "$wheels/bin"
pinned=()
for name in "${names[@]}"; do
    pinned+=("$(grep -i "^$name==" constraints.txt)")
done
"$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
    --dest "$wheels" "${pinned[@]}" nvidia-ml-py==13.615.71

if wrk=$(command -v wrk); then
    cp "$wrk" "$wheels/bin/"
    ldd "$wrk" | awk '/luajit/ { print $3 }' | xargs -r -I{} cp -L {} "$wheels/bin/"
else
    echo "wrk is not installed here: lookups will be measured with the slower load generator of benchmarks.harness." >&2
fi

sum_kb=$(du -sk "$wheels" | cut -f1)
echo "$wheels: $(find "$wheels" -name '*.whl' | wc -l) wheels, $((sum_kb / 1024)) MiB in all (limit $limit_mb MiB)"
test "$sum_kb" -le $((limit_mb * 1024))
