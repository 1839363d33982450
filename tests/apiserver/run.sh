#!/usr/bin/env bash
# Tries the Kubernetes step kinds on a real API server, and makes that first if it is not there: `tests/apiserver/run.sh kinds -- --nocapture`.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/apiserver/build.sh >/dev/null
names=()
while [[ $# -gt 0 && $1 != -- ]]; do
    names+=("$1")
    shift
done
[[ $# -eq 0 ]] || shift
cargo test --workspace --test apiserver "${names[@]}" -- --ignored "$@"
