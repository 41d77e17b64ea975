// SPDX-License-Identifier: GPL-2.0-only
/* dsmctl: set up, inspect and repair the nodes of this machine. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dsmctl.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *synopsis;
} commands[] = {
	{ "up", cmd_up, " FILE --node N [--node M ...] [--wait SECONDS]" },
	{ "down", cmd_down, "" },
	{ "status", cmd_status, "" },
	{ "stat", cmd_stat, " [--node N] [--json]" },
	{ "ping", cmd_ping,
	  " NODE [--node N] [--size BYTES] [--depth D] [--count C] [--json]" },
	{ "region", cmd_region,
	  " ls | create NAME [--mode MODE] | rm NAME [--node N]" },
	{ "fence", cmd_fence, " NODE" },
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The one that runs; tells usage_error() what to print. */
static const struct command *current;

static void print_usage(FILE *stream)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		if (!current || current == &commands[i])
			fprintf(stream, "%s dsmctl %s%s\n",
				i == 0 || current ? "usage:" : "      ",
				commands[i].name, commands[i].synopsis);
}

int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("dsmctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

void usage_error(const char *fmt, ...)
{
	va_list ap;

	fputs("dsmctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	print_usage(stderr);
	exit(EXIT_USAGE);
}

bool parse_number(const char *text, bool suffix, uint64_t *value)
{
	unsigned int shift = 0;
	char *end;
	int base = 10;

	/* strtoull() takes signs and blanks, and octal with base 0. */
	if (text[0] < '0' || text[0] > '9')
		return false;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		base = 16;
	errno = 0;
	*value = strtoull(text, &end, base);
	if (errno || (base == 16 && end <= text + 2))
		return false;
	if (suffix && *end) {
		static const char letters[] = "KMG";
		const char *letter = strchr(letters, *end);

		if (!letter)
			return false;
		shift = 10 * (unsigned int)(letter - letters + 1);
		end++;
	}
	if (*end || *value > UINT64_MAX >> shift)
		return false;
	*value <<= shift;
	return true;
}

uint32_t option_number(const char *option, const char *text, uint32_t min,
		       uint32_t max)
{
	uint64_t value;

	if (!parse_number(text, false, &value) || value < min || value > max)
		usage_error("%s: a number from %" PRIu32 " to %" PRIu32
			    ", not '%s'",
			    option, min, max, text);
	return (uint32_t)value;
}

uint32_t option_node(const char *text)
{
	uint32_t node;

	if (!device_parse_node(text, &node))
		usage_error("a node is a number from 0 to %d, not '%s'",
			    DSM_MAX_NODES - 1, text);
	return node;
}

uint32_t default_node(void)
{
	const char *env = getenv("DSM_NODE");
	uint32_t node;

	if (!env)
		return DSM_NODE_ANY;
	if (!device_parse_node(env, &node))
		usage_error("DSM_NODE is not a node: '%s'", env);
	return node;
}

int device_need(void)
{
	int fd = device_open();

	if (fd < 0 && errno == ENODEV)
		exit(fail("/dev/dsm is missing: is the module dsm loaded?"));
	if (fd < 0)
		exit(fail("/dev/dsm: %s", strerror(errno)));
	return fd;
}

const char *device_strerror(int err)
{
	switch (err) {
	case ENODEV:
		return "no such node is up on this machine (or several are: choose one with --node)";
	case EPERM:
		return "only the administrator may do this";
	case EHOSTDOWN:
		return "the peer cannot be reached";
	case ETIMEDOUT:
		return "no answer in time";
	case EKEYREJECTED:
		return "the peer does not know the cluster key";
	case ENOTTY:
		return "the module does not know this request: is it another version?";
	default:
		return strerror(err);
	}
}

int main(int argc, char **argv)
{
	size_t i;
	int ret;

	if (argc < 2)
		usage_error("a command is needed");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		print_usage(stdout);
		return EXIT_SUCCESS;
	}
	for (i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			current = &commands[i];
	if (!current)
		usage_error("unknown command '%s'", argv[1]);

	opterr = 0; /* usage_error() says it */
	ret = current->run(argc - 1, argv + 1);
	/* Output to a full disk or a closed pipe is not a success. */
	if (fflush(stdout) || ferror(stdout))
		return fail("standard output: %s", strerror(errno));
	return ret;
}
