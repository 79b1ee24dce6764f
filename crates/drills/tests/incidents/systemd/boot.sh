#!/bin/sh
# boot.sh FOLDER NAME: boots this machine's systemd as PID 1 of its own namespaces, on an overlay of this machine's root, in a
# control group of that NAME. What lies in FOLDER/files is laid over the root first. Call it in a mount namespace of its own.
#
# The network is shared, so that an agent inside reaches servers outside. Kernel settings and clocks stay out of reach: /proc/sys
# and /sys are read-only, and the right to set the time is dropped.
set -eu
folder=$1 name=$2
mount --make-rprivate /
mkdir "$folder/disk"
mount -t tmpfs tmpfs "$folder/disk"
mkdir "$folder/disk/groups" "$folder/disk/upper" "$folder/disk/work" "$folder/disk/root"
mount -t cgroup2 cgroup2 "$folder/disk/groups"
mkdir "$folder/disk/groups/$name"
echo $$ > "$folder/disk/groups/$name/cgroup.procs"
exec unshare --pid --fork --uts --ipc --cgroup --kill-child=KILL sh -eu -c '
folder=$1 disk=$1/disk root=$1/disk/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
  mknod -m 666 "$root/dev/${node% *}" c 1 "${node#* }"
done
# Only what the drill brings is started.
rm -rf "$root/etc/systemd/system"
cp -a "$folder/files/." "$root"
cd "$root"
mkdir -p before
pivot_root . before
umount -l /before
exec setpriv --bounding-set=-sys_time,-sys_module env -i container=drill PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=drill.target --show-status=false --log-target=journal
' sh "$folder"
