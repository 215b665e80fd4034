#!/bin/sh
# Shows pykopia at work, with nothing but its command line: a repository in a temporary folder, two snapshots of a real
# folder with changes in between, the list, a verification of every byte, a restore, and the comparison with the source.
set -eu
exec 2>&1

work=$(mktemp -d "${TMPDIR:-/tmp}/pykopia-demo-XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

project=$(cd "$(dirname "$0")/.." && pwd)
repository=$work/repository
source=$work/source
restored=$work/restored
export HOME="$work" TZ=UTC KOPIA_PASSWORD=demonstration KOPIA_CHECK_FOR_UPDATES=false
export KOPIA_CONFIG_PATH="$work/repository.config" KOPIA_LOG_DIR="$work/logs"

if [ -t 1 ]; then
    bold=$(printf '\033[1m') colour=$(printf '\033[36m') plain=$(printf '\033[0m')
else
    bold='' colour='' plain=''
fi

step() {
    printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

show() {
    printf '%s$ %s%s\n' "$colour" "$*" "$plain"
    "$@"
}

size() {
    echo "$(find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.1f kB", sum / 1000 }') in $(
        find "$1" -type f | wc -l) files"
}

listing() {
    (cd "$1" && find . -type f -printf '%p %m %s %T@ %l\n' -o -printf '%p %m %l\n' | LC_ALL=C sort)
}

step "A folder to back up: the sources of pykopia"
mkdir "$source"
cp -a "$project/pykopia" "$project/tests/vectors" "$source"
find "$source" -name __pycache__ -prune -exec rm -rf {} +
ln -s pykopia/__init__.py "$source/a-link"
size "$source"

step "A new repository in a folder, encrypted with a password, compressing with zstd"
show pykopia repository create filesystem --path="$repository" --cache-directory="$work/cache"
show pykopia policy set --global --compression=zstd

step "The first snapshot"
show pykopia snapshot create "$source" --description="the first one"
echo "the repository now has $(size "$repository")"

step "Some changes: a file edited, one removed, one added, one renamed"
echo '# a new last line' >> "$source/pykopia/errors.py"
show rm "$source/pykopia/clock.py"
show cp "$project/LICENSE" "$source/added.txt"
show mv "$source/pykopia/ids.py" "$source/pykopia/identifiers.py"

step "The second snapshot: only what changed is read and stored"
show pykopia snapshot create "$source" --description="the second one"
echo "the repository now has $(size "$repository")"

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
