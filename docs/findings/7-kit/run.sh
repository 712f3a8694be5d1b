#!/bin/sh
# cpus: 2
# A module that a livepatch with relocations refuses once can never be loaded again. Ends by itself; leaves nothing loaded.
say() { echo "### $*" > /dev/kmsg; }
cmd() { say "\$ $*"; out=$("$@" 2>&1); rc=$?; [ -n "$out" ] && say "   $out"; say "   rc=$rc"; }
set_refuse() { say "\$ echo $1 > /sys/module/lpr/parameters/refuse"; echo "$1" > /sys/module/lpr/parameters/refuse; }
settled() { n=0; while [ "$(cat /sys/kernel/livepatch/lpr/transition 2>/dev/null)" = 1 ] && [ $n -lt 300 ]; do n=$((n + 1)); sleep 0.1; done; }
say "BEGIN relocations stay"
cmd ./klp_task ./lpr.ko; settled
say "=== 1: the target comes, goes, and comes again: its relocations are written each time"
cmd ./klp_task ./kt.ko
cmd rmmod kt
cmd ./klp_task ./kt.ko
cmd rmmod kt
say "=== 2: pre_patch refuses it once"
set_refuse 19
cmd ./klp_task ./kt.ko
say "=== 3: pre_patch would not refuse it any more"
set_refuse 0
cmd ./klp_task ./kt.ko
cmd ./klp_task ./kt.ko
say "=== 4: the way out: without the livepatch it loads; the livepatch has to be unloaded and loaded again"
echo 0 > /sys/kernel/livepatch/lpr/enabled; settled; sleep 1
cmd rmmod lpr
cmd ./klp_task ./kt.ko
cmd rmmod kt
say "END"
exit 0
