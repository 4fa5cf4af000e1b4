# Install Debian packages out of a folder that `make wheels` has filled, and from nowhere else; apt chooses which of
# their own needs this machine has already.  As root:  sh systemd/packages.sh FOLDER PACKAGE …
set -eu
folder=$(realpath "$1" | sed 's/ /%20/g')
shift
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

from_folder -q update > /dev/null
from_folder install --no-install-recommends "$@"
