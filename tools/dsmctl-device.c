// SPDX-License-Identifier: GPL-2.0-only
/* dsmctl: requests of /dev/dsm: stat and ping. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dsmctl.h"

#define NS_PER_US 1e3

/* The counters of the nodes of the bit mask. */
static int print_counters(int fd, uint64_t nodes, bool json)
{
	const char *separator = "";
	uint32_t node;
	unsigned int i;

	if (json)
		printf("{\"nodes\": [");
	for (node = 0; node < DSM_MAX_NODES; node++) {
		uint64_t values[DSM_COUNTER_NR];

		if (!(nodes >> node & 1))
			continue;
		if (device_stat(fd, node, values))
			return fail("node %" PRIu32 ": %s", node,
				    device_strerror(errno));
		printf(json ? "%s{\"node\": %" PRIu32 ", \"counters\": {"
			    : "%snode %" PRIu32 "\n",
		       separator, node);
		for (i = 0; i < DSM_COUNTER_NR; i++)
			if (json)
				printf("%s\"%s\": %" PRIu64, i ? ", " : "",
				       device_counter_names[i], values[i]);
			else
				printf("  %-20s %" PRIu64 "\n",
				       device_counter_names[i], values[i]);
		if (json)
			printf("}}");
		separator = json ? ", " : "";
	}
	if (json)
		printf("]}\n");
	return EXIT_SUCCESS;
}

int cmd_stat(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct dsm_info info = { .size = sizeof(info) };
	uint32_t node = default_node();
	bool json = false;
	int ret;
	int opt;
	int fd;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'n')
			node = option_node(optarg);
		else if (opt == 'j')
			json = true;
		else
			usage_error("bad option '%s'", argv[optind - 1]);
	}
	if (optind != argc)
		usage_error("unexpected argument '%s'", argv[optind]);

	fd = device_need();
	if (node != DSM_NODE_ANY)
		info.local = UINT64_C(1) << node;
	else if (ioctl(fd, DSM_IOC_INFO, &info))
		return fail("%s", errno == ENODEV ? "no cluster is configured"
						  : device_strerror(errno));
	ret = print_counters(fd, info.local, json);
	close(fd);
	return ret;
}

int cmd_ping(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 's' },
		{ "depth", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct dsm_ping_args args = {
		.node = default_node(),
		.bytes = 4096,
		.depth = 1,
		.count = 1000,
	};
	bool json = false;
	double mbytes_per_s;
	int opt;
	int fd;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'n':
			args.node = option_node(optarg);
			break;
		case 's':
			args.bytes = option_number("--size", optarg, 1,
						   DSM_PING_MAX_BYTES);
			break;
		case 'd':
			args.depth = option_number("--depth", optarg, 1,
						   DSM_PING_MAX_DEPTH);
			break;
		case 'c':
			args.count = option_number("--count", optarg, 1,
						   DSM_PING_MAX_COUNT);
			break;
		case 'j':
			json = true;
			break;
		default:
			usage_error("bad option '%s'", argv[optind - 1]);
		}
	}
	if (argc - optind != 1)
		usage_error("one node is needed");
	args.peer = option_node(argv[optind]);

	fd = device_need();
	if (device_ping(fd, &args))
		return fail("node %" PRIu32 ": %s", args.peer,
			    errno == ENOENT
				    ? "no other node of the configuration"
				    : device_strerror(errno));
	close(fd);

	/* Bytes in 1e-9 s times 1e3 are 1e6 bytes in a second. */
	mbytes_per_s = args.total_ns ? 1e3 * args.bytes * args.count /
					       (double)args.total_ns
				     : 0;
	printf(json ? "{\"peer\": %" PRIu32 ", \"bytes\": %" PRIu32
		      ", \"depth\": %" PRIu32 ", \"count\": %" PRIu32
		      ", \"min_us\": %.2f, \"median_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, \"mbytes_per_s\": %.1f}\n"
		    : "node %" PRIu32 ": READs of %" PRIu32
		      " bytes, depth %" PRIu32 ", count %" PRIu32 "\n"
		      "min %.2f us  median %.2f us  p99 %.2f us  max %.2f us\n"
		      "%.1f MB/s\n",
	       args.peer, args.bytes, args.depth, args.count,
	       (double)args.min_ns / NS_PER_US,
	       (double)args.median_ns / NS_PER_US,
	       (double)args.p99_ns / NS_PER_US, (double)args.max_ns / NS_PER_US,
	       mbytes_per_s);
	return EXIT_SUCCESS;
}
