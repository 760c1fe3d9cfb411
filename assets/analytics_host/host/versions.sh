# Versions and checksums of software that the boot script installs, except Python packages, which are in
# requirements.txt. To raise them, see "Raise the versions" in docs/analytics_host.md.
# shellcheck shell=bash disable=SC2034  # used by boot.sh

# Ubuntu's archive; apt verifies its signature. Within a release only security updates change these.
JAVA_VERSION=17
: "${R_VERSION:=4.3.3}" # a test overrides it for Debian

# download2.rstudio.org. Two public projects pin the same checksum; it has not been compared with Posit's download page.
RSTUDIO=rstudio-server-2026.01.1-403-amd64.deb
RSTUDIO_SHA256=293e6673cf5bdf8a66b2b00653bbf993a50ac5c006465363fcb5a5cb3152bcca

# Posit Package Manager's snapshot of CRAN on that day; snapshots do not change.
CRAN_SNAPSHOT=https://packagemanager.posit.co/cran/__linux__/noble/2026-03-02

# H2O's release of the R package, because CRAN's is older and must match the server's version.
# H2O publishes no checksum: the boot log shows the actual one, and the setting h2o_r_sha256 pins it.
H2O_VERSION=3.46.0.12
H2O_R=https://h2o-release.s3.amazonaws.com/h2o/rel-3.46.0/12/R/src/contrib/h2o_3.46.0.12.tar.gz
