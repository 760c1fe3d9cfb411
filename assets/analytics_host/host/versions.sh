# Versions and checksums of what the boot script installs; the Python packages are in requirements.txt.
# shellcheck shell=bash disable=SC2034  # boot.sh reads them

# From Ubuntu's archive, whose signature apt checks. A release changes these for security only.
JAVA_VERSION=17
: "${R_VERSION:=4.3.3}" # the Debian of a test has another

# download2.rstudio.org. Two public projects pin the same sum; it has not been compared with Posit's download page.
RSTUDIO=rstudio-server-2026.01.1-403-amd64.deb
RSTUDIO_SHA256=293e6673cf5bdf8a66b2b00653bbf993a50ac5c006465363fcb5a5cb3152bcca

# CRAN as it was on that day, from Posit Package Manager: a snapshot does not change.
CRAN_SNAPSHOT=https://packagemanager.posit.co/cran/__linux__/noble/2026-03-02

# H2O's own release of the R package; CRAN's is older, and R's and the server's version must be one.
# H2O publishes no sum: the one found is in the boot log, and the setting h2o_r_sha256 pins it.
H2O_VERSION=3.46.0.12
H2O_R=https://h2o-release.s3.amazonaws.com/h2o/rel-3.46.0/12/R/src/contrib/h2o_3.46.0.12.tar.gz
