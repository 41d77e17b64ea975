// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "helper.h"

#define DEVICES "/sys/bus/pci/devices"
#define VENDOR 0x1af4
#define DEVICE 0x1110

#define MEET_MS 150000 /* until the links of all guests are up */
#define END_MS 20000
#define TRIAL 200000

enum {
	SUITE_NODE = 1,
	MAX_GUESTS = 4,
	FIRST_WORKER = MAX_GUESTS + 1,
	BOXES = FIRST_WORKER + 16,
};

/* Jobs of an agent, or of one of its workers. */
struct mailbox {
	atomic_uint asked, answered; /* how many */
	atomic_uint end;
	atomic_uint dead;
	unsigned int node;
	pid_t pid; /* there; 0: there is none */
	job_fn fn;
	long result;
	bool attach;
	int flags;
	char region[DSM_NAME_BYTES];
	_Alignas(64) unsigned char arg[WORKER_ARG_BYTES];
};

static struct guests {
	atomic_uint here[MAX_GUESTS + 1]; /* the agent of a node is waiting */
	atomic_uint met[MAX_GUESTS + 1]; /* the suite has seen it */
	atomic_uint over;
	atomic_uint trial;
	struct mailbox box[BOXES]; /* by node, then those of workers */
} *const all = (struct guests *)(SHARED_ADDR - SHARED_ROOM);

_Static_assert(sizeof(struct guests) <= SHARED_ROOM, "more boxes than room");

static unsigned int this_guest(void)
{
	const char *guest = getenv("SUITE_GUEST");

	return guest ? (unsigned int)strtoul(guest, NULL, 10) : 0;
}

unsigned int guests(void)
{
	const char *nodes = getenv("DSM_NODES");

	return this_guest() && nodes ? (unsigned int)strtoul(nodes, NULL, 10)
				     : 1;
}

bool is_far(unsigned int node)
{
	return node && node <= guests() && guests() > 1 && node != this_guest();
}

void wait_turn(unsigned int *turns)
{
	struct timespec pause = { .tv_nsec = 20000 };

	/* The processor is needed by who is waited for, here or in another guest. */
	if (guests() == 1 || (*turns)++ < 32) {
		sched_yield();
		return;
	}
	pause.tv_nsec <<= *turns < 320 ? *turns / 64 : 5;
	nanosleep(&pause, NULL);
}

/* Until *@word is @value; false when @ms passed. */
static bool await(atomic_uint *word, unsigned int value, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	unsigned int turns = 0;

	while (atomic_load(word) != value) {
		if (now_ms() > end)
			return false;
		wait_turn(&turns);
	}
	return true;
}

/* ---- the memory ---- */

static bool attribute_is(const char *dir, const char *name, unsigned long value)
{
	char path[256], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoul(text, NULL, 16) == value;
}

static bool map_device(const char *dir)
{
	void *p = MAP_FAILED;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/enable", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (write(fd, "1", 1) != 1)
		perror(path);
	close(fd);
	snprintf(path, sizeof(path), "%s/resource2", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		p = mmap(all, 2 * SHARED_ROOM, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	if (p != all)
		perror(path);
	close(fd);
	return p == all;
}

static bool map_all(void)
{
	bool mapped = false;
	glob_t found;

	if (glob(DEVICES "/*", 0, NULL, &found))
		return false;
	for (size_t i = 0; i < found.gl_pathc && !mapped; i++)
		mapped = attribute_is(found.gl_pathv[i], "vendor", VENDOR) &&
			 attribute_is(found.gl_pathv[i], "device", DEVICE) &&
			 map_device(found.gl_pathv[i]);
	globfree(&found);
	return mapped;
}

/* Are atomic instructions atomic between guests?  Nothing here holds if not. */
static bool trial(void)
{
	for (unsigned int i = 0; i < TRIAL; i++)
		atomic_fetch_add(&all->trial, 1);
	return await(&all->trial, guests() * TRIAL, END_MS);
}

/* ---- mailboxes ---- */

static bool take_job(struct mailbox *box, struct dsm *dsm)
{
	unsigned int asked = atomic_load(&box->asked);

	if (asked == atomic_load(&box->answered))
		return false;
	box->result = box->fn(dsm, box->arg);
	atomic_store(&box->answered, asked);
	return true;
}

void far_post(struct mailbox *box, job_fn fn)
{
	box->fn = fn;
	atomic_fetch_add(&box->asked, 1);
}

long far_wait(struct mailbox *box, unsigned int ms)
{
	unsigned int asked = atomic_load(&box->asked), turns = 0;
	uint64_t end = now_ms() + ms;

	for (;;) {
		bool dead = atomic_load(&box->dead);

		if (atomic_load(&box->answered) == asked)
			return box->result;
		if (dead)
			return -EPIPE;
		if (now_ms() > end)
			return -ETIMEDOUT;
		wait_turn(&turns);
	}
}

void *far_arg(struct mailbox *box)
{
	return box->arg;
}

/* ---- in the other guests ---- */

static void __attribute__((noreturn)) be_worker(struct mailbox *box)
{
	struct dsm *dsm = NULL;
	unsigned int turns = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (box->attach) {
		dsm = attach_at(box->node, box->region, box->flags);
		box->result = dsm ? 0 : -errno;
	}
	atomic_store(&box->answered, 1);
	while (!atomic_load(&box->end))
		if (take_job(box, dsm))
			turns = 0;
		else
			wait_turn(&turns);
	dsm_detach(dsm);
	_exit(0);
}

/* Jobs of agents; the argument is the worker's box. */

static long start_there(struct dsm *dsm, void *arg)
{
	struct mailbox *box = *(struct mailbox **)arg;
	pid_t pid;

	(void)dsm;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		be_worker(box);
	box->pid = pid;
	return 0;
}

static long reap_there(struct dsm *dsm, void *arg)
{
	struct mailbox *box = *(struct mailbox **)arg;
	int status, err;

	(void)dsm;
	if (!box->pid)
		return 0;
	err = reap(box->pid, &status, WAIT_MS);
	box->pid = 0;
	atomic_store(&box->dead, 1);
	return err;
}

static long kill_there(struct dsm *dsm, void *arg)
{
	const struct mailbox *box = *(struct mailbox **)arg;

	if (!box->pid)
		return -ESRCH;
	if (kill(box->pid, SIGKILL))
		return -errno;
	return reap_there(dsm, arg);
}

static long sleeps_there(struct dsm *dsm, void *arg)
{
	const struct mailbox *box = *(struct mailbox **)arg;

	(void)dsm;
	return box->pid && process_sleeps(box->pid);
}

/* What a test left behind that did not come to its end. */
static long clear_there(struct dsm *dsm, void *arg)
{
	(void)arg;
	for (unsigned int i = FIRST_WORKER; i < BOXES; i++) {
		struct mailbox *box = &all->box[i];

		if (box->node == this_guest() && box->pid)
			kill_there(dsm, &box);
	}
	return 0;
}

struct counting {
	unsigned int node;
	uint64_t region;
	struct counters counters;
};

static long count_there(struct dsm *dsm, void *arg)
{
	struct counting *c = arg;

	(void)dsm;
	return counters_read(c->node, c->region, &c->counters);
}

/* Workers that died by themselves. */
static void notice_deaths(void)
{
	pid_t pid = waitpid(-1, NULL, WNOHANG);

	for (unsigned int i = FIRST_WORKER; i < BOXES && pid > 0; i++) {
		struct mailbox *box = &all->box[i];

		if (box->node != this_guest() || box->pid != pid)
			continue;
		box->pid = 0;
		atomic_store(&box->dead, 1);
	}
}

static int serve(void)
{
	unsigned int node = this_guest(), turns = 0;
	uint64_t end = now_ms() + MEET_MS;

	/* A suite before this one may have left anything here. */
	atomic_store(&all->met[node], 0);
	while (!atomic_load(&all->met[node])) {
		atomic_store(&all->here[node], 1);
		if (now_ms() > end) {
			printf("# no suite came to the agent\n");
			return EXIT_FAILURE;
		}
		wait_turn(&turns);
	}
	trial();
	while (!atomic_load(&all->over)) {
		if (take_job(&all->box[node], NULL))
			turns = 0;
		else
			wait_turn(&turns);
		notice_deaths();
	}
	clear_there(NULL, NULL);
	atomic_store(&all->here[node], 0);
	return EXIT_SUCCESS;
}

/* ---- in the first guest ---- */

static pid_t suite_pid;

/* All agents end; those of a suite that is killed by the limit that killed it. */
static void finish(void)
{
	if (getpid() != suite_pid)
		return;
	atomic_store(&all->over, 1);
	for (unsigned int node = SUITE_NODE + 1; node <= guests(); node++)
		await(&all->here[node], 0, END_MS);
}

static bool meet_agents(void)
{
	atomic_store(&all->over, 0);
	atomic_store(&all->trial, 0);
	memset(all->box, 0, sizeof(all->box));
	for (unsigned int node = SUITE_NODE + 1; node <= guests(); node++)
		if (!await(&all->here[node], 1, MEET_MS)) {
			printf("# there is no agent of node %u\n", node);
			return false;
		}
	suite_pid = getpid();
	atexit(finish);
	for (unsigned int node = SUITE_NODE + 1; node <= guests(); node++)
		atomic_store(&all->met[node], 1);
	if (trial())
		return true;
	printf("# of %u atomic increments %u count\n", guests() * TRIAL,
	       atomic_load(&all->trial));
	return false;
}

int agent_main(void)
{
	if (guests() == 1)
		return -1;
	if (guests() > MAX_GUESTS || !map_all()) {
		printf("Bail out! there is no memory of all guests\n");
		return EXIT_FAILURE;
	}
	if (this_guest() != SUITE_NODE)
		return serve();
	if (meet_agents())
		return -1;
	printf("Bail out! the guests do not meet\n");
	return EXIT_FAILURE;
}

/* The agent runs @fn. */
static long order(unsigned int node, job_fn fn, const void *arg, size_t bytes)
{
	struct mailbox *box = &all->box[node];

	if (bytes)
		memcpy(box->arg, arg, bytes);
	far_post(box, fn);
	/* Longer than anything that an agent itself waits for. */
	return far_wait(box, 2 * WAIT_MS);
}

/* Nothing of an earlier test lives when a process of a test first comes here. */
static bool tidy_up(void)
{
	static bool tidy;

	for (unsigned int node = SUITE_NODE + 1; node <= guests() && !tidy;
	     node++)
		if (order(node, clear_there, NULL, 0))
			return false;
	tidy = true;
	return true;
}

static long order_for(struct mailbox *box, job_fn fn)
{
	return order(box->node, fn, &box, sizeof(box));
}

int far_counters(unsigned int node, uint64_t region, struct counters *out)
{
	const struct counting c = { .node = node, .region = region };
	const struct counting *got = (void *)all->box[node].arg;
	int err = (int)order(node, count_there, &c, sizeof(c));

	*out = got->counters;
	return err;
}

bool shared_map(size_t bytes)
{
	void *const addr = (void *)SHARED_ADDR;

	if (bytes > SHARED_ROOM)
		return false;
	if (guests() == 1)
		return mmap(addr, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			    -1, 0) == addr;
	if (!tidy_up())
		return false;
	memset(addr, 0, bytes);
	return true;
}

/* ---- workers ---- */

static bool box_used[BOXES];

int far_start(struct mailbox **box, unsigned int node, const char *region,
	      int flags)
{
	unsigned int i = FIRST_WORKER;
	struct mailbox *free_box;
	long err;

	while (i < BOXES && box_used[i])
		i++;
	if (i == BOXES)
		return -EMFILE;
	if (!tidy_up())
		return -ETIMEDOUT;
	free_box = &all->box[i];
	memset(free_box, 0, sizeof(*free_box));
	free_box->node = node;
	free_box->attach = region;
	free_box->flags = flags;
	if (region)
		name_copy(free_box->region, region);
	atomic_store(&free_box->asked, 1);
	err = order_for(free_box, start_there);
	if (err)
		return (int)err;
	box_used[i] = true;
	*box = free_box;
	return (int)far_wait(free_box, WAIT_MS);
}

bool far_sleeps(struct mailbox *box)
{
	return order_for(box, sleeps_there) == 1;
}

int far_kill(struct mailbox *box)
{
	return (int)order_for(box, kill_there);
}

void far_stop(struct mailbox *box)
{
	atomic_store(&box->end, 1);
	order_for(box, reap_there);
	box_used[box - all->box] = false;
}
