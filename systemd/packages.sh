# Install Debian packages out of a folder that `make wheels` has filled, and from nowhere else; apt chooses which of
# their own needs this machine has already.  As root:  sh systemd/packages.sh FOLDER PACKAGE …
set -eu
folder=$(realpath "$1")
shift
made_for=$(sed -n 's/^ "system": "\(.*\)",$/\1/p' "$folder/made-for.json" 2> /dev/null || true)
here=$(. /etc/os-release && echo "$ID ${VERSION_ID:-} $(uname -m)")
if [ -n "$made_for" ] && [ "$made_for" != "$here" ]; then
    echo "The files in $folder were made for: $made_for. This machine is: $here. Nothing was changed. Run \"make wheels\"" \
        "on a computer with internet and the same system as this machine, and bring that folder." >&2
    exit 1
fi
folder=$(echo "$folder" | sed 's/ /%20/g')
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir -p "$made/lists/partial"
# The folder came by hand, as Lantern itself did: there is no signature on its list that anybody could check.
echo "deb [trusted=yes] file:$folder ./" > "$made/sources.list"

from_folder() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dir::Etc::SourceList="$made/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$made/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root "$@"
}

# What dpkg was killed over comes to its end first: apt does nothing before.
if [ -n "$(dpkg --audit; ls "${DPKG_ADMINDIR:-/var/lib/dpkg}/updates")" ]; then
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confold
fi
from_folder -q update > /dev/null
from_folder install --no-install-recommends "$@"
