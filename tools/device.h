/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests of /dev/dsm that need no attachment and are not in libdsm. */
#ifndef DSM_TOOLS_DEVICE_H
#define DSM_TOOLS_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/dsm.h>

/* A file of the device, or -1; ENODEV if there is none. */
int device_open(void);

/* The counters of a local node; those the kernel does not have are 0. */
int device_stat(int fd, uint32_t node, uint64_t values[DSM_COUNTER_NR]);

/* @args: all but size is filled in by the caller. */
int device_ping(int fd, struct dsm_ping_args *args);

/* Names of the counters, by enum dsm_counter. */
extern const char *const device_counter_names[DSM_COUNTER_NR];

/* The node id that the text spells in decimal; false if it is none. */
bool device_parse_node(const char *text, uint32_t *node);

#endif /* DSM_TOOLS_DEVICE_H */
