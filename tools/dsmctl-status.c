// SPDX-License-Identifier: GPL-2.0-only
/* dsmctl: status. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dsmctl.h"

static void print_links(int dir, uint32_t node)
{
	const char *separator = "";
	struct link_states states;
	uint32_t peer;

	if (!config_read_links(dir, node, &states))
		return;
	printf("links of node %" PRIu32 ": ", node);
	for (peer = 0; peer < DSM_MAX_NODES; peer++) {
		if (!states.of[peer][0])
			continue;
		printf("%s%" PRIu32 " %s", separator, peer, states.of[peer]);
		separator = ", ";
	}
	putchar('\n');
}

int cmd_status(int argc, char **argv)
{
	char name[DSM_NAME_BYTES];
	char addr[INET6_ADDRSTRLEN + 2];
	char value[32];
	uint32_t node;
	int dir;

	if (argc != 1)
		usage_error("unexpected argument '%s'", argv[1]);
	dir = config_need(name);
	if (!config_read(dir, value, sizeof(value), "epoch"))
		snprintf(value, sizeof(value), "?");
	printf("cluster %s, epoch %s\n", name, value);
	printf("%4s  %-7s %-6s %s\n", "node", "state", "port", "address");
	for (node = 0; node < DSM_MAX_NODES; node++) {
		bool local = config_node_is(dir, node, "local");

		if (!config_has_node(dir, node))
			continue;
		if (!config_read(dir, addr, sizeof(addr),
				 "nodes/%" PRIu32 "/addr", node))
			snprintf(addr, sizeof(addr), "?");
		if (!config_read(dir, value, sizeof(value),
				 "nodes/%" PRIu32 "/port", node))
			snprintf(value, sizeof(value), "?");
		printf("%4" PRIu32 "  %-7s %-6s %s\n", node,
		       !local				 ? "remote"
		       : config_node_is(dir, node, "up") ? "up"
							 : "down",
		       value, addr);
	}
	for (node = 0; node < DSM_MAX_NODES; node++)
		if (config_node_is(dir, node, "local") &&
		    config_node_is(dir, node, "up"))
			print_links(dir, node);
	close(dir);
	return EXIT_SUCCESS;
}
