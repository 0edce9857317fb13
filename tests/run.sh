#!/usr/bin/env bash
# Runs pytest with what this user may do, and says what was left out.
set -uo pipefail
cd "$(dirname "$0")/.."
left_out=()
markers=()
if [ "$(id -u)" -ne 0 ]; then
    markers+=("not root")
    left_out+=("tests marked root (network namespaces, netlink): run 'sudo make test'")
fi
if ! command -v kubectl >/dev/null; then
    markers+=("not kubectl")
    left_out+=("tests marked kubectl: install Debian's kubernetes-client, as root 'make system'")
fi
expression=""
for marker in "${markers[@]}"; do
    expression+="${expression:+ and }$marker"
done
for reason in "${left_out[@]}"; do
    echo "left out: $reason"
done
# Most tests wait for something else than a processor, so each processor gets a worker of its own; a
# file's tests stay together, because they share servers.
exec .venv/bin/pytest -n "$(nproc)" --dist loadfile ${expression:+-m "$expression"} "$@"
