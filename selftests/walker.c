// SPDX-License-Identifier: GPL-2.0-only
/*
 * walker: what the suites written in shell need of a program.
 *
 * The node is the one that DSM_NODE names.  Regions for several guests are
 * called net-0, net-1 ...: one that the node AVOID does not keep is created,
 * and the others find it by trying.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "helper.h"

#define LOOKUP_MS 120000
#define NET_REGIONS 64
#define SURVIVE_PAGES 4

static int fail(const char *what)
{
	fprintf(stderr, "walker: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static struct dsm *attach(const char *region)
{
	/* The region may be created by another node that is not that far. */
	uint64_t end = now_ms() + LOOKUP_MS;
	struct dsm *dsm;

	while (!(dsm = dsm_attach(region, O_RDWR, 0)) && errno == ENOENT &&
	       now_ms() < end)
		usleep(50000);
	return dsm;
}

static int build(int argc, char **argv)
{
	size_t bytes = strtoul(argv[2], NULL, 0) << 20;
	struct dsm *dsm = attach(argv[0]);
	struct dsm_ref ref;
	void *arena;

	(void)argc;
	if (!dsm)
		return fail("attach");
	arena = dsm_alloc(dsm, bytes, &ref);
	if (!arena)
		return fail("alloc");
	if (!chain_build(arena, bytes, (uint32_t)getpid()))
		return fail("build");
	if (dsm_freeze(dsm, &ref))
		return fail("freeze");
	if (dsm_publish(dsm, argv[1], &ref))
		return fail("publish");
	return EXIT_SUCCESS;
}

static const void *find(struct dsm *dsm, const char *name, struct dsm_ref *ref)
{
	return dsm_lookup(dsm, name, LOOKUP_MS, ref);
}

static int walk(int argc, char **argv)
{
	struct dsm *dsm = attach(argv[0]);
	const void *head;

	(void)argc;
	if (!dsm)
		return fail("attach");
	head = find(dsm, argv[1], NULL);
	if (!head)
		return fail("lookup");
	if (!chain_walk(head)) {
		fprintf(stderr, "walker: the chain is broken\n");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static bool next_line(void)
{
	char line[16];

	return fgets(line, sizeof(line), stdin);
}

/* Stays attached until a line comes, then says what an access gives. */
static int hold(int argc, char **argv)
{
	struct dsm *dsm = dsm_attach(argv[0], O_RDWR | O_CREAT, 0600);
	struct dsm_ref ref;
	char *page;

	(void)argc;
	if (!dsm)
		return fail("attach");
	page = dsm_alloc(dsm, PAGE_BYTES, &ref);
	if (!page)
		return fail("alloc");
	*page = 1;
	printf("ready\n");
	fflush(stdout);
	if (!next_line())
		return fail("stdin");
	printf("signal %d\n", probe_read(page));
	return EXIT_SUCCESS;
}

struct page_test {
	const struct chain_head *head;
	size_t page;
	bool wrong;
};

static void test_page(void *arg)
{
	struct page_test *t = arg;

	t->wrong = chain_page_check(t->head, t->page) >= 0;
}

/* Faults on random pages until a signal, or until a file appears. */
static int fault(const char *region, const char *name, const char *stop_file,
		 int expected)
{
	struct dsm *dsm = attach(region);
	uint64_t slowest = 0, accesses = 0;
	struct page_test test = {};
	uint32_t state = 7;
	struct dsm_ref ref;
	int sig = 0;

	if (!dsm)
		return fail("attach");
	test.head = find(dsm, name, &ref);
	if (!test.head)
		return fail("lookup");
	while (!sig && !test.wrong &&
	       !(stop_file && !access(stop_file, F_OK))) {
		uint64_t start = now_ms(), took;

		test.page = next_random(&state) % (ref.size / PAGE_BYTES);
		sig = probe_read((const char *)test.head +
				 test.page * PAGE_BYTES);
		took = now_ms() - start;
		if (!sig)
			sig = probe_run(test_page, &test);
		if (took > slowest)
			slowest = took;
		accesses++;
	}
	if (test.wrong)
		chain_page_explain(test.head, test.page);
	printf("signal %d accesses %" PRIu64 " slowest_ms %" PRIu64 "\n", sig,
	       accesses, slowest);
	return sig == expected && !test.wrong && slowest <= 5000 ? EXIT_SUCCESS
								 : EXIT_FAILURE;
}

static int lose(int argc, char **argv)
{
	(void)argc;
	return fault(argv[0], argv[1], NULL, SIGBUS);
}

static int keep(int argc, char **argv)
{
	(void)argc;
	return fault(argv[0], argv[1], argv[2], 0);
}

/* Copies outlive their home's fencing, what is not here yet is SIGBUS. */
static int survive(int argc, char **argv)
{
	struct dsm *dsm = attach(argv[0]);
	const unsigned char *addr;
	struct dsm_ref ref;
	uint64_t word[SURVIVE_PAGES];
	int sig;

	(void)argc;
	if (!dsm)
		return fail("attach");
	addr = find(dsm, argv[1], &ref);
	if (!addr)
		return fail("lookup");
	for (size_t i = 0; i < SURVIVE_PAGES; i++)
		memcpy(&word[i], addr + i * PAGE_BYTES, sizeof(word[i]));
	printf("ready\n");
	fflush(stdout);
	if (!next_line())
		return fail("stdin");

	for (size_t i = 0; i < SURVIVE_PAGES; i++) {
		sig = probe_read(addr + i * PAGE_BYTES);
		if (sig ||
		    memcmp(&word[i], addr + i * PAGE_BYTES, sizeof(word[i]))) {
			printf("cached page %zu: signal %d\n", i, sig);
			return EXIT_FAILURE;
		}
	}
	sig = probe_read(addr + ref.size - PAGE_BYTES);
	printf("uncached page: signal %d\n", sig);
	return sig == SIGBUS ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int region_create(int argc, char **argv)
{
	unsigned int node = (unsigned int)atoi(getenv("DSM_NODE") ?: "1");
	unsigned int avoid = (unsigned int)atoi(argv[0]);
	int fd = device_open(O_RDWR);

	(void)argc;
	if (fd < 0)
		return fail("/dev/dsm");
	for (unsigned int i = 0; i < NET_REGIONS; i++) {
		struct dsm_region_args made = { .size = sizeof(made),
						.node = node,
						.mode = 0600 };
		struct dsm_region_args next = { .size = sizeof(next),
						.node = node,
						.registrar = avoid };
		bool avoided = true;

		snprintf(made.name, sizeof(made.name), "net-%u", i);
		if (request(fd, DSM_IOC_REGION_CREATE, &made))
			return fail("create");
		while (!request(fd, DSM_IOC_REGION_NEXT, &next))
			if (!strcmp(next.name, made.name))
				avoided = false;
		if (errno != ENOENT)
			return fail("list");
		if (avoided) {
			printf("%s\n", made.name);
			return EXIT_SUCCESS;
		}
		if (dsm_region_remove(node, made.name))
			return fail("remove");
	}
	fprintf(stderr, "walker: node %u keeps every region\n", avoid);
	return EXIT_FAILURE;
}

static int region_find_net(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (unsigned int i = 0; i < NET_REGIONS; i++) {
		char name[DSM_NAME_BYTES];
		struct dsm *dsm;

		snprintf(name, sizeof(name), "net-%u", i);
		dsm = dsm_attach(name, O_RDWR, 0);
		if (dsm) {
			dsm_detach(dsm);
			printf("%s\n", name);
			return EXIT_SUCCESS;
		}
	}
	return fail("no region net-*");
}

static const struct {
	const char *name;
	int args;
	int (*run)(int argc, char **argv);
	const char *usage;
} modes[] = {
	{ "build", 3, build, "REGION NAME MIB" },
	{ "walk", 2, walk, "REGION NAME" },
	{ "hold", 1, hold, "REGION" },
	{ "lose", 2, lose, "REGION NAME" },
	{ "keep", 3, keep, "REGION NAME STOP-FILE" },
	{ "survive", 2, survive, "REGION NAME" },
	{ "region-create", 1, region_create, "AVOID" },
	{ "region-find", 0, region_find_net, "" },
};

/*
 * With the registers one can tell a bad pointer from a trap that the instruction
 * did not raise: then all that it uses is plausible.
 */
static void explain_signal(int sig, siginfo_t *info, void *context)
{
	const greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
	char text[1024];
	size_t n;

	n = (size_t)snprintf(
		text, sizeof(text),
		"walker: signal %d code %d addr %p trap %lld error %llx\n", sig,
		info->si_code, info->si_addr, reg[REG_TRAPNO], reg[REG_ERR]);
	for (int i = 0; i <= REG_EFL; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "%sgreg %d: %llx", i % 6 ? ", " : "\n", i,
				      reg[i]);
	text[n++] = '\n';
	if (write(STDERR_FILENO, text, n) < 0)
		_exit(EXIT_FAILURE);
	signal(sig, SIG_DFL);
}

int main(int argc, char **argv)
{
	const struct sigaction act = { .sa_sigaction = explain_signal,
				       .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSEGV, &act, NULL) || sigaction(SIGBUS, &act, NULL))
		return fail("sigaction");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc == modes[i].args + 2 &&
		    !strcmp(argv[1], modes[i].name))
			return modes[i].run(argc - 2, argv + 2);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		fprintf(stderr, "usage: walker %s %s\n", modes[i].name,
			modes[i].usage);
	return 2;
}
