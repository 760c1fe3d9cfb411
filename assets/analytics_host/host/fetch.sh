#!/bin/bash
# User data: writes the settings, downloads the package and runs its boot script. If ROOT is set, files are
# written below that folder.
set -euo pipefail
export ROOT=${ROOT:-}
SYSTEM_PYTHON=${SYSTEM_PYTHON:-/usr/bin/python3}
# Users can forward any port, and Ubuntu's image accepts keys that ec2-instance-connect:SendSSHPublicKey sends, for a user
# with sudo. First, because a connection would outlast this. Masked, so that an update does not start SSH again.
[[ ! -d $ROOT/run/systemd/system ]] || systemctl mask --now ssh.socket ssh.service
install -d -m 755 "$ROOT/etc/analytics-host" "$ROOT/opt/analytics-host"
cat >"$ROOT/etc/analytics-host/settings" <<'SETTINGS'
@SETTINGS@
SETTINGS
set -a
# shellcheck source=/dev/null
. "$ROOT/etc/analytics-host/settings"
set +a
if [[ -z $ROOT ]]; then
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 # needrestart would restart cloud-init, which runs this script
  apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update
  apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 install -y --no-install-recommends python3-boto3
fi
"$SYSTEM_PYTHON" - <<'PYTHON'
import os
import zipfile
from urllib.parse import urlsplit

import boto3

address, folder = urlsplit(os.environ["PACKAGE"]), os.environ["ROOT"] + "/opt/analytics-host"
boto3.client("s3").download_file(address.netloc, address.path.lstrip("/"), f"{folder}/package.zip")
zipfile.ZipFile(f"{folder}/package.zip").extractall(folder)
PYTHON
exec bash "$ROOT/opt/analytics-host/host/boot.sh"
