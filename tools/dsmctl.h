/* SPDX-License-Identifier: GPL-2.0-only */
/* dsmctl: what its commands share. */
#ifndef DSMCTL_H
#define DSMCTL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "device.h"

#define EXIT_USAGE 2

/* Prints "dsmctl: ..." and returns EXIT_FAILURE. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints the message and how the command is called; exits. */
void usage_error(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* A number, decimal or 0x; with @suffix it may end in K, M or G. */
bool parse_number(const char *text, bool suffix, uint64_t *value);

/* The number of an option; a usage error if it is not in @min to @max. */
uint32_t option_number(const char *option, const char *text, uint32_t min,
		       uint32_t max);
uint32_t option_node(const char *text);

/* The node that DSM_NODE names, else DSM_NODE_ANY. */
uint32_t default_node(void);

/* The device; prints why it cannot be opened and exits. */
int device_need(void);

/* What errno means when a request of the device fails. */
const char *device_strerror(int err);

/* Configuration as a file says it; 0 or "" is: not given. */
struct cluster_node {
	unsigned int line;
	uint32_t id;
	char addr[INET6_ADDRSTRLEN];
	uint64_t port;
	uint64_t memory;
	uint64_t cache;
	bool local;
};

struct cluster {
	char name[DSM_NAME_BYTES];
	char key[65];
	uint64_t epoch;
	uint64_t base;
	uint64_t span;
	uint64_t max_nodes;
	unsigned int nr_nodes;
	struct cluster_node nodes[DSM_MAX_NODES];
};

/* Reads the file; on an error prints it with its line and returns -1. */
int cluster_parse(struct cluster *cluster, const char *path);

/* The cluster's directory in configfs; prints why there is none and exits. */
int config_need(char name[DSM_NAME_BYTES]);

bool config_has_node(int dir, uint32_t node);

/* Whether the node's attribute is 1. */
bool config_node_is(int dir, uint32_t node, const char *attr);

/* An attribute without its newline; false if it cannot be read. */
bool config_read(int dir, char *value, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* States of a local node's links, "" for nodes that are not configured. */
#define LINK_STATE_BYTES 16
struct link_states {
	char of[DSM_MAX_NODES][LINK_STATE_BYTES]; /* by node */
};

bool config_read_links(int dir, uint32_t node, struct link_states *states);

int cmd_up(int argc, char **argv);
int cmd_down(int argc, char **argv);
int cmd_fence(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_ping(int argc, char **argv);
int cmd_region(int argc, char **argv);

#endif /* DSMCTL_H */
