#!/bin/sh
# cpus: 2
# append: oops=panic
say() { echo "### $*" > /dev/kmsg; }
settled() { n=0; while [ "$(cat /sys/kernel/livepatch/$1/transition 2>/dev/null)" = 1 ] && [ $n -lt 300 ]; do n=$((n + 1)); sleep 0.1; done; }
say "BEGIN exiting tasks"
insmod ./lpx.ko; settled lpx
./klp_task &
sleep 1
say "the child is asleep in lpx's function; in /proc: $(grep -l klp_task /proc/[0-9]*/comm | wc -l) klp_task (1: the parent)"
say "$ insmod lpy (replace)"
insmod ./lpy.ko; settled lpy
say "lpy: transition $(cat /sys/kernel/livepatch/lpy/transition)"
sleep 1
say "$ rmmod lpx"
rmmod lpx; say "rc=$?"
say "the child wakes up"
sleep 20
say "END"
exit 0
