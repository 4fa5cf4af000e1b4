# Put the box's package for ARM into NVIDIA's root file system, before it is flashed; the board installs it at its first
# start.  As root:  sh systemd/jetson/overlay.sh Linux_for_Tegra/rootfs lantern-box_…_arm64.deb [more .deb files]
# Not run on hardware: docs/jetson.md.
set -eu
[ $# -ge 2 ] || { echo "sh systemd/jetson/overlay.sh ROOTFS PACKAGE [OTHER PACKAGES]" >&2; exit 2; }
rootfs=$1 package=$2
shift
first=$rootfs/var/lib/lantern-first
units=$rootfs/etc/systemd/system
here=$(dirname "$0")

refuse() {
    echo "$*" >&2
    exit 1
}

[ -e "$rootfs/etc/nv_tegra_release" ] || refuse "$rootfs is not NVIDIA's root file system with the drivers in it (there is" \
    "no etc/nv_tegra_release). Unpack it there and run NVIDIA's apply_binaries.sh first. Nothing was changed."
for deb; do
    case $(dpkg-deb --field "$deb" Architecture) in
    arm64 | all) ;;
    *) refuse "$deb is not for 64-bit ARM. Make it with: make deb ARCH=arm64 BOARD=jetson. Nothing was changed." ;;
    esac
done
python=$(dpkg-deb --field "$package" Depends | sed -n 's/.*python3 (>= \([0-9.]*\)).*/\1/p')
[ -e "$rootfs/usr/bin/python$python" ] || refuse "$package was made for Python $python, which $rootfs does not have. Jetson Linux" \
    "38 and later has 3.12 (make deb ARCH=arm64 BOARD=jetson); 36 has 3.10, which is too old. Nothing was changed."

rm -rf "$first"
mkdir -p "$first" "$units/multi-user.target.wants"
cp "$@" "$first/"
install -m 644 "$here/lantern-first.service" "$units/lantern-first.service"
ln -sf ../lantern-first.service "$units/multi-user.target.wants/lantern-first.service"
sync -f "$first"
echo "The package is in $rootfs; the board installs it at its first start. Now flash it with NVIDIA's tools."
