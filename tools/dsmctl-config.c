// SPDX-License-Identifier: GPL-2.0-only
/* dsmctl: the configuration in configfs: up, down, fence. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dsmctl.h"

#define CONFIGFS_DSM "/sys/kernel/config/dsm"
#define ATTR_PATH_BYTES 64
#define ATTR_BYTES 4096
#define MAX_WAIT_SECONDS 86400
#define LINK_POLL_INTERVAL_NS 50000000

/* "nodes/1/addr" below the cluster's directory. */
__attribute__((format(printf, 2, 0))) static void
attr_path(char path[ATTR_PATH_BYTES], const char *fmt, va_list ap)
{
	vsnprintf(path, ATTR_PATH_BYTES, fmt, ap);
}

static int attr_write(int dir, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int attr_write(int dir, const char *value, const char *fmt, ...)
{
	char path[ATTR_PATH_BYTES];
	size_t len = strlen(value);
	ssize_t n;
	va_list ap;
	int err;
	int fd;

	va_start(ap, fmt);
	attr_path(path, fmt, ap);
	va_end(ap);
	fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, value, len);
	err = n < 0 ? errno : EIO;
	close(fd);
	if (n == (ssize_t)len)
		return 0;
	errno = err;
	return -1;
}

bool config_read(int dir, char *value, size_t size, const char *fmt, ...)
{
	char path[ATTR_PATH_BYTES];
	va_list ap;
	ssize_t n;
	int fd;

	va_start(ap, fmt);
	attr_path(path, fmt, ap);
	va_end(ap);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, value, size - 1);
	close(fd);
	if (n < 0)
		return false;
	while (n > 0 && value[n - 1] == '\n')
		n--;
	value[n] = '\0';
	return true;
}

bool config_read_links(int dir, uint32_t node, struct link_states *states)
{
	char text[ATTR_BYTES];
	char *rest;
	char *line;

	memset(states, 0, sizeof(*states));
	if (!config_read(dir, text, sizeof(text), "nodes/%" PRIu32 "/links",
			 node))
		return false;
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *state = strchr(line, ' ');
		uint32_t peer;

		if (!state)
			continue;
		*state++ = '\0';
		if (device_parse_node(line, &peer))
			snprintf(states->of[peer], LINK_STATE_BYTES, "%s",
				 state);
	}
	return true;
}

static int config_open(char name[DSM_NAME_BYTES])
{
	DIR *dir = opendir(CONFIGFS_DSM);
	struct dirent *entry;
	int fd = -1;

	if (!dir)
		return -1;
	errno = ENOENT;
	while ((entry = readdir(dir))) {
		/* Cluster names do not begin with a dot. */
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, DSM_NAME_BYTES, "%.*s", DSM_NAME_BYTES - 1,
			 entry->d_name);
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	}
	closedir(dir);
	return fd;
}

bool config_has_node(int dir, uint32_t node)
{
	char path[ATTR_PATH_BYTES];

	snprintf(path, sizeof(path), "nodes/%" PRIu32, node);
	return faccessat(dir, path, F_OK, 0) == 0;
}

bool config_node_is(int dir, uint32_t node, const char *attr)
{
	char value[8];

	return config_read(dir, value, sizeof(value), "nodes/%" PRIu32 "/%s",
			   node, attr) &&
	       !strcmp(value, "1");
}

/* Removing a node's directory brings it down, whoever uses it. */
static int config_remove(int dir, const char *name)
{
	char path[sizeof(CONFIGFS_DSM) + DSM_NAME_BYTES];
	uint32_t node;

	for (node = 0; node < DSM_MAX_NODES; node++) {
		if (!config_has_node(dir, node))
			continue;
		snprintf(path, sizeof(path), "nodes/%" PRIu32, node);
		if (unlinkat(dir, path, AT_REMOVEDIR))
			return fail("cannot remove node %" PRIu32 ": %s", node,
				    strerror(errno));
	}
	snprintf(path, sizeof(path), "%s/%s", CONFIGFS_DSM, name);
	if (rmdir(path))
		return fail("cannot remove cluster %s: %s", name,
			    strerror(errno));
	return EXIT_SUCCESS;
}

static int write_number(int dir, const char *attr, uint64_t value)
{
	char text[24];

	if (!value)
		return 0;
	snprintf(text, sizeof(text), "%" PRIu64, value);
	if (attr_write(dir, text, "%s", attr))
		return fail("cannot set %s to %s: %s", attr, text,
			    strerror(errno));
	return 0;
}

static int write_node(int dir, const struct cluster_node *node)
{
	char attr[ATTR_PATH_BYTES];

	snprintf(attr, sizeof(attr), "nodes/%" PRIu32, node->id);
	if (mkdirat(dir, attr, 0755))
		return fail("cannot configure node %" PRIu32 ": %s", node->id,
			    strerror(errno));
	if (attr_write(dir, node->addr, "nodes/%" PRIu32 "/addr", node->id))
		return fail("cannot set the address of node %" PRIu32
			    " to %s: %s",
			    node->id, node->addr, strerror(errno));
	snprintf(attr, sizeof(attr), "nodes/%" PRIu32 "/port", node->id);
	if (write_number(dir, attr, node->port))
		return -1;
	if (!node->local)
		return 0;
	snprintf(attr, sizeof(attr), "nodes/%" PRIu32 "/local", node->id);
	if (write_number(dir, attr, 1))
		return -1;
	snprintf(attr, sizeof(attr), "nodes/%" PRIu32 "/memory", node->id);
	if (write_number(dir, attr, node->memory))
		return -1;
	snprintf(attr, sizeof(attr), "nodes/%" PRIu32 "/cache", node->id);
	return write_number(dir, attr, node->cache);
}

static int bring_up(int dir, const struct cluster_node *node)
{
	if (!attr_write(dir, "1", "nodes/%" PRIu32 "/up", node->id))
		return 0;
	switch (errno) {
	case ENODEV:
		return fail(
			"node %" PRIu32
			": no RDMA device for %s; is rdma_rxe loaded and a link added?",
			node->id, node->addr);
	case EINVAL:
		return fail("node %" PRIu32
			    ": the kernel finds the configuration incomplete",
			    node->id);
	case EADDRINUSE:
		return fail("node %" PRIu32 ": port %" PRIu64
			    " of %s is in use",
			    node->id, node->port, node->addr);
	default:
		return fail("node %" PRIu32 " does not come up: %s", node->id,
			    strerror(errno));
	}
}

static int config_write(int dir, const struct cluster *c)
{
	unsigned int i;

	if (write_number(dir, "base", c->base) ||
	    write_number(dir, "span", c->span) ||
	    write_number(dir, "max_nodes", c->max_nodes) ||
	    write_number(dir, "epoch", c->epoch))
		return -1;
	if (attr_write(dir, c->key, "key"))
		return fail("cannot set the key: %s", strerror(errno));
	/* A node that is up forbids new ones: all directories come first. */
	for (i = 0; i < c->nr_nodes; i++)
		if (write_node(dir, &c->nodes[i]))
			return -1;
	for (i = 0; i < c->nr_nodes; i++)
		if (c->nodes[i].local && bring_up(dir, &c->nodes[i]))
			return -1;
	return 0;
}

static int config_create(const struct cluster *c)
{
	char path[sizeof(CONFIGFS_DSM) + DSM_NAME_BYTES];

	if (access(CONFIGFS_DSM, F_OK)) {
		fail("%s is missing: is the module dsm loaded and configfs mounted on /sys/kernel/config?",
		     CONFIGFS_DSM);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/%s", CONFIGFS_DSM, c->name);
	if (mkdir(path, 0755)) {
		if (errno == EBUSY || errno == EEXIST)
			fail("a cluster is configured already; 'dsmctl down' removes it");
		else
			fail("cannot configure cluster %s: %s", c->name,
			     strerror(errno));
		return -1;
	}
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* How many links of local nodes are not up; named if @print. */
static unsigned int links_missing(int dir, const struct cluster *c, bool print)
{
	unsigned int missing = 0;
	struct link_states states;
	unsigned int i;
	unsigned int j;

	for (i = 0; i < c->nr_nodes; i++) {
		if (!c->nodes[i].local)
			continue;
		config_read_links(dir, c->nodes[i].id, &states);
		for (j = 0; j < c->nr_nodes; j++) {
			const char *state = states.of[c->nodes[j].id];

			if (!strcmp(state, "up"))
				continue;
			missing++;
			if (print)
				fail("no link from node %" PRIu32
				     " to node %" PRIu32 " (%s)",
				     c->nodes[i].id, c->nodes[j].id,
				     state[0] ? state : "unknown");
		}
	}
	return missing;
}

static int wait_for_links(int dir, const struct cluster *c, uint32_t seconds)
{
	const struct timespec interval = { .tv_nsec = LINK_POLL_INTERVAL_NS };
	struct timespec now;
	time_t end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + seconds;
	while (links_missing(dir, c, false)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end)
			return links_missing(dir, c, true) ? EXIT_FAILURE
							   : EXIT_SUCCESS;
		nanosleep(&interval, NULL);
	}
	return EXIT_SUCCESS;
}

static int mark_local(struct cluster *c, uint64_t locals)
{
	unsigned int i;

	for (i = 0; i < c->nr_nodes; i++) {
		uint64_t bit = UINT64_C(1) << c->nodes[i].id;

		c->nodes[i].local = locals & bit;
		locals &= ~bit;
	}
	if (locals)
		return fail("node %d is not in the file",
			    __builtin_ctzll(locals));
	return 0;
}

int cmd_up(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "wait", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t locals = 0;
	uint32_t seconds = 0;
	bool wait = false;
	struct cluster c;
	int ret = EXIT_SUCCESS;
	int dir;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'n') {
			locals |= UINT64_C(1) << option_node(optarg);
		} else if (opt == 'w') {
			seconds = option_number("--wait", optarg, 0,
						MAX_WAIT_SECONDS);
			wait = true;
		} else {
			usage_error("bad option '%s'", argv[optind - 1]);
		}
	}
	if (argc - optind != 1)
		usage_error("one cluster file is needed");
	if (!locals)
		usage_error("--node says which nodes are on this machine");

	if (cluster_parse(&c, argv[optind]) || mark_local(&c, locals))
		return EXIT_FAILURE;
	dir = config_create(&c);
	if (dir < 0)
		return EXIT_FAILURE;
	if (config_write(dir, &c)) {
		config_remove(dir, c.name);
		ret = EXIT_FAILURE;
	} else if (wait) {
		ret = wait_for_links(dir, &c, seconds);
	}
	close(dir);
	return ret;
}

static int bring_all_down(int dir)
{
	uint32_t node;

	for (node = 0; node < DSM_MAX_NODES; node++) {
		if (!config_has_node(dir, node) ||
		    !config_node_is(dir, node, "local") ||
		    !config_node_is(dir, node, "up"))
			continue;
		if (!attr_write(dir, "0", "nodes/%" PRIu32 "/up", node))
			continue;
		if (errno == EBUSY)
			return fail("node %" PRIu32
				    " is in use: a process is attached to it",
				    node);
		return fail("node %" PRIu32 " does not go down: %s", node,
			    strerror(errno));
	}
	return 0;
}

int config_need(char name[DSM_NAME_BYTES])
{
	int dir = config_open(name);

	if (dir < 0 && errno == ENOENT)
		exit(fail("no cluster is configured"));
	if (dir < 0)
		exit(fail("%s: %s", CONFIGFS_DSM, strerror(errno)));
	return dir;
}

int cmd_down(int argc, char **argv)
{
	char name[DSM_NAME_BYTES];
	int ret;
	int dir;

	if (argc != 1)
		usage_error("unexpected argument '%s'", argv[1]);
	dir = config_need(name);
	ret = bring_all_down(dir);
	if (!ret)
		ret = config_remove(dir, name);
	close(dir);
	return ret;
}

int cmd_fence(int argc, char **argv)
{
	char name[DSM_NAME_BYTES];
	uint32_t node;
	int ret = EXIT_SUCCESS;
	int dir;

	if (argc != 2)
		usage_error("one node is needed");
	node = option_node(argv[1]);
	dir = config_need(name);
	if (!config_has_node(dir, node))
		ret = fail("node %" PRIu32 " is not in the configuration",
			   node);
	else if (config_node_is(dir, node, "local"))
		ret = fail("node %" PRIu32
			   " is on this machine: bring it down instead",
			   node);
	else if (attr_write(dir, "1", "nodes/%" PRIu32 "/fence", node))
		ret = fail("cannot fence node %" PRIu32 ": %s", node,
			   strerror(errno));
	close(dir);
	return ret;
}
