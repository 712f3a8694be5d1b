/*
 * A transition in small: an administrator makes STEPS steps, two tasks go round through PLACES places. At every third step the
 * administrator holds a lock, and the tasks stand still. bench/explore gives both numbers, for as many states and moves
 * as its scenario has: (STEPS + 1) * PLACES * PLACES states, with 2.3 moves each. The state vector has 48 bytes.
 */
int place[2];
int patch_state[2];
int pad[4];
int step;

#define LOCKED (step % 3 == 2)

active proctype admin() {
	do
	:: d_step { step < STEPS -> step = step + 1 }
	od
}

active [2] proctype task() {
	do
	:: d_step { !LOCKED -> place[_pid - 1] = (place[_pid - 1] + 1) % PLACES }
	od
}
