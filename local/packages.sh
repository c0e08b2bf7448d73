#!/bin/sh
# Installs packages of the distribution: local/packages.sh PACKAGE...
# Orthanc's package starts a service of its own on all interfaces. This repository runs an Orthanc of its own, so that
# one is kept off, unless it was there before: a policy for the time of the installation keeps it from starting, and
# disabling keeps it off after the next boot.
set -eu
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
policy_is_ours=no

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    echo "Installing packages needs root or sudo." >&2
    return 1
  fi
}

tidy() {
  rm -f "$log"
  if [ "$policy_is_ours" = yes ]; then as_root rm -f "$policy"; fi
}
trap tidy EXIT
trap 'exit 1' INT TERM

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    return 1
  }
}

command -v apt-get >/dev/null || {
  echo "This system has no apt-get." >&2
  exit 1
}
orthanc_was_there=$(dpkg-query -W -f '${db:Status-Abbrev}' orthanc 2>/dev/null | grep -c '^ii' || true)
if [ "$orthanc_was_there" = 0 ] && [ ! -e "$policy" ]; then
  policy_is_ours=yes
  as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
fi
apt update
apt install -y --no-install-recommends "$@"
if [ "$orthanc_was_there" = 0 ] && [ -e /etc/init.d/orthanc ]; then
  if [ -d /run/systemd/system ]; then as_root systemctl disable --quiet orthanc; fi
  as_root update-rc.d orthanc disable >/dev/null 2>&1
fi
