# Sourced by the scripts here: `install PACKAGE` installs a package of Debian, as root or through sudo.

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        echo "cannot install anything: install what is missing by hand, or run this as root" >&2
        exit 1
    fi
}

install() {
    if ! command -v apt-get >/dev/null; then
        echo "$* is missing, and so is apt-get: install it by hand" >&2
        exit 1
    fi
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "$@"
}

# Debian has Valkey from 13 on, and for 12 among its backports. Those are asked for this once, and not made a source.
install_valkey() {
    if apt-cache show valkey-server >/dev/null 2>&1; then
        install valkey-server
        return
    fi
    local release folder
    release=$(. /etc/os-release && [[ $ID == debian ]] && echo "$VERSION_CODENAME-backports")
    folder=$(mktemp -d)
    mkdir -p "$folder/lists/partial"
    echo "deb http://deb.debian.org/debian $release main" >"$folder/sources.list"
    local source=(-o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$folder/lists")
    as_root apt-get "${source[@]}" update -q
    (cd "$folder" && as_root apt-get "${source[@]}" download -q valkey-server valkey-tools)
    install "$folder"/valkey-*.deb
    rm -rf "$folder"
}
