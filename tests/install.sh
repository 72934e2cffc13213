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
