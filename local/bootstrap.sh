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
fail() {
  echo "$*" >&2
  exit 1
}

# ---- Python and uv

command -v python3 >/dev/null || fail "python3 is missing; 3.11 or newer is needed: apt-get install python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$(python3 -V) is too old; 3.11 or newer is needed"

PATH="$PATH:$PWD/$state/tools/bin"
export PATH
if ! command -v uv >/dev/null; then
  say "Installing uv into $state/tools"
  if ! python3 -m venv --clear "$state/tools" >/dev/null 2>&1; then
    ./local/packages.sh python3-venv ca-certificates || fail "python3 -m venv does not work here: apt-get install python3-venv"
    python3 -m venv --clear "$state/tools"
  fi
  "$state/tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

# One decoder has no wheels beyond 3.13 yet: where the system's Python is newer, uv brings one.
python=$(python3 -c 'import sys; print(sys.executable if sys.version_info < (3, 14) else "3.13")')
say "Python environments, as locked"
uv sync --quiet --frozen --all-groups --python "$python"
for server in ministack tinypacs; do
  UV_PROJECT_ENVIRONMENT="$PWD/$state/$server-env" uv sync --quiet --frozen --project "local/$server" --python "$PWD/.venv/bin/python"
done

.venv/bin/python layers/service/build_contract.py

# ---- Orthanc

if .venv/bin/python -c 'import sys; from local.orthanc import has_to_be_installed as has; sys.exit(not has())'; then
  say "Installing Orthanc and its DICOMweb plugin"
  ./local/packages.sh orthanc orthanc-dicomweb dcmtk || fail "
Orthanc cannot be installed here. Install it and its DICOMweb plugin in another way, or use a PACS that you have:
  PACS_URL=https://your.pacs/dicom-web PACS_USER=... PACS_PASSWORD=... make up"
fi
