# SPDX-License-Identifier: GPL-2.0-only
# Functions of run.sh. Every line goes to /dev/kmsg, so that the kernel's log is one ordered record: lines that begin with ### are of this
# script, all others the kernel's own. No function here forks where it need not: a fork is slow on an emulated machine.
KL=/sys/kernel/livepatch
TRACING=/sys/kernel/tracing
# Seconds that settle waits; klpkit_deadline=N is for klpemu vm --append.
DEADLINE=${DEADLINE:-60}
read -r line < /proc/cmdline
for word in $line; do
	case $word in klpkit_deadline=*) DEADLINE=${word#*=};; esac
done

say() { echo "### $*" > /dev/kmsg; echo "$*"; }

insmod() { ./klp_task insmod "$@"; }

# cmd COMMAND: runs it in a shell of its own, and records what it prints and its exit status.
cmd() {
	say "\$ $*"
	out=$(eval "$*" 2>&1)
	rc=$?
	[ -n "$out" ] && echo "$out" | while IFS= read -r line; do say "   $line"; done
	say "   rc=$rc"
	return $rc
}

# kit COMMAND: to klpkit.ko (harness/klpkit.c has the list); not part of the record unless it fails.
kit() {
	err=$( (echo "$*" > /proc/klpkit) 2>&1) && return 0
	say "harness: '$*' failed: $err"
	return 1
}

# step N TITLE: begins a step of the scenario. after N TITLE: the state that it leaves.
step() { say "=== step $1: $2"; }
after() { state "step $1: $2"; }
# What a kernel cannot do of this step, or does otherwise.
cannot() { say "cannot: step $1: $2"; }

state() {
	say "--- STATE: $*"
	for p in $KL/*/; do
		[ -d "$p" ] || continue
		n=${p%/}; n=${n##*/}; s=""
		for a in enabled transition replace $FIELDS; do
			[ -e "$p$a" ] && read -r v 2>/dev/null < "$p$a" && s="$s $a=$v"
		done
		o=""
		for ob in "$p"*/; do
			[ -d "$ob" ] || continue
			f=${ob%/}; f=${f##*/}
			v="?"; read -r v 2>/dev/null < "${ob}patched"
			o="$o $f{patched=$v:"
			for a in "$ob"*,*; do [ -e "$a" ] && o="$o ${a##*/}"; done
			o="$o}"
		done
		v="?"; read -r v 2>/dev/null < /sys/module/$n/refcnt
		say "    $KL/$n:$s refcnt=$v$o"
	done
	while IFS= read -r line; do say "    task $line"; done < /proc/klpkit
	s=""
	for pair in $PIDS; do
		v=""; read -r v 2>/dev/null < /proc/${pair#*=}/patch_state && s="$s ${pair%%=*}(${pair#*=})=$v"
	done
	v="?"; read -r v < /proc/$$/patch_state
	say "    /proc/PID/patch_state: shell($$)=$v$s"
	s=""
	for n in $MODULES; do
		v=""; [ -e /sys/module/$n/refcnt ] && read -r v < /sys/module/$n/refcnt && s="$s $n=$v"
	done
	say "    modules:$s"
	while IFS= read -r line; do
		case "$line" in *" [klp_target] "*) say "    ftrace $line"; continue;; esac
		case " $WATCHED " in *" ${line%% *} "*) say "    ftrace $line";; esac
	done < $TRACING/enabled_functions
	while IFS= read -r line; do
		case $line in calls*) say "    ops ${line#calls }";; esac
	done < /proc/klpkit_numbers
}

# user NAME [CPU]: starts a declared task as a process.
user() {
	./klp_task "$@" &
	PIDS="$PIDS $1=$!"
	kit "started $1"
}

# settle SECONDS: until no transition is in progress.
settle() {
	i=0
	while :; do
		open=""
		for f in $KL/*/transition; do
			v=0; read -r v 2>/dev/null < "$f"
			[ "$v" = 1 ] && open=$f
		done
		[ -z "$open" ] && break
		[ $i -ge $((${1:-$DEADLINE} * 10)) ] && { say "still in transition after ${1:-$DEADLINE} s: $open"; return 1; }
		sleep 0.1; i=$((i + 1))
	done
	# What is replaced is freed by a work of its own.
	sleep 0.2
}

in_transition() {
	for f in $KL/*/transition; do
		v=0; read -r v 2>/dev/null < "$f"
		[ "$v" = 1 ] && { f=${f%/transition}; echo "${f##*/}"; return; }
	done
	echo "(none_in_transition)"
}

# The opposite of what the file holds.
opposite() { v=0; read -r v 2>/dev/null < "$1"; echo $((1 - v)); }

# run_until_asleep NAME ...: tasks that have a function to sleep in fall asleep during run steps only.
run_until_asleep() {
	kit "may_sleep 1"
	for n in "$@"; do kit "asleep $n"; done
	kit "may_sleep 0"
}
run_for() { kit "may_sleep 1"; sleep "$1"; kit "may_sleep 0"; }

# call NAME OBJECT:FUNC [ARGUMENTS]
call() {
	say "\$ call $*"
	kit "call $*"; rc=$?
	read -r _ v < /proc/klpkit_numbers
	say "   value=$v"
	say "   rc=$rc"
}

# forked PARENT CHILD [CPU]: a child that is declared already.
forked() {
	kit "fork $*" && kit "started $2" && PIDS="$PIDS $2=$(pid_of "$2")"
}

# The pid of a task, also of a kthread.
pid_of() {
	while read -r what name pid; do
		[ "$what $name" = "pid $1" ] && echo "$pid"
	done < /proc/klpkit_numbers
}

begin() {
	[ "$(id -u)" = 0 ] || { echo "run.sh must be root: it loads modules"; exit 2; }
	[ -d $KL ] || { echo "this kernel has no livepatch (CONFIG_LIVEPATCH)"; exit 2; }
	[ -d $TRACING/events ] || mount -t tracefs tracefs $TRACING 2>/dev/null
	# Else the kernel drops lines of a process that writes many. It is refused where printk.devkmsg= has said so at boot already.
	[ -e /proc/sys/kernel/printk_devkmsg ] && (echo on > /proc/sys/kernel/printk_devkmsg) 2>/dev/null
	for n in $MODULES klpkit; do
		[ -e /sys/module/$n ] && { echo "module $n is loaded already: remove what an earlier run has left"; exit 2; }
	done
	# The lines "initializing" and "completing" are debug lines; so is the one that names the task that holds a transition up.
	for f in /proc/dynamic_debug/control /sys/kernel/debug/dynamic_debug/control; do
		[ -e $f ] && { echo 'file kernel/livepatch/* +p' > $f; break; }
	done
	say "BEGIN $1"
	say "design $2"
	read -r v < /proc/version
	say "kernel $v"
	n=0
	for p in /sys/devices/system/cpu/cpu[0-9]*; do n=$((n + 1)); done
	[ $n -lt ${CPUS:-1} ] && say "cannot: this machine has $n CPUs, the scenario $CPUS"
	insmod ./klpkit.ko || { echo "klpkit.ko cannot be loaded: see dmesg"; exit 2; }
	for n in $WATCHED_IN; do kit "watch $n"; done
	PIDS=""
}

# Takes everything away, so that the scenario can run again; says what stays.
finish() {
	say "END"
	trap '' INT TERM
	kit "may_sleep 0"
	for n in $TASKS; do (echo "exit $n" > /proc/klpkit) 2>/dev/null; done
	for n in $OPS; do (echo "unregister $n" > /proc/klpkit) 2>/dev/null; done
	[ -e $TRACING/current_tracer ] && echo nop > $TRACING/current_tracer
	[ -e /proc/sys/kernel/ftrace_enabled ] && echo 1 > /proc/sys/kernel/ftrace_enabled
	# In turns: a livepatch in transition refuses to be joined by another.
	i=0
	while [ $i -lt 100 ]; do
		left=""
		for p in $KL/*/; do
			[ -d "$p" ] || continue
			left=$p
			read -r v 2>/dev/null < "${p}enabled" && [ "$v" = 1 ] && echo 0 > "${p}enabled" 2>/dev/null
		done
		[ -z "$left" ] && break
		sleep 0.1; i=$((i + 1))
	done
	sleep 0.3
	left=""
	for n in $UNLOAD klpkit; do
		[ -e /sys/module/$n ] || continue
		rmmod $n 2>/dev/null || { sleep 0.5; rmmod $n 2>/dev/null || left="$left $n"; }
	done
	[ -n "$left" ] && say "LEFT$left (cannot be unloaded: reboot before the next run)"
	say "DONE $1"
	if [ -z "$KLPKIT_CONSOLE" ]; then
		dmesg | awk -v begin="### BEGIN $1" 'index($0, begin) { text = "" } { text = text $0 "\n" } END { printf "%s", text }' > transcript.txt
		echo "transcript.txt: klpemu compare SCENARIO transcript.txt"
	fi
	[ -z "$left" ]
}
