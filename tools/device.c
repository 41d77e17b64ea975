// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "device.h"

const char *const device_counter_names[DSM_COUNTER_NR] = {
#define COUNTER_NAME(id, name) [DSM_COUNTER_##id] = (name),
	DSM_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

int device_open(void)
{
	int fd = open("/dev/dsm", O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENXIO))
		errno = ENODEV;
	return fd;
}

int device_stat(int fd, uint32_t node, uint64_t values[DSM_COUNTER_NR])
{
	struct dsm_stat_args args = {
		.size = sizeof(args),
		.node = node,
		.nr = DSM_COUNTER_NR,
		.values = (uintptr_t)values,
	};

	memset(values, 0, DSM_COUNTER_NR * sizeof(*values));
	return ioctl(fd, DSM_IOC_STAT, &args);
}

int device_ping(int fd, struct dsm_ping_args *args)
{
	args->size = sizeof(*args);
	return ioctl(fd, DSM_IOC_PING, args);
}

bool device_parse_node(const char *text, uint32_t *node)
{
	char *end;
	unsigned long value;

	/* One spelling per node, as in configfs: no sign, no leading zero. */
	if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1]))
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value >= DSM_MAX_NODES)
		return false;
	*node = (uint32_t)value;
	return true;
}
