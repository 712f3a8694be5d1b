// SPDX-License-Identifier: GPL-2.0-only
/* klp_task FILE: loads a module with one system call. (busybox's insmod tries a second one when the first fails.) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int file = open(argv[1], O_RDONLY | O_CLOEXEC);

	if (file >= 0 && !syscall(SYS_finit_module, file, "", 0))
		return 0;
	printf("insmod: %s: %s\n", argv[1], strerror(errno));
	return 1;
}
