// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

static int probe(volatile unsigned char *addr, bool write, unsigned char value)
{
	const struct sigaction act = { .sa_handler = probe_handler };
	int sig;

	if (sigaction(SIGSEGV, &act, NULL) || sigaction(SIGBUS, &act, NULL))
		return -1;

	sig = sigsetjmp(probe_env, 1);
	if (!sig) {
		probing = 1;
		if (write)
			*addr = value;
		else
			(void)*addr;
	}
	probing = 0;
	return sig;
}

int probe_read(const void *addr)
{
	return probe((volatile unsigned char *)(uintptr_t)addr, false, 0);
}

int probe_write(void *addr, unsigned char value)
{
	return probe(addr, true, value);
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

bool chain_build(void *arena, size_t bytes, uint32_t seed)
{
	size_t cells = bytes / CHAIN_STRIDE;
	struct chain_head *head = arena;
	struct chain_cell **link = &head->first;
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

	head->cells = cells;
	head->sum = 0;
	for (size_t i = 0; i < cells; i++) {
		/* Behind the head, which is in the first stride. */
		struct chain_cell *cell =
			(void *)((char *)arena + order[i] * CHAIN_STRIDE +
				 CHAIN_STRIDE / 2);

		cell->value = next_random(&state);
		head->sum += cell->value;
		*link = cell;
		link = &cell->next;
	}
	*link = NULL;
	free(order);
	return true;
}

bool chain_walk(const struct chain_head *head)
{
	uint64_t cells = 0, sum = 0;

	/* A broken chain must not become an endless one. */
	for (const struct chain_cell *cell = head->first;
	     cell && cells < head->cells; cell = cell->next, cells++)
		sum += cell->value;
	return cells && cells == head->cells && sum == head->sum;
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

struct dsm *attach_at(unsigned int node, const char *region, int flags)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", node);
	setenv("DSM_NODE", id, 1);
	return dsm_attach(region, flags, 0600);
}

static void __attribute__((noreturn))
worker_main(int sock, void *arg, unsigned int node, const char *region,
	    int flags)
{
	struct dsm *dsm = NULL;
	long result = 0;
	job_fn fn;

	/* A test that is killed takes its workers along. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (region) {
		dsm = attach_at(node, region, flags);
		if (!dsm)
			result = -errno;
	}
	while (send(sock, &result, sizeof(result), MSG_NOSIGNAL) > 0 &&
	       recv(sock, &fn, sizeof(fn), 0) == sizeof(fn))
		result = fn(dsm, arg);
	dsm_detach(dsm);
	_exit(0);
}

int worker_start(struct worker *w, unsigned int node, const char *region,
		 int flags)
{
	int socks[2];
	long result;

	memset(w, 0, sizeof(*w));
	w->arg = mmap(NULL, WORKER_ARG_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->arg == MAP_FAILED)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	w->sock = socks[0];
	w->pid = fork();
	if (w->pid < 0)
		return -errno;
	if (!w->pid) {
		close(socks[0]);
		worker_main(socks[1], w->arg, node, region, flags);
	}
	close(socks[1]);
	result = worker_wait(w, WAIT_MS);
	return (int)result;
}

int worker_post(struct worker *w, job_fn fn)
{
	if (send(w->sock, &fn, sizeof(fn), MSG_NOSIGNAL) != sizeof(fn))
		return -EPIPE;
	return 0;
}

long worker_wait(struct worker *w, unsigned int ms)
{
	struct pollfd pfd = { .fd = w->sock, .events = POLLIN };
	uint64_t end = now_ms() + ms;
	long result;
	int n;

	do {
		uint64_t now = now_ms();

		n = poll(&pfd, 1, now < end ? (int)(end - now) : 0);
	} while (n < 0 && errno == EINTR);
	if (!n)
		return -ETIMEDOUT;
	if (recv(w->sock, &result, sizeof(result), 0) != sizeof(result))
		return -EPIPE;
	return result;
}

long worker_run(struct worker *w, job_fn fn)
{
	int err = worker_post(w, fn);

	return err ? err : worker_wait(w, WAIT_MS);
}

struct sleeper {
	const volatile int *entered;
	pid_t pid;
};

static bool sleeper_sleeps(void *arg)
{
	const struct sleeper *s = arg;
	char path[32], line[256] = "";
	const char *state;
	int fd;

	if (!*s->entered)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	close(fd);
	state = strrchr(line, ')');
	return state && state[1] == ' ' && (state[2] == 'S' || state[2] == 'D');
}

bool worker_sleeps(struct worker *w, const volatile int *entered)
{
	struct sleeper s = { .entered = entered, .pid = w->pid };

	return wait_until(sleeper_sleeps, &s, WAIT_MS);
}

void worker_stop(struct worker *w)
{
	int status;

	if (w->pid > 0) {
		shutdown(w->sock, SHUT_RDWR);
		reap(w->pid, &status, WAIT_MS);
	}
	if (w->sock > 0)
		close(w->sock);
	if (w->arg && w->arg != MAP_FAILED)
		munmap(w->arg, WORKER_ARG_BYTES);
	memset(w, 0, sizeof(*w));
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
