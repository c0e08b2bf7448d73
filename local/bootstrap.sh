#!/bin/sh
# Puts on this machine what `make up` and `make test` need and what is not there yet: uv, the locked Python
# environments and, unless PACS_URL names another PACS, Orthanc. Harmless to run again.
set -eu
cd "$(dirname "$0")/.."
state=local/.state
uv_version=0.13.9
mkdir -p "$state"
chmod 700 "$state"

say() { echo "==> $*"; }
fail() { echo "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

apt_install() {
  command -v apt-get >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$state/apt.log" 2>&1
}

# ---- Python and uv

command -v python3 >/dev/null || fail "python3 (3.11 or newer) is needed: apt-get install python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is $(python3 -V); 3.11 or newer is needed"
# Some decoders have no wheels for later versions yet: there uv brings a Python of its own.
if python3 -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then python=$(python3 -c 'import sys; print(sys.executable)'); else python=3.13; fi

if ! command -v uv >/dev/null; then
  PATH="$PWD/$state/tools/bin:$PATH"
  export PATH
  if [ ! -x "$state/tools/bin/uv" ]; then
    say "Installing uv into $state/tools"
    if ! python3 -m venv --clear "$state/tools" >/dev/null 2>&1; then
      apt_install python3-venv ca-certificates || fail "python3 -m venv does not work here: apt-get install python3-venv"
      python3 -m venv --clear "$state/tools"
    fi
    "$state/tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
  fi
fi

say "Python environments (locked)"
uv sync --quiet --frozen --all-groups --python "$python"
UV_PROJECT_ENVIRONMENT="$PWD/$state/ministack-env" uv sync --quiet --frozen --project local/ministack --python "$PWD/.venv/bin/python"

# ---- Orthanc

if [ -n "${PACS_URL:-}" ] || .venv/bin/python -c 'import sys; from local.orthanc import installed; sys.exit(not installed())'; then
  exit 0
fi

other_way="or use a PACS that you have: PACS_URL=https://your.pacs/dicom-web PACS_USER=... PACS_PASSWORD=... make up"
command -v apt-get >/dev/null || fail "Orthanc is not here and this system has no apt-get. Install Orthanc with its DICOMweb plugin, $other_way"
say "Installing Orthanc and its DICOMweb plugin (apt-get)"
# The package starts a service of its own on all interfaces. This stack runs its own Orthanc, so that one stays off:
# a policy for the time of the installation keeps it from starting, and disabling keeps it off after a reboot.
package_was_there=$(dpkg-query -W -f '${Status}' orthanc 2>/dev/null | grep -c 'ok installed' || true)
policy=/usr/sbin/policy-rc.d
policy_is_ours=no
if [ "$package_was_there" = 0 ] && [ ! -e "$policy" ]; then
  as_root sh -c "printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy" || fail "Installing Orthanc needs root or sudo; become root, $other_way"
  policy_is_ours=yes
  trap '[ "$policy_is_ours" = no ] || as_root rm -f "$policy"' EXIT INT TERM
fi
apt_install orthanc orthanc-dicomweb dcmtk || { cat "$state/apt.log" >&2 2>/dev/null || true; fail "Orthanc cannot be installed here. Install it another way, $other_way"; }
if [ "$package_was_there" = 0 ]; then
  if [ -d /run/systemd/system ]; then as_root systemctl disable --now --quiet orthanc || true; fi
  as_root update-rc.d orthanc disable >/dev/null 2>&1 || true
fi
