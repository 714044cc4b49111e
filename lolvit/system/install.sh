#!/bin/sh
# Installs the Debian packages that packages.txt lists, those that are missing.
#
#   install.sh [--all] [--missing]
#
# --all: the packages of USE "test" too. --missing: print the missing ones, one a line, and install
# nothing. Runs as root, or by sudo. Exit codes: 0 all are there; 2 this system cannot; 3 apt failed.
set -eu

list=$(dirname "$0")/packages.txt
uses="run" only_print=no
for argument in "$@"; do
  case $argument in
    --all) uses="run test" ;;
    --missing) only_print=yes ;;
    *) echo "install.sh: unknown option $argument" >&2; exit 2 ;;
  esac
done

fail() { # exit code, message
  echo "lolvit: $2" >&2
  exit "$1"
}

has_package() { # package
  command -v dpkg-query >/dev/null &&
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints the missing packages, one a line.
missing_packages() {
  while read -r package program use _why; do
    case $package in '#'* | '') continue ;; esac
    case " $uses " in *" $use "*) ;; *) continue ;; esac
    if [ "$program" != - ] && command -v "$program" >/dev/null; then continue; fi
    has_package "$package" || echo "$package"
  done <"$list"
}

missing=$(missing_packages)
if [ "$only_print" = yes ]; then
  [ -z "$missing" ] || echo "$missing"
  exit 0
fi
[ -n "$missing" ] || exit 0

names=$(echo "$missing" | tr '\n' ' ')
names=${names% }
command -v apt-get >/dev/null || fail 2 \
  "missing: $names; these are Debian's names, and this system has no apt-get: install what brings the same programs ($list says what each is for)"
if [ "$(id -u)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
  as_root="sudo"
else
  fail 2 "missing: $names; run as root: apt-get install $names"
fi

apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}
echo "installing $names" >&2
apt update >&2 || fail 3 "apt-get update failed; check the network and apt's sources"
# The list is split into arguments on purpose.
# shellcheck disable=SC2086
apt install --yes --no-install-recommends $names >&2 || fail 3 "apt-get install failed: $names"
missing=$(missing_packages)
[ -z "$missing" ] || fail 3 "still missing after apt-get install: $(echo "$missing" | tr '\n' ' ')"
