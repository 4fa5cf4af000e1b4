# Runs as the first process of fresh namespaces (systemd_house.py starts it), makes this machine's Debian into a house of
# its own, and becomes its systemd.  Nothing done here can be seen outside: every mount is in a private namespace, and
# everything that is written lands in memory.   $1: an empty folder   $2: the repository   $3: its virtual environment
# $4: where that environment's Python lives   $5: MB of memory for what is written   $6: "rw" for a house with udev
set -eu
base=$1 source=$2 venv=$3 python=$4 megabytes=$5 sys=$6

mount --make-rprivate /
mount -t tmpfs -o "mode=755,size=${megabytes}m" house "$base"
mkdir "$base/upper" "$base/work" "$base/venv" "$base/venv-work" "$base/root"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" house "$base/root"
cd "$base/root"

# A Debian as it was installed: no units and no users of ours, nothing that this machine has been told to start.
rm -rf etc/systemd/system/* etc/systemd/system-generators usr/lib/systemd/system-generators/* usr/local/lib/systemd \
    opt/lantern etc/lantern var/lib/lantern usr/local/bin/lantern* etc/sysusers.d/lantern* etc/tmpfiles.d/lantern*
# Of what a Debian does while it starts, only the journal and, in a house with udev, udev: the rest is this machine's.
mkdir -p etc/systemd/system
for path in usr/lib/systemd/system/*.target.wants/*; do
    case "$path" in
    */systemd-journald* | */systemd-udevd*) ;;
    *) rm "$path" ;;
    esac
done
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' > etc/systemd/journald.conf
: > etc/fstab

# Our programs, where an installed box has them, and their Python where any user may read it.
mkdir -p opt/lantern/source opt/lantern/venv opt/lantern/python var/house
mount --bind "$source" opt/lantern/source
mount -o remount,bind,ro opt/lantern/source
if [ "$python" = /usr ]; then home=/usr/bin; else
    home=/opt/lantern/python/bin
    mount --bind "$python" opt/lantern/python
    mount -o remount,bind,ro opt/lantern/python
    echo /opt/lantern/python/lib > etc/ld.so.conf.d/lantern-house.conf
    chroot . ldconfig
fi
mount -t overlay -o "lowerdir=$venv,upperdir=$base/venv,workdir=$base/venv-work" house opt/lantern/venv
printf 'home = %s\ninclude-system-site-packages = false\n' "$home" > opt/lantern/venv/pyvenv.cfg
ln -sf "$home/python3" opt/lantern/venv/bin/python
for path in opt/lantern/venv/lib/python*/site-packages/_editable_impl_lantern_box.pth; do
    echo /opt/lantern/source > "$path"
done
printf '#!/opt/lantern/venv/bin/python\nfrom firmware_app.cli.command_line import main\nraise SystemExit(main())\n' > opt/lantern/venv/bin/lantern
chmod 755 opt/lantern/venv/bin/lantern
ln -s /opt/lantern/venv/bin/lantern usr/local/bin/lantern

# What a kernel and an initramfs would have prepared.
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro,nosuid,nodev,noexec proc/sys
mount -t sysfs -o "$sys,nosuid,nodev,noexec" sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid dev dev
while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<NODES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
loop-control 10 237
NODES
for number in $(seq 0 63); do mknod -m 660 "dev/loop$number" b 7 "$number"; done
mkdir dev/pts
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755,nosuid,nodev run run
mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' > etc/systemd/system/house.target

mkdir run/outside
pivot_root . run/outside
umount -l /run/outside
rmdir /run/outside
# As systemd itself does where it is not told that it is in a container: what is mounted shows in every unit, and the
# mounts of credentials, which a helper makes, reach the unit.
mount --make-rshared /
exec /lib/systemd/systemd --unit=house.target --log-target=journal < /dev/null
