#!/bin/bash
# Sets up the analytics host on Ubuntu 24.04, and signals the result to CloudFormation.
#
#   boot.sh              run all steps, then signal
#   boot.sh STEP...      run these steps in this order, without a signal
#
# /etc/analytics-host/settings has the values from the stack. If ROOT is set, files are written below that
# folder, and only the steps that need no packages or users are run.
set -Eeuo pipefail

HOST_FILES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOFTWARE=$(dirname "$HOST_FILES")
ROOT=${ROOT:-}
cd / # Python and R load files from the current folder, which could belong to a user
CONFIGURATION=$ROOT/etc/analytics-host
LOG=$ROOT/var/log/analytics-host.log
SYSTEM_PYTHON=${SYSTEM_PYTHON:-/usr/bin/python3}
PYTHON=${PYTHON:-$SOFTWARE/venv/bin/python}
# needrestart would restart cloud-init, which runs this script. cloud-init does not set HOME.
export CONFIGURATION DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 HOME="${HOME:-/root}"
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=10
set -a
# shellcheck source=/dev/null
. "$CONFIGURATION/settings"
set +a
# shellcheck source=versions.sh
. "$HOST_FILES/versions.sh"

HOST_STEPS=(packages proxy home user python password r rstudio h2o notebooks jupyterlab tls ssh idle health)
WORKER_STEPS=(packages python password h2o ssh idle health)
ROOT_STEPS=(password h2o notebooks health)

is_worker() { [[ $LOGICAL_ID == Worker* ]]; }

host_py() { "$SYSTEM_PYTHON" "$HOST_FILES/host.py" "$@"; }

# A failure to send the log does not fail the boot; the next call sends the missing lines.
send_log() { host_py log "$LOG" || echo "could not send the log"; }

apt_get() { apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$@"; }

apt_install() { apt_get install -y --no-install-recommends "$@"; }

# download URL FILE SHA256: an empty SHA256 skips the check and logs that.
download() {
  curl --fail --silent --show-error --location --proto =https --retry 5 --retry-all-errors --output "$2" "$1"
  local actual
  actual=$(sha256sum "$2" | cut -d ' ' -f 1)
  if [[ -z $3 ]]; then
    echo "NOT CHECKED: $1 has no pinned SHA-256; actual $actual"
  elif [[ $actual != "$3" ]]; then
    rm -f "$2"
    echo "$1 has SHA-256 $actual, expected $3" >&2
    return 1
  fi
}

# enable UNIT...: installs the units from this folder; if systemd runs, enables and starts the last one.
enable() {
  local unit
  install -d "$ROOT/etc/systemd/system"
  for unit in "$@"; do
    sed "s|@USER@|$USER_NAME|g; s|@SOFTWARE@|$SOFTWARE|g; s|@HOME_ADDRESS@|$HOME_ADDRESS|g" "$HOST_FILES/$unit" \
      >"$ROOT/etc/systemd/system/$unit"
  done
  if [[ -d $ROOT/run/systemd/system ]]; then
    systemctl daemon-reload
    systemctl enable "${@: -1}"
    systemctl restart "${@: -1}"
  fi
}

# enable_site FILE: installs a configuration of nginx from this folder.
enable_site() {
  sed "s|@CONFIGURATION@|$CONFIGURATION|g" "$HOST_FILES/$1" >"$ROOT/etc/nginx/conf.d/$1"
  nginx -t
  [[ ! -d $ROOT/run/systemd/system ]] || systemctl restart nginx
}

step_packages() {
  apt_get update
  apt_install ca-certificates curl "openjdk-$JAVA_VERSION-jre-headless" python3-venv python3-boto3
  is_worker || apt_install "r-base-core=$R_VERSION*" r-base-dev nginx nfs-common git
  [[ $TLS != yes ]] || is_worker || apt_install openssl
}

# The first step after the installation, because the package's default site listens on port 80 of every address.
step_proxy() {
  rm -f "$ROOT/etc/nginx/sites-enabled/default"
  enable_site nginx_h2o.conf
}

# Mounts the EFS file system as the user's home directory. While it is not mounted, the user cannot write to the folder
# below it, so no work goes to the root volume. The options are those that AWS recommends for NFS.
step_home() {
  local folder=$ROOT/home/$USER_NAME
  local mount="$HOME_ADDRESS:/ $folder nfs4 nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,nosuid,nodev,_netdev 0 0"
  grep -qxF "$mount" "$ROOT/etc/fstab" || echo "$mount" >>"$ROOT/etc/fstab"
  mountpoint -q "$folder" && return 0
  install -d -m 000 "$folder"
  mount "$folder"
}

# Every host gives the user the same ID, because the files in the home directory outlive the host.
step_user() {
  id -u "$USER_NAME" >/dev/null 2>&1 ||
    useradd --uid 2000 --no-create-home --home-dir "/home/$USER_NAME" --shell /bin/bash "$USER_NAME"
  install -d -m 750 -o "$USER_NAME" -g "$USER_NAME" "/home/$USER_NAME"
  copy_to_home /etc/skel .
}

# copy_to_home FOLDER FILE: runs as the user, because the user controls links in the home directory. Existing files are
# kept.
copy_to_home() {
  tar --create --directory "$1" "$2" |
    runuser -u "$USER_NAME" -- tar --extract --skip-old-files --no-same-permissions --directory "/home/$USER_NAME"
}

step_python() {
  # An interrupted installation can leave an environment without pip.
  "$PYTHON" -m pip --version >/dev/null 2>&1 || "$SYSTEM_PYTHON" -m venv --clear "$SOFTWARE/venv"
  local pip=("$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes)
  # H2O is built from source, so its build requirements are pinned too.
  "${pip[@]}" -r "$HOST_FILES/requirements-build.txt"
  "${pip[@]}" --no-build-isolation --use-pep517 -r "$HOST_FILES/requirements.txt"
  echo "$SOFTWARE" >"$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/billboard.pth"
}

step_password() {
  if [[ -z $ROOT ]]; then
    id -u h2o >/dev/null 2>&1 || useradd --system --home-dir /var/lib/h2o --create-home --shell /usr/sbin/nologin h2o
    is_worker || host_py system-password
    host_py h2o-password h2o
  else
    host_py h2o-password
  fi
}

step_r() {
  # The libraries are for packages that have no binary in the snapshot.
  apt_install libcurl4-openssl-dev libssl-dev libxml2-dev pkg-config
  apt_install r-cran-dbi r-cran-data.table r-cran-curl r-cran-jsonlite r-cran-rcurl r-cran-openssl r-cran-xml2 \
    r-cran-digest r-cran-bit64 r-cran-ggplot2 r-cran-knitr r-cran-rmarkdown
  install -d "$ROOT/etc/R"
  # Every R session installs packages from the snapshot. The user agent selects its binary packages.
  cat >"$ROOT/etc/R/Rprofile.site" <<PROFILE
options(
  repos = c(CRAN = "$CRAN_SNAPSHOT"),
  HTTPUserAgent = sprintf("R/%s R (%s)", getRversion(), paste(getRversion(), R.version\$platform, R.version\$arch, R.version\$os))
)
PROFILE
  Rscript -e "options(Ncpus = 2); install.packages(c('noctua', 'paws'), quiet = TRUE); library(noctua); library(DBI)"
  download "$H2O_R" "$SOFTWARE/h2o.tar.gz" "${H2O_R_SHA256:-}"
  R CMD INSTALL "$SOFTWARE/h2o.tar.gz"
  Rscript -e "stopifnot(packageVersion('h2o') == '$H2O_VERSION')"
  rm "$SOFTWARE/h2o.tar.gz"
}

step_rstudio() {
  download "https://download2.rstudio.org/server/jammy/amd64/$RSTUDIO" "$SOFTWARE/$RSTUDIO" "$RSTUDIO_SHA256"
  apt_install "$SOFTWARE/$RSTUDIO"
  rm "$SOFTWARE/$RSTUDIO"
  {
    echo "www-address=127.0.0.1"
    echo "auth-required-user-group=$USER_NAME"
  } >/etc/rstudio/rserver.conf
  echo "r-cran-repos=$CRAN_SNAPSHOT" >/etc/rstudio/rsession.conf # RStudio sets the repository of its sessions
  systemctl restart rstudio-server
}

step_h2o() {
  local memory=${H2O_MEMORY:-}
  [[ -n $memory ]] || memory=$(awk '/MemTotal/ {print int($2 / 1024 / 2) "m"}' /proc/meminfo)
  host_py flatfile
  local package
  package=$("$PYTHON" -c 'from importlib.util import find_spec; print(find_spec("h2o").submodule_search_locations[0])')
  {
    echo "JAVA=${JAVA:-/usr/lib/jvm/java-$JAVA_VERSION-openjdk-amd64/bin/java}"
    echo "H2O_JAR=$package/backend/bin/h2o.jar"
    echo "H2O_MEMORY=$memory"
    echo "H2O_THREADS=${H2O_THREADS:--1}"
    echo "H2O_NAME=$CLUSTER_ID"
    echo "H2O_PORT=${H2O_PORT:-54323}"
    echo "H2O_FILES=$CONFIGURATION"
    echo "H2O_TEMPORARY=$ROOT/var/lib/h2o"
    cat "$CONFIGURATION/h2o.address"
  } >"$CONFIGURATION/h2o.env"
  install -d "$ROOT/var/lib/h2o"
  enable h2o.service
}

step_notebooks() {
  {
    echo "AWS_DEFAULT_REGION=$AWS_DEFAULT_REGION"
    echo "BILLBOARD_WORK_GROUP=$WORK_GROUP"
    echo "BILLBOARD_DATABASE=$DATABASE"
    echo "BILLBOARD_SECRET=$SECRET"
    echo "BILLBOARD_DATA_BUCKET=$DATA_BUCKET"
    echo "H2O_URL=http://127.0.0.1:54321"
  } >"$CONFIGURATION/notebook.env"
  [[ -z $ROOT ]] || return 0
  cat "$CONFIGURATION/notebook.env" >/etc/R/Renviron.site
  copy_to_home "$SOFTWARE" notebooks
}

step_jupyterlab() {
  "$PYTHON" "$HOST_FILES/host.py" jupyter-password "$USER_NAME" # needs jupyter_server
  enable jupyterlab.service
}

step_tls() {
  [[ $TLS == yes ]] || return 0
  local name
  name=$(host_py public-name)
  if [[ ! -e $CONFIGURATION/tls.key ]]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj "/CN=$name" \
      -addext "subjectAltName=DNS:$name" -keyout "$CONFIGURATION/tls.key.new" -out "$CONFIGURATION/tls.pem"
    chmod 600 "$CONFIGURATION/tls.key.new"
    mv "$CONFIGURATION/tls.key.new" "$CONFIGURATION/tls.key" # last, so that an interrupted step is repeated
  fi
  openssl x509 -in "$CONFIGURATION/tls.pem" -noout -fingerprint -sha256
  enable_site nginx_rstudio.conf
}

# Users can forward any port, and Ubuntu's image accepts keys that ec2-instance-connect:SendSSHPublicKey sends, for a user
# with sudo. Masked, so that an update of the package does not start SSH again.
step_ssh() {
  [[ ! -d $ROOT/run/systemd/system ]] || systemctl mask --now ssh.socket ssh.service
}

step_idle() {
  ((IDLE_MINUTES > 0)) || return 0
  enable idle.service idle.timer
}

step_health() {
  host_py health
}

run() {
  STEP=$1
  echo "$(date -u +%FT%TZ) == $STEP"
  "step_$STEP"
}

run_all() {
  local step steps=("${HOST_STEPS[@]}")
  ! is_worker || steps=("${WORKER_STEPS[@]}")
  [[ -z $ROOT ]] || steps=("${ROOT_STEPS[@]}")
  install -d "$(dirname "$LOG")"
  exec > >(tee -a "$LOG") 2>&1
  trap 'on_failure "$STEP"' ERR
  for step in "${steps[@]}"; do
    run "$step"
    send_log
  done
  echo "$(date -u +%FT%TZ) == healthy"
  send_log
  STEP=signal
  host_py signal SUCCESS "healthy"
}

on_failure() {
  trap - ERR
  echo "$(date -u +%FT%TZ) == $1 failed"
  # CloudFormation deletes the host, and the journal with it.
  [[ ! -d $ROOT/run/systemd/system ]] || journalctl --no-pager --lines 40 -u h2o -u nginx -u jupyterlab -u rstudio-server || true
  sleep 1 # until tee has written the last lines
  send_log
  host_py signal FAILURE "step $1 failed" || true
  exit 1
}

if (($#)); then
  for name; do run "$name"; done
else
  run_all
fi
