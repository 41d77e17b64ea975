// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

unsigned int rounds(unsigned int normal)
{
	const char *stress = getenv("STRESS");

	return stress && *stress ? normal * 20 : normal;
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint32_t next_random(uint32_t *state)
{
	/* xorshift32: never 0 from a state that is not 0 */
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

bool wait_until(bool (*cond)(void *arg), void *arg, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	uint64_t end = now_ms() + ms;

	while (!cond(arg)) {
		if (now_ms() > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static _Thread_local sigjmp_buf probe_env;
static _Thread_local volatile sig_atomic_t probing;

static void probe_handler(int sig)
{
	if (probing)
		siglongjmp(probe_env, sig);
	/* Not ours: let the access raise it again, now fatally. */
	signal(sig, SIG_DFL);
}

int probe_run(void (*fn)(void *arg), void *arg)
{
	const struct sigaction act = { .sa_handler = probe_handler };
	int sig;

	if (sigaction(SIGSEGV, &act, NULL) || sigaction(SIGBUS, &act, NULL))
		return -1;

	sig = sigsetjmp(probe_env, 1);
	if (!sig) {
		probing = 1;
		fn(arg);
	}
	probing = 0;
	return sig;
}

struct probe {
	volatile unsigned char *addr;
	bool write;
	unsigned char value;
};

static void probe_access(void *arg)
{
	const struct probe *p = arg;

	if (p->write)
		*p->addr = p->value;
	else
		(void)*p->addr;
}

int probe_read(const void *addr)
{
	struct probe p = { .addr = (unsigned char *)(uintptr_t)addr };

	return probe_run(probe_access, &p);
}

int probe_write(void *addr, unsigned char value)
{
	struct probe p = { .addr = addr, .write = true, .value = value };

	return probe_run(probe_access, &p);
}

/* Every 8-byte word differs, so that a page in another's place is seen. */
uint64_t pattern_word(size_t index, uint32_t seed)
{
	return (index + 1) * 0x9e3779b97f4a7c15ULL ^ ((uint64_t)seed << 32);
}

void pattern_fill(void *addr, size_t bytes, uint32_t seed)
{
	uint64_t *word = addr;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = pattern_word(i, seed);
}

ssize_t pattern_check(const void *addr, size_t bytes, uint32_t seed)
{
	const volatile uint64_t *word = addr;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		if (word[i] != pattern_word(i, seed))
			return (ssize_t)(i * sizeof(*word));
	return -1;
}

bool is_zero(const void *addr, size_t bytes)
{
	const volatile unsigned char *p = addr;

	for (size_t i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

#define CHAIN_STRIDE 1024
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))

/* The cell in each stride is behind the head, which is in the first. */
static struct chain_cell *chain_cell_at(const void *arena, size_t i)
{
	return (void *)((uintptr_t)arena + i * CHAIN_STRIDE + CHAIN_STRIDE / 2);
}

/* What a pointer's check word must be. */
static uint64_t chain_check(const struct chain_head *head, const void *at,
			    const void *next)
{
	size_t index = ((uintptr_t)at - (uintptr_t)head) / sizeof(uint64_t);

	return ~pattern_word(index, head->seed) ^ (uintptr_t)next;
}

static uint64_t chain_head_check(const struct chain_head *head)
{
	return chain_check(head, head, head->first) ^ head->cells ^
	       head->sum << 1;
}

bool chain_build(void *arena, size_t bytes, uint32_t seed)
{
	size_t cells = bytes / CHAIN_STRIDE;
	struct chain_head *head = arena;
	struct chain_cell *cell = NULL;
	uint32_t state = seed | 1;
	uint32_t *order;

	order = calloc(cells, sizeof(*order));
	if (!order)
		return false;
	for (size_t i = 0; i < cells; i++)
		order[i] = (uint32_t)i;
	for (size_t i = cells - 1; i; i--) {
		size_t j = next_random(&state) % (i + 1);
		uint32_t swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}

	pattern_fill(arena, bytes, seed);
	head->seed = seed;
	head->cells = cells;
	head->sum = 0;
	for (size_t i = cells; i-- > 0;) {
		struct chain_cell *next = cell;

		cell = chain_cell_at(arena, order[i]);
		cell->next = next;
		cell->check = chain_check(head, cell, next);
		head->sum += cell->value;
	}
	head->first = cell;
	head->check = chain_head_check(head);
	free(order);
	return true;
}

/* Is word @i of page @page what it must be?  @found is that word as it was read. */
static bool chain_word_is_right(const struct chain_head *head, size_t page,
				size_t i, uint64_t found)
{
	size_t at = (page * PAGE_BYTES + i * sizeof(found)) % CHAIN_STRIDE;
	const uint64_t *word = (const uint64_t *)head + page * PAGE_WORDS + i;
	const size_t cell = CHAIN_STRIDE / 2;

	if (!page && i < sizeof(*head) / sizeof(found))
		return true; /* chain_walk() has checked it */
	if (at == cell + offsetof(struct chain_cell, next))
		return word[1] ==
		       chain_check(head, word, (void *)(uintptr_t)found);
	if (at == cell + offsetof(struct chain_cell, check))
		return true; /* seen with the pointer */
	return found == pattern_word(page * PAGE_WORDS + i, head->seed);
}

ssize_t chain_page_check(const struct chain_head *head, size_t page)
{
	const volatile uint64_t *word =
		(const uint64_t *)head + page * PAGE_WORDS;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		if (!chain_word_is_right(head, page, i, word[i]))
			return (ssize_t)(i * sizeof(*word));
	return -1;
}

static const char *chain_page_looks(const struct chain_head *head,
				    const uint64_t *word)
{
	static char text[64];
	size_t pages = head->cells * CHAIN_STRIDE / PAGE_BYTES;
	size_t ledger = 0, same = 0;

	for (size_t i = 0; i < PAGE_WORDS; i++) {
		ledger += word[i] >> DSM_WORD_STATE_SHIFT == DSM_STATE_FROZEN;
		same += word[i] == word[0];
	}
	if (same == PAGE_WORDS)
		return word[0] ? "one word all over" : "zeroes";
	if (ledger == PAGE_WORDS)
		return "ledger words";
	for (size_t page = 0; page < pages; page++) {
		/* Word 40 is neither the head's nor a cell's. */
		if (word[40] ==
		    pattern_word(page * PAGE_WORDS + 40, head->seed)) {
			snprintf(text, sizeof(text), "page %zu", page);
			return text;
		}
	}
	return "something else";
}

void chain_page_explain(const struct chain_head *head, size_t page)
{
	const volatile uint64_t *at =
		(const uint64_t *)head + page * PAGE_WORDS;
	size_t pages = head->cells * CHAIN_STRIDE / PAGE_BYTES;
	uint64_t word[PAGE_WORDS];
	size_t wrong = 0;

	for (size_t i = 0; i < PAGE_WORDS; i++) {
		word[i] = at[i];
		wrong += !chain_word_is_right(head, page, i, word[i]);
	}
	fprintf(stderr,
		"page %zu at %p: %zu words are wrong, it looks like %s:", page,
		(const void *)at, wrong, chain_page_looks(head, word));
	for (size_t i = 0; i < 4; i++)
		fprintf(stderr, " %016" PRIx64, word[i]);
	for (size_t i = CHAIN_STRIDE / 2 / 8; i < CHAIN_STRIDE / 2 / 8 + 3; i++)
		fprintf(stderr, " %016" PRIx64, word[i]);
	usleep(100000);
	fprintf(stderr, "; later: %s",
		chain_page_check(head, page) < 0 ? "right" : "wrong");
	/* If the cache is smaller than the chain, it is fetched again. */
	for (size_t i = 0; i < 2 * pages; i++)
		if (i % pages != page)
			(void)*((const volatile uint64_t *)head +
				i % pages * PAGE_WORDS);
	fprintf(stderr, "; after all others: %s\n",
		chain_page_check(head, page) < 0 ? "right" : "wrong");
}

bool chain_walk(const struct chain_head *head)
{
	const uintptr_t start = (uintptr_t)head;
	uint64_t cells = 0, sum = 0;

	if (head->check != chain_head_check(head)) {
		fprintf(stderr, "the head is wrong\n");
		return false;
	}
	/* A broken chain must not become an endless one. */
	for (const struct chain_cell *cell = head->first;
	     cell && cells < head->cells; cell = cell->next, cells++) {
		size_t page = ((uintptr_t)cell - start) / PAGE_BYTES;

		/* Before anything in it is used. */
		if (chain_page_check(head, page) >= 0) {
			chain_page_explain(head, page);
			return false;
		}
		sum += cell->value;
	}
	if (cells == head->cells && sum == head->sum)
		return true;
	fprintf(stderr,
		"the chain ends after %" PRIu64 " of %" PRIu64 " cells\n",
		cells, head->cells);
	return false;
}

int device_open(int flags)
{
	int fd = open("/dev/dsm", flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int request(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

int request_attach(int fd, unsigned int node, const char *region)
{
	struct dsm_attach_args args = { .size = sizeof(args), .node = node };

	name_copy(args.name, region);
	return request(fd, DSM_IOC_ATTACH, &args);
}

int request_object(int fd, unsigned int cmd, struct dsm_ref *ref,
		   uint32_t flags)
{
	struct dsm_object_args args = { .size = sizeof(args),
					.flags = flags,
					.ref = *ref };
	int err = request(fd, cmd, &args);

	*ref = args.ref;
	return err;
}

int request_alloc_on(int fd, unsigned int node, uint64_t bytes,
		     struct dsm_ref *ref)
{
	struct dsm_alloc_args args = { .size = sizeof(args),
				       .node = node,
				       .ref.size = bytes };
	int err = request(fd, DSM_IOC_ALLOC_ON, &args);

	*ref = args.ref;
	return err;
}

int request_publish(int fd, const char *name, const struct dsm_ref *ref)
{
	struct dsm_name_args args = { .size = sizeof(args), .ref = *ref };

	name_copy(args.name, name);
	return request(fd, DSM_IOC_PUBLISH, &args);
}

uint64_t *ledger_map(int fd)
{
	void *words = mmap(NULL, LEDGER_BYTES, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, fd,
			   (off_t)DSM_MMAP_LEDGER);

	return words == MAP_FAILED ? NULL : words;
}

void ledger_unmap(uint64_t *words)
{
	munmap(words, LEDGER_BYTES);
}

size_t ledger_index(uint64_t addr)
{
	return (addr - RANGE_BASE) / DSM_LINE_SIZE;
}

uint64_t small_excl(int fd, unsigned int lines)
{
	struct dsm_slab_args args = { .size = sizeof(args), .lines = lines };
	uint64_t addr = 0, *words;

	if (request(fd, DSM_IOC_SLAB, &args))
		return 0;
	words = ledger_map(fd);
	if (!words)
		return 0;
	for (unsigned int i = 0; i + lines <= 64 && !addr; i += lines) {
		uint64_t at = args.addr + i * DSM_LINE_SIZE;
		uint64_t *word = &words[ledger_index(at)];

		if (*word >> DSM_WORD_LINES_SHIFT != lines)
			continue; /* not FREE */
		*word += DSM_WORD(DSM_STATE_EXCL, 0, 1);
		addr = at;
	}
	ledger_unmap(words);
	return addr;
}

static int request_once(unsigned long cmd, void *arg)
{
	int fd = device_open(O_RDWR);
	int err;

	if (fd < 0)
		return fd;
	err = request(fd, cmd, arg);
	close(fd);
	return err;
}

int counters_read(unsigned int node, uint64_t region, struct counters *out)
{
	struct dsm_stat_args args = {
		.size = sizeof(args),
		.node = node,
		.nr = DSM_COUNTER_NR,
		.region = region,
		.values = (uintptr_t)out->v,
	};

	if (is_far(node))
		return far_counters(node, region, out);
	memset(out, 0, sizeof(*out));
	return request_once(DSM_IOC_STAT, &args);
}

uint64_t counter_now(unsigned int node, enum dsm_counter counter)
{
	struct counters c;

	return counters_read(node, 0, &c) ? UINT64_MAX : c.v[counter];
}

struct counters counters_since(unsigned int node, uint64_t region,
			       const struct counters *before)
{
	struct counters c;

	if (counters_read(node, region, &c)) {
		memset(&c, 0xff, sizeof(c));
		return c;
	}
	for (unsigned int i = 0; i < DSM_COUNTER_GAUGE_CHUNKS; i++)
		c.v[i] -= before->v[i];
	return c;
}

int node_set_up(unsigned int node, bool up)
{
	char pattern[128];
	glob_t found;
	int err = 0;
	int fd;

	snprintf(pattern, sizeof(pattern),
		 "/sys/kernel/config/dsm/*/nodes/%u/up", node);
	if (glob(pattern, 0, NULL, &found))
		return -ENOENT;
	fd = open(found.gl_pathv[0], O_WRONLY);
	globfree(&found);
	if (fd < 0)
		return -errno;
	if (write(fd, up ? "1" : "0", 1) != 1)
		err = -errno;
	close(fd);
	return err;
}

static bool links_are_up(void *arg)
{
	(void)arg;
	return counter_now(NODE_HOME, DSM_COUNTER_GAUGE_LINKS) == NODE_LAST &&
	       counter_now(NODE_PEER, DSM_COUNTER_GAUGE_LINKS) == NODE_LAST;
}

bool links_come_up(void)
{
	return wait_until(links_are_up, NULL, WAIT_MS);
}

void name_copy(char *to, const char *name)
{
	snprintf(to, DSM_NAME_BYTES, "%s", name);
}

void region_name(char *name)
{
	static unsigned int serial;

	snprintf(name, DSM_NAME_BYTES, "test-%d-%u", (int)getpid(), serial++);
}

static int region_next(unsigned int registrar, uint64_t cursor,
		       struct dsm_region_args *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->node = NODE_HOME;
	out->registrar = registrar;
	out->cursor = cursor;
	return request_once(DSM_IOC_REGION_NEXT, out);
}

int region_find(const char *name, struct dsm_region_args *out)
{
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		int err = region_next(node, 0, out);

		while (!err && strcmp(out->name, name))
			err = region_next(node, out->cursor, out);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

int region_name_at(unsigned int registrar, char *name)
{
	/* Of 3 nodes one is missed 64 times in a row about never. */
	for (unsigned int i = 0; i < 64; i++) {
		struct dsm_region_args found;
		int err;

		region_name(name);
		if (dsm_region_create(NODE_HOME, name, 0600))
			return -errno;
		err = region_find(name, &found);
		if (dsm_region_remove(NODE_HOME, name))
			return -errno;
		if (err)
			return err;
		if (found.registrar == registrar)
			return 0;
	}
	return -ENOENT;
}

void regions_clear(void)
{
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		struct dsm_region_args found;

		while (!region_next(node, 0, &found))
			if (dsm_region_remove(NODE_HOME, found.name))
				break;
	}
}

int object_drop(struct dsm *dsm, struct dsm_ref *ref)
{
	return dsm_return_mut(dsm, ref) ?: dsm_drop(dsm, ref);
}

struct dsm *attach_at(unsigned int node, const char *region, int flags)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", node);
	setenv("DSM_NODE", id, 1);
	return dsm_attach(region, flags, 0600);
}

int reap(pid_t pid, int *status, unsigned int ms)
{
	struct pollfd pfd = { .events = POLLIN };
	uint64_t end = now_ms() + ms;
	int n, err = 0;

	pfd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pfd.fd < 0)
		return -errno;
	do {
		uint64_t now = now_ms();

		n = poll(&pfd, 1, now < end ? (int)(end - now) : 0);
	} while (n < 0 && errno == EINTR);
	close(pfd.fd);
	if (n != 1) {
		/* One that does not even die is left to the suite's limit. */
		err = -ETIMEDOUT;
		kill(pid, SIGKILL);
		waitpid(pid, status, WNOHANG);
	} else if (waitpid(pid, status, 0) != pid) {
		err = -errno;
	}
	return err;
}

int in_child(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return -1;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(fn(arg));
	}
	if (reap(pid, &status, WAIT_MS) || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
