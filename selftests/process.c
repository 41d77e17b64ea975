// SPDX-License-Identifier: GPL-2.0-only
/*
 * What processes do while they fault: take signals, fork, die.  All of it on the
 * node with little memory for copies, where faults never stop.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>

#include "harness.h"

#define OBJECT_BYTES (4 * TIGHT_CACHE_BYTES)
#define OBJECT_PAGES (OBJECT_BYTES / PAGE_BYTES)

struct task {
	unsigned char *addr;
	volatile sig_atomic_t signals;
	volatile int stop;
};

FIXTURE(process)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker reader;
	struct task *task;
};

FIXTURE_SETUP(process)
{
	struct dsm_ref ref;

	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0, worker_start(&self->reader, NODE_TIGHT, self->region,
				  O_RDONLY));
	self->task = self->reader.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	self->task->addr = dsm_alloc(self->dsm, OBJECT_BYTES, &ref);
	ASSERT_NE(NULL, self->task->addr);
	pattern_fill(self->task->addr, OBJECT_BYTES, 4);
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
}

FIXTURE_TEARDOWN(process)
{
	worker_stop(&self->reader);
	dsm_detach(self->dsm);
	regions_clear();
}

static bool random_page_is_right(const unsigned char *addr, uint32_t *state)
{
	size_t page = next_random(state) % OBJECT_PAGES;
	const volatile uint64_t *word = (void *)(addr + page * PAGE_BYTES);

	return *word == pattern_word(page * (PAGE_BYTES / 8), 4);
}

static struct task *signalled;

static void count_signal(int sig)
{
	(void)sig;
	signalled->signals++;
}

static long walk_under_signals(struct dsm *dsm, void *arg)
{
	const struct sigaction act = { .sa_handler = count_signal };
	const struct itimerval every = { { 0, 2000 }, { 0, 2000 } };
	const struct itimerval never = {};
	struct task *t = arg;
	ssize_t wrong;

	(void)dsm;
	signalled = t;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	wrong = pattern_check(t->addr, OBJECT_BYTES, 4);
	setitimer(ITIMER_REAL, &never, NULL);
	return wrong;
}

TEST_F(process, signal_handlers_run_between_faults)
{
	for (unsigned int i = 0; i < rounds(3); i++) {
		self->task->signals = 0;
		EXPECT_EQ(-1, worker_run(&self->reader, walk_under_signals));
		EXPECT_LT(0, self->task->signals);
	}
}

static void *fault_until_stopped(void *arg)
{
	struct task *t = arg;
	uint32_t state = (uint32_t)(uintptr_t)&state | 1;
	uintptr_t wrong = 0;

	while (!t->stop)
		wrong += !random_page_is_right(t->addr, &state);
	return (void *)wrong;
}

static int exits(void *arg)
{
	(void)arg;
	return 0;
}

static int reads(void *arg)
{
	const struct task *t = arg;

	return probe_read(t->addr) == SIGSEGV ? 0 : 1;
}

static long fork_while_faulting(struct dsm *dsm, void *arg)
{
	struct task *t = arg;
	pthread_t thread[3];
	long wrong = 0;

	(void)dsm;
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		if (pthread_create(&thread[i], NULL, fault_until_stopped, t))
			return -EAGAIN;
	for (unsigned int i = 0; i < rounds(20); i++)
		wrong += in_child(i % 2 ? reads : exits, t) != 0;
	t->stop = 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++) {
		void *result;

		pthread_join(thread[i], &result);
		wrong += (long)(uintptr_t)result;
	}
	return wrong;
}

TEST_F(process, forks_while_threads_fault)
{
	EXPECT_EQ(0, worker_run(&self->reader, fork_while_faulting));
}

/* Attaches, says so, and faults until it is killed. */
static void __attribute__((noreturn))
victim(const char *region, unsigned char *addr, int ready, uint32_t seed)
{
	struct dsm *dsm;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dsm = attach_at(NODE_TIGHT, region, O_RDONLY);
	if (!dsm || !random_page_is_right(addr, &seed) ||
	    write(ready, "", 1) != 1)
		_exit(1);
	while (random_page_is_right(addr, &seed))
		;
	_exit(2);
}

TEST_F_TIMEOUT(process, killed_in_the_middle_of_faults_leaves_all_pages_usable,
	       600)
{
	uint32_t state = 1;

	for (unsigned int i = 0; i < rounds(50); i++) {
		struct timespec delay = {
			.tv_nsec = next_random(&state) % 5000000,
		};
		struct pollfd pfd = { .events = POLLIN };
		int ready[2], status;
		char byte;
		pid_t pid;

		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(ready[0]);
			victim(self->region, self->task->addr, ready[1], i + 1);
		}
		close(ready[1]);
		pfd.fd = ready[0];
		ASSERT_EQ(1, poll(&pfd, 1, WAIT_MS));
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		/* The moment is what is random; there is nothing to wait for. */
		nanosleep(&delay, NULL);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(0, reap(pid, &status, WAIT_MS));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		close(ready[0]);
	}

	/* No page stayed with a dead process's fetch. */
	EXPECT_EQ(-1, worker_run(&self->reader, walk_under_signals));
	EXPECT_GE(TIGHT_CACHE_BYTES / PAGE_BYTES,
		  counter_now(NODE_TIGHT, DSM_COUNTER_GAUGE_COPIES));
}

static void *map_and_unmap(void *arg)
{
	struct task *t = arg;

	/* Their mmap_lock is what the faults next to them need. */
	while (!t->stop) {
		void *p = mmap(NULL, 64 * PAGE_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return (void *)1;
		*(volatile char *)p = 1;
		munmap(p, 64 * PAGE_BYTES);
	}
	return NULL;
}

static long map_while_faulting(struct dsm *dsm, void *arg)
{
	struct task *t = arg;
	uint32_t state = 99;
	pthread_t thread;
	void *result;
	long wrong = 0;

	(void)dsm;
	if (pthread_create(&thread, NULL, map_and_unmap, t))
		return -EAGAIN;
	for (unsigned int i = 0; i < rounds(2000); i++)
		wrong += !random_page_is_right(t->addr, &state);
	t->stop = 1;
	pthread_join(thread, &result);
	return wrong + (result ? 1 : 0);
}

TEST_F(process, maps_and_unmaps_other_memory_while_faulting)
{
	ASSERT_EQ(0, worker_post(&self->reader, map_while_faulting));
	EXPECT_EQ(0, worker_wait(&self->reader, 3 * WAIT_MS));
}

TEST_HARNESS_MAIN
