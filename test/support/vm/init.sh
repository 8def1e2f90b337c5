#!/bin/sh
# The first program of a guest. Its first serial line is the console, the second belongs to the
# script alone.
{
    read -r node
    read -r folder
    read -r script
    read -r options
} </guest

mkdir -p /dev /host /layer /root
mount -t devtmpfs none /dev
while read -r module; do
    insmod "/modules/$module.ko"
done </modules/order

# The machine's own files, with a layer above them that is gone with the guest.
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host
mount -t tmpfs none /layer
mkdir /layer/files /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/files,workdir=/layer/work none /root
mount -t tmpfs none /root/run
mount -t devtmpfs none /root/dev
mount -t proc none /root/proc
mount -t sysfs none /root/sys
mount -t bpf none /root/sys/fs/bpf

stty -F /dev/ttyS1 raw -echo
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if chroot /root sh -c 'ip link set lo up && cd "$1" && exec "$0" "$2" "$3"' \
    "$node" "$folder" "$script" "$options" </dev/ttyS1 >/dev/ttyS1; then
    poweroff -f
fi
# qemu's device isa-debug-exit ends it, with a status that is not 0.
printf '\001' | dd of=/dev/port bs=1 seek=$((0x501)) 2>/dev/null
poweroff -f
