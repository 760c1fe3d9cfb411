#!/bin/bash
# User data: what the stack knows, the package, and its boot script.
set -euo pipefail
install -d -m 755 /etc/analytics-host /opt/analytics-host
cat >/etc/analytics-host/settings <<'SETTINGS'
@SETTINGS@
SETTINGS
set -a
# shellcheck source=/dev/null
. /etc/analytics-host/settings
set +a
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update
apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 install -y --no-install-recommends python3-boto3
/usr/bin/python3 - <<'PYTHON'
import os
import zipfile
from urllib.parse import urlsplit

import boto3

address = urlsplit(os.environ["PACKAGE"])
boto3.client("s3").download_file(address.netloc, address.path.lstrip("/"), "/opt/analytics-host/package.zip")
zipfile.ZipFile("/opt/analytics-host/package.zip").extractall("/opt/analytics-host")
PYTHON
exec bash /opt/analytics-host/host/boot.sh
