#!/bin/sh
# Shows pykopia at work, with nothing but its command line: a repository in a temporary folder, two snapshots of a real
# folder with changes in between, the list, a verification of every byte, a restore, and the comparison with the source.
set -eu

work=$(mktemp -d "${TMPDIR:-/tmp}/pykopia-demo-XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

project=$(cd "$(dirname "$0")/.." && pwd)
repository=$work/repository
source=$work/source
restored=$work/restored
export HOME="$work" TZ=UTC KOPIA_PASSWORD=demonstration KOPIA_CHECK_FOR_UPDATES=false
export KOPIA_CONFIG_PATH="$work/repository.config" KOPIA_LOG_DIR="$work/logs"

step() {
    printf '\n\033[1m== %s\033[0m\n' "$*"
}

show() {
    printf '\033[36m$ %s\033[0m\n' "$*"
    "$@"
}

size() {
    du -sh --apparent-size "$1" | cut -f 1
}

listing() {
    (cd "$1" && find . -type f -printf '%p %m %s %T@ %l\n' -o -printf '%p %m %l\n' | LC_ALL=C sort)
}

step "A folder to back up: the sources of pykopia"
mkdir "$source"
cp -a "$project/pykopia" "$project/tests/vectors" "$source"
find "$source" -name __pycache__ -prune -exec rm -rf {} +
ln -s pykopia/__init__.py "$source/a-link"
echo "$(find "$source" -type f | wc -l) files, $(size "$source")"

step "A new repository in a folder, encrypted with a password, compressing with zstd"
show pykopia repository create filesystem --path="$repository" --cache-directory="$work/cache"
show pykopia policy set --global --compression=zstd

step "The first snapshot"
show pykopia snapshot create "$source" --description="the first one"
echo "the repository now takes $(size "$repository")"

step "Some changes: a file edited, one removed, one added, one renamed"
echo '# a new last line' >> "$source/pykopia/errors.py"
rm "$source/pykopia/clock.py"
date > "$source/added.txt"
mv "$source/pykopia/ids.py" "$source/pykopia/identifiers.py"

step "The second snapshot: only what changed is read and stored"
show pykopia snapshot create "$source" --description="the second one"
echo "the repository now takes $(size "$repository")"

step "What is there"
show pykopia snapshot list "$source"

step "Every byte of every file read back and checked"
show pykopia snapshot verify --verify-files-percent=100

step "The second snapshot restored to an empty folder"
latest=$(pykopia snapshot list "$source" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[-1]["id"])')
show pykopia snapshot restore "$latest" "$restored"

step "Source and restored folder compared: names, contents, permissions, times, links"
show diff -r --no-dereference "$source" "$restored"
listing "$source" > "$work/expected"
listing "$restored" > "$work/found"
show diff "$work/expected" "$work/found"
echo "equal: $(wc -l < "$work/expected") entries"
