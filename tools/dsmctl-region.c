// SPDX-License-Identifier: GPL-2.0-only
/* dsmctl: regions. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dsmctl.h"

/* Lists what one registrar knows; errno if it cannot be asked. */
static int list_registrar(int fd, uint32_t node, uint32_t registrar)
{
	struct dsm_region_args args = {
		.size = sizeof(args),
		.node = node,
		.registrar = registrar,
	};

	while (!ioctl(fd, DSM_IOC_REGION_NEXT, &args)) {
		printf("%016" PRIx64 "  %04" PRIo32 "  %6" PRIu32 "  %6" PRIu32
		       "  %9" PRIu32 "  %5" PRIu32 "  %.*s\n",
		       (uint64_t)args.id, args.mode, args.uid, args.gid,
		       registrar, args.nr_names, DSM_NAME_BYTES, args.name);
		/* Only the cursor goes back in. */
		args = (struct dsm_region_args){
			.size = sizeof(args),
			.node = node,
			.registrar = registrar,
			.cursor = args.cursor,
		};
	}
	return errno == ENOENT ? 0 : errno;
}

static int list_regions(int fd, uint32_t node)
{
	struct dsm_info info = { .size = sizeof(info) };
	uint32_t registrar;

	if (ioctl(fd, DSM_IOC_INFO, &info))
		return fail("%s", errno == ENODEV ? "no cluster is configured"
						  : device_strerror(errno));
	printf("%-16s  %4s  %6s  %6s  %9s  %5s  %s\n", "id", "mode", "uid",
	       "gid", "registrar", "names", "name");
	for (registrar = 0; registrar < DSM_MAX_NODES; registrar++) {
		int err;

		if (!(info.nodes >> registrar & 1))
			continue;
		err = list_registrar(fd, node, registrar);
		if (err == EHOSTDOWN || err == ETIMEDOUT)
			fprintf(stderr,
				"dsmctl: regions of node %" PRIu32
				" are left out: %s\n",
				registrar, device_strerror(err));
		else if (err)
			return fail("regions of node %" PRIu32 ": %s",
				    registrar, device_strerror(err));
	}
	return EXIT_SUCCESS;
}

static int change_region(int fd, unsigned long request,
			 struct dsm_region_args *args, const char *name)
{
	memcpy(args->name, name, strlen(name) + 1);
	if (!ioctl(fd, request, args))
		return EXIT_SUCCESS;
	switch (errno) {
	case EEXIST:
		return fail("region %s exists already", name);
	case ENOENT:
		return fail("there is no region %s", name);
	case EPERM:
		return fail("region %s is not yours", name);
	case EHOSTDOWN:
		return fail(
			"region %s: the node that registers it cannot be reached",
			name);
	default:
		return fail("region %s: %s", name, device_strerror(errno));
	}
}

static uint32_t parse_mode(const char *text)
{
	char *end;
	unsigned long mode;

	if (text[0] < '0' || text[0] > '7')
		usage_error("--mode: permission bits in octal, not '%s'", text);
	mode = strtoul(text, &end, 8);
	if (*end || mode > 0777)
		usage_error("--mode: permission bits in octal, not '%s'", text);
	return (uint32_t)mode;
}

int cmd_region(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "mode", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	struct dsm_region_args args = {
		.size = sizeof(args),
		.node = default_node(),
		.mode = 0770,
	};
	bool mode_given = false;
	const char *verb;
	int operands;
	int ret;
	int opt;
	int fd;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'n') {
			args.node = option_node(optarg);
		} else if (opt == 'm') {
			args.mode = parse_mode(optarg);
			mode_given = true;
		} else {
			usage_error("bad option '%s'", argv[optind - 1]);
		}
	}
	operands = argc - optind;
	verb = operands ? argv[optind] : "";
	if (strcmp(verb, "ls") != 0 && strcmp(verb, "create") != 0 &&
	    strcmp(verb, "rm") != 0)
		usage_error("ls, create or rm is needed");
	if (operands != (strcmp(verb, "ls") ? 2 : 1))
		usage_error("wrong number of operands for region %s", verb);
	if (mode_given && strcmp(verb, "create") != 0)
		usage_error("--mode is for region create");
	if (operands == 2 && (!argv[optind + 1][0] ||
			      strlen(argv[optind + 1]) >= DSM_NAME_BYTES))
		usage_error("the name of a region has 1 to %d bytes",
			    DSM_NAME_BYTES - 1);

	fd = device_need();
	if (!strcmp(verb, "ls")) {
		ret = list_regions(fd, args.node);
	} else if (!strcmp(verb, "create")) {
		ret = change_region(fd, DSM_IOC_REGION_CREATE, &args,
				    argv[optind + 1]);
	} else {
		args.mode = 0;
		ret = change_region(fd, DSM_IOC_REGION_REMOVE, &args,
				    argv[optind + 1]);
	}
	close(fd);
	return ret;
}
