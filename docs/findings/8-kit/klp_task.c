// SPDX-License-Identifier: GPL-2.0-only
#include <signal.h>
#include <unistd.h>
/* A child that nobody waits for: it leaves the task list by itself, in exit_notify(). */
int main(void)
{
	signal(SIGCHLD, SIG_IGN);
	if (!fork())
		_exit(0);
	sleep(60);
}
