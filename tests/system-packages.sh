#!/usr/bin/env bash
# Debian packages that tests use. As an ordinary user nothing is installed: tests/run.sh then says
# what it leaves out.
set -euo pipefail
packages=()
PATH=$PATH:/usr/sbin:/sbin
command -v ip >/dev/null || packages+=(iproute2)
command -v nft >/dev/null || packages+=(nftables)
command -v bird >/dev/null || packages+=(bird2)
command -v tcpdump >/dev/null || packages+=(tcpdump)
command -v curl >/dev/null || packages+=(curl)
command -v kubectl >/dev/null || packages+=(kubernetes-client)
command -v pebble >/dev/null || packages+=(pebble)
command -v knotd >/dev/null || packages+=(knot)
command -v setpriv >/dev/null || packages+=(util-linux)
command -v wrk >/dev/null || packages+=(wrk)
command -v openssl >/dev/null || packages+=(openssl)
command -v haproxy >/dev/null || packages+=(haproxy)
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "not installed here, because that needs root: ${packages[*]}"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y install --no-install-recommends "${packages[@]}" >/dev/null
case " ${packages[*]} " in
*" haproxy "*)
    # The package starts a service of its own, which nobody here asked for.
    if command -v systemctl >/dev/null; then
        systemctl disable --now haproxy.service >/dev/null 2>&1 || true
    fi
    service haproxy stop >/dev/null 2>&1 || true
    ;;
esac
