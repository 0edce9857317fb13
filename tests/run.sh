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
if ! PATH=$PATH:/usr/sbin:/sbin command -v haproxy >/dev/null; then
    markers+=("not haproxy")
    left_out+=("tests marked haproxy: install Debian's haproxy, as root 'make system'")
fi
expression=""
for marker in "${markers[@]}"; do
    expression+="${expression:+ and }$marker"
done
for reason in "${left_out[@]}"; do
    echo "left out: $reason"
done
only=(${expression:+-m "$expression"})
if [ $# -gt 0 ]; then
    exec .venv/bin/pytest "${only[@]}" "$@"
fi

# Most tests wait for something else than a processor, so two processors get three workers; a
# file's tests stay together, because they share servers. Labs with clients that ask all the time,
# or whose work is measured, come after them, alone: there a clock that is too slow is a fault like
# any other.
labs=(tests/lab tests/lab_bench)
nothing_to_do=5 # pytest's exit code, where a user may run none of them
failed=0
.venv/bin/pytest -n "$((($(nproc) * 3 + 1) / 2))" --dist loadfile "${only[@]}" "${labs[@]/#/--ignore=}" || failed=1
.venv/bin/pytest "${only[@]}" "${labs[@]}"
code=$?
[ $code -eq 0 ] || [ $code -eq $nothing_to_do ] || failed=1
exit $failed
