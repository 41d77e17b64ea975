// SPDX-License-Identifier: GPL-2.0-only
/*
 * Randomised stress of ownership, for stress.sh: threads of three nodes borrow, change,
 * move, drop and allocate objects that hold handles to each other, and pass them on
 * through memory that they share.
 *
 * An object's contents say which handle they are for, under a checksum: its address and
 * its version.  So any read through a handle is either exact or is seen not to be.  A
 * tree has one owner, who may lend it out for shared borrows.
 *
 * Violators use handles of others and old ones.  They get an errno, or exactly the
 * bytes that the handle names.
 *
 * The environment's SEED replays the choices; how the threads meet it cannot.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "helper.h"
#include "internal.h"
#include "stress.h"

/* ---- violators ---- */

static _Thread_local sigjmp_buf guard_env;
static _Thread_local volatile sig_atomic_t guarded;

static void on_signal(int sig)
{
	if (guarded)
		siglongjmp(guard_env, sig);
	signal(sig, SIG_DFL);
}

/* 1: exact; 0: not; -1: a signal. */
static int look(const struct object *o, const struct dsm_ref *ref)
{
	volatile int exact = -1;

	if (!sigsetjmp(guard_env, 1)) {
		guarded = 1;
		exact = is_exact(o, ref);
	}
	guarded = 0;
	return exact;
}

static void rogue_read(struct thread *t, const struct dsm_ref *ref, bool forged)
{
	const struct object *o = dsm_borrow(t->dsm, ref);
	char was[128] = "a violator reads other bytes";
	bool returned;
	int exact;

	if (!o) {
		if (errno != ESTALE && errno != EBUSY && errno != EOWNERDEAD &&
		    errno != EINVAL)
			failed(t, "a violator's dsm_borrow", errno, ref);
		atomic_fetch_add(&shared->rogue_refused, 1);
		return;
	}
	exact = look(o, ref);
	/* What dsm_alloc_on() gave, by chance. */
	if (!exact && forged && is_zero(o, ref->size))
		exact = 1;
	if (!exact && !sigsetjmp(guard_env, 1)) {
		guarded = 1;
		snprintf(
			was, sizeof(was),
			"a violator reads %#llx at %#llx, and dsm_return() passes",
			(unsigned long long)o->version,
			(unsigned long long)o->addr);
	}
	guarded = 0;
	returned = !dsm_return(t->dsm, ref);
	if (exact > 0)
		atomic_fetch_add(&shared->rogue_exact, 1);
	else if (exact < 0)
		atomic_fetch_add(&shared->rogue_signals, 1);
	else if (returned)
		failed(t, was, 0, ref);
	else
		atomic_fetch_add(&shared->rogue_late, 1);
}

static void rogue_change(struct thread *t, struct dsm_ref *ref)
{
	bool here = dsm_home(t->dsm, (void *)(uintptr_t)ref->addr) ==
		    (int)dsm_node(t->dsm);

	switch (choose(t, 3)) {
	case 0:
		if (dsm_borrow_mut(t->dsm, ref, 0))
			failed(t, "a violator's dsm_borrow_mut succeeds", 0,
			       ref);
		else if (errno != ESTALE && errno != EBUSY && errno != ENOSPC &&
			 errno != EOWNERDEAD)
			failed(t, "a violator's dsm_borrow_mut", errno, ref);
		break;
	case 1:
		if (!dsm_return_mut(t->dsm, ref))
			failed(t, "a violator's dsm_return_mut succeeds", 0,
			       ref);
		break;
	default:
		if (!dsm_drop(t->dsm, ref) && here)
			failed(t, "a violator's dsm_drop succeeds", 0, ref);
	}
	atomic_fetch_add(&shared->rogue_refused, 1);
}

static void *rogue_main(void *arg)
{
	struct thread *t = arg;

	seed_thread(t);
	while (atomic_load(&shared->done) < THREADS && !shared->stop) {
		struct known *k = &shared->known[choose(t, KNOWN)];
		bool over, forged = false;
		struct dsm_ref ref;

		if (atomic_exchange(&k->lock, 1))
			continue;
		ref = k->ref;
		over = k->over;
		atomic_store(&k->lock, 0);
		if (!ref.addr) {
			sched_yield();
			continue;
		}
		if (over && choose(t, 4) == 0) {
			rogue_change(t, &ref);
			continue;
		}
		switch (choose(t, 16)) {
		case 0: /* of what may come */
			ref.version += 1 + choose(t, 3);
			forged = true;
			break;
		case 1: /* of another line */
			ref.addr += DSM_LINE_SIZE;
			forged = true;
			break;
		}
		rogue_read(t, &ref, forged);
	}
	return NULL;
}

/* ---- workers ---- */

static long run_threads(struct dsm *dsm, unsigned int nr, unsigned int first,
			void *(*fn)(void *arg))
{
	struct thread *t = calloc(nr, sizeof(*t));
	pthread_t id[PER_NODE];

	if (!t)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		t[i].dsm = dsm;
		t[i].id = first + i;
		if (pthread_create(&id[i], NULL, fn, &t[i]))
			return -EAGAIN;
	}
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(id[i], NULL);
	free(t);
	return 0;
}

static long act(struct dsm *dsm, void *arg)
{
	(void)arg;
	return run_threads(dsm, PER_NODE, (dsm_node(dsm) - 1) * PER_NODE,
			   thread_main);
}

static long violate(struct dsm *dsm, void *arg)
{
	const struct sigaction on = { .sa_handler = on_signal };

	(void)arg;
	if (sigaction(SIGBUS, &on, NULL) || sigaction(SIGSEGV, &on, NULL))
		return -errno;
	return run_threads(dsm, ROGUES, THREADS + dsm_node(dsm) * ROGUES,
			   rogue_main);
}

/* Takes the copies away all the time. */
static long evict(struct dsm *dsm, void *arg)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	(void)dsm;
	(void)arg;
	if (fd < 0)
		return -errno;
	while (atomic_load(&shared->done) < THREADS && !shared->stop) {
		if (write(fd, "2", 1) != 1)
			return -errno;
		nanosleep(&pause, NULL);
	}
	close(fd);
	return 0;
}

/* Has flat objects, in a table that outlives it, until it is killed. */
static long be_killed(struct dsm *dsm, void *arg)
{
	struct dsm_ref *refs = shared->victim[dsm_node(dsm)];
	struct thread t = { .dsm = dsm, .id = 100 + dsm_node(dsm) };

	(void)arg;
	seed_thread(&t);
	t.random ^= (uint32_t)getpid() << 8;
	while (!shared->stop) {
		struct dsm_ref *ref = &refs[choose(&t, VICTIM_ROOTS)];
		struct object *o;

		if (!ref->addr) {
			make(&t, ref);
			continue;
		}
		switch (choose(&t, 8)) {
		case 0:
			drop(&t, ref);
			break;
		case 1 ... 3:
			read_tree(&t, ref);
			break;
		default:
			o = borrow_mut(&t, ref, 0);
			if (!o)
				break;
			seal(o, ref);
			give_back_mut(&t, ref);
		}
	}
	return 0;
}

/* What a killed process of the node had. */
static long bury(struct dsm *dsm, void *arg)
{
	struct dsm_ref *refs = shared->victim[dsm_node(dsm)];
	struct thread t = { .dsm = dsm,
			    .id = 200 + dsm_node(dsm),
			    .random = 1 };

	(void)arg;
	for (unsigned int i = 0; i < VICTIM_ROOTS; i++) {
		struct dsm_ref *ref = &refs[i];
		const struct object *o;

		if (!ref->addr)
			continue;
		o = dsm_borrow(dsm, ref);
		if (o) {
			/* Zeroes if it died behind dsm_alloc_on(). */
			if (!is_zero(o, ref->size))
				check(&t, o, ref,
				      "other bytes of a killed process");
			give_back(&t, ref);
			drop(&t, ref);
		} else if (errno == EOWNERDEAD) {
			atomic_fetch_add(&shared->dead, 1);
			if (!dsm_borrow_mut(dsm, ref, DSM_ACCEPT) ||
			    dsm_return_mut(dsm, ref) || dsm_drop(dsm, ref))
				failed(&t, "accepting", errno, ref);
		} else if (errno == ESTALE || errno == EINVAL ||
			   errno == ERANGE) {
			/* It died before it could note the new handle. */
			atomic_fetch_add(&shared->lost, 1);
		} else {
			failed(&t, "what a killed process had", errno, ref);
		}
		memset(ref, 0, sizeof(*ref));
	}
	return 0;
}

/* ---- accounting ---- */

struct census {
	unsigned int live, excl, poison, moving;
};

/* Small objects of this node that nobody took away; drops them if @sweep. */
static struct census count_words(struct dsm *dsm, bool sweep)
{
	struct census c = { 0 };

	for (uint64_t i = 0; i < MEMORY_BYTES / DSM_LINE_SIZE; i++) {
		uint64_t word = dsm->ledger[dsm->own_first + i];
		uint64_t v = word & DSM_WORD_VERSION_MASK;
		unsigned int state =
			(unsigned int)(word >> DSM_WORD_STATE_SHIFT);
		uint64_t claim;
		struct dsm_ref ref;

		c.excl += state == DSM_STATE_EXCL;
		if (state != DSM_STATE_LIVE && state != DSM_STATE_POISON)
			continue;
		claim = dsm->claims[i];
		if (claim == DSM_CLAIM(DSM_CLAIM_FREED, 0, v))
			continue;
		c.moving += claim >> DSM_CLAIM_STATE_SHIFT ==
				    DSM_CLAIM_MOVING &&
			    (claim & DSM_WORD_VERSION_MASK) == v;
		c.live += state == DSM_STATE_LIVE;
		c.poison += state == DSM_STATE_POISON;
		ref.addr = dsm->base + (dsm->own_first + i) * DSM_LINE_SIZE;
		ref.size =
			(word >> DSM_WORD_LINES_SHIFT & DSM_WORD_LINES_MASK) *
			DSM_LINE_SIZE;
		ref.version =
			DSM_WORD(DSM_STATE_LIVE, ref.size / DSM_LINE_SIZE, v);
		if (sweep)
			dsm_drop(dsm, &ref);
	}
	return c;
}

static bool nothing_is_left(void *arg)
{
	struct census c = count_words(arg, false);

	return !c.live && !c.excl && !c.poison;
}

/* Nothing is left but what killed processes lost track of. */
static long take_census(struct dsm *dsm, void *arg)
{
	bool kills = *(bool *)arg;
	struct census c;

	/* Drops from afar are not awaited. */
	if (wait_until(nothing_is_left, dsm, kills ? 2000 : PATIENCE_MS))
		return 0;
	c = count_words(dsm, kills);
	printf("# node %u: left: %u live, %u exclusive, %u poisoned; %u moving\n",
	       dsm_node(dsm), c.live, c.excl, c.poison, c.moving);
	fflush(stdout);
	if (kills && !c.excl && !c.moving) {
		atomic_fetch_add(&shared->left, c.live + c.poison);
		return 0;
	}
	return 1;
}

static bool nothing_is_kept(void *arg)
{
	unsigned int node = *(unsigned int *)arg;

	return !counter_now(node, DSM_COUNTER_GAUGE_COPIES) &&
	       !counter_now(node, DSM_COUNTER_GAUGE_CHUNKS);
}

/* How many pages can be allocated. */
static long fill(struct dsm *dsm, void *arg)
{
	struct dsm_ref *refs = calloc(MEMORY_BYTES / PAGE_BYTES, sizeof(*refs));
	size_t sizes[] = { DSM_MAX_LINES * DSM_LINE_SIZE, PAGE_BYTES };
	long n = 0;

	(void)arg;
	if (!refs)
		return -ENOMEM;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		while (n < (long)(MEMORY_BYTES / PAGE_BYTES) &&
		       dsm_alloc(dsm, sizes[i], &refs[n]))
			n++;
	}
	for (long i = 0; i < n; i++)
		if (object_drop(dsm, &refs[i]))
			return -errno;
	free(refs);
	return n;
}

/* ---- the tests ---- */

FIXTURE(stress)
{
	char region[DSM_NAME_BYTES];
	struct worker worker[NODES], rogue[NODES], victim[NODES];
	struct worker evictor[NODES]; /* one in each guest */
	struct counters before[NODES];
};

/* Is there one for the node with this index? */
static bool evicts(unsigned int i)
{
	return !i || is_far(i + 1);
}

FIXTURE_SETUP(stress)
{
	const char *seed = getenv("SEED");

	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_TRUE(shared_map(sizeof(*shared)));
	shared->seed = seed ? (uint32_t)strtoul(seed, NULL, 0)
			    : (uint32_t)now_ms();
	shared->ops = rounds(OPS);
	for (unsigned int i = 0; i < NODES; i++) {
		ASSERT_EQ(0, counters_read(i + 1, 0, &self->before[i]));
		ASSERT_EQ(0, worker_start(&self->worker[i], i + 1, self->region,
					  O_RDWR));
	}
	for (unsigned int i = 0; i < NODES; i++)
		if (evicts(i))
			ASSERT_EQ(0, worker_start(&self->evictor[i], i + 1,
						  NULL, 0));
}

FIXTURE_TEARDOWN(stress)
{
	atomic_store(&shared->stop, 1);
	for (unsigned int i = 0; i < NODES; i++) {
		worker_stop(&self->worker[i]);
		worker_stop(&self->rogue[i]);
		worker_stop(&self->victim[i]);
		worker_stop(&self->evictor[i]);
	}
	regions_clear();
}

static void run(struct __test_metadata *_metadata, FIXTURE_DATA(stress) * self)
{
	for (unsigned int i = 0; i < NODES; i++)
		if (evicts(i))
			EXPECT_EQ(0, worker_post(&self->evictor[i], evict));
	for (unsigned int i = 0; i < NODES; i++)
		ASSERT_EQ(0, worker_post(&self->worker[i], act));
}

static void finish(struct __test_metadata *_metadata,
		   FIXTURE_DATA(stress) * self, bool kills)
{
	long n, lost;

	for (unsigned int i = 0; i < NODES; i++)
		EXPECT_EQ(0,
			  worker_wait(&self->worker[i], TEST_SECONDS * 1000));
	for (unsigned int i = 0; i < NODES; i++)
		if (evicts(i))
			EXPECT_EQ(0, worker_wait(&self->evictor[i], WAIT_MS));
	for (unsigned int i = 0; i < NODES && shared->rogues; i++) {
		EXPECT_EQ(0, worker_wait(&self->rogue[i], WAIT_MS));
		worker_stop(&self->rogue[i]);
	}
	printf("# seed %u: %u made, %u dropped, %u read, %u changed, %u sent, %u lent, %u times busy, %u no space\n",
	       shared->seed, shared->made, shared->dropped, shared->reads,
	       shared->changes, shared->sent, shared->lent, shared->busy,
	       shared->no_space);
	if (shared->rogues)
		printf("# violators: %u exact, %u refused, %u told at the end, %u signals\n",
		       shared->rogue_exact, shared->rogue_refused,
		       shared->rogue_late, shared->rogue_signals);
	if (kills)
		printf("# killed: %u poisoned, %u lost\n", shared->dead,
		       shared->lost);
	if (shared->errors)
		printf("# %s\n", shared->what);
	fflush(stdout);
	ASSERT_EQ(0, atomic_load(&shared->errors));

	if (!kills)
		EXPECT_EQ(atomic_load(&shared->made),
			  atomic_load(&shared->dropped));
	for (unsigned int i = 0; i < NODES; i++) {
		*(bool *)self->worker[i].arg = kills;
		EXPECT_EQ(0, worker_run(&self->worker[i], take_census));
	}
	/* Of each process at most what it was just doing. */
	EXPECT_GE(KILLS * NODES, atomic_load(&shared->left));
	lost = kills ? KILLS * NODES * LARGE_PAGES : 0;
	for (unsigned int i = 0; i < NODES; i++) {
		struct counters c;

		ASSERT_EQ(0, worker_post(&self->worker[i], fill));
		n = worker_wait(&self->worker[i], 10 * WAIT_MS);
		EXPECT_GE((long)(MEMORY_BYTES / PAGE_BYTES), n);
		EXPECT_LE((long)(MEMORY_BYTES / PAGE_BYTES) - lost, n);
		c = counters_since(i + 1, 0, &self->before[i]);
		EXPECT_EQ(0, COUNT(c, ERRORS));
		EXPECT_EQ(0, COUNT(c, LINKS_LOST));
		EXPECT_EQ(0, COUNT(c, MESSAGES_REFUSED));
		worker_stop(&self->worker[i]);
	}
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	for (unsigned int i = 0; i < NODES; i++) {
		unsigned int node = i + 1;

		EXPECT_TRUE(wait_until(nothing_is_kept, &node, PATIENCE_MS));
	}
}

TEST_F_TIMEOUT(stress, programs_that_obey, TEST_SECONDS)
{
	run(_metadata, self);
	finish(_metadata, self, false);
}

TEST_F_TIMEOUT(stress, violators_get_an_errno_or_exact_bytes, TEST_SECONDS)
{
	shared->rogues = true;
	for (unsigned int i = 0; i < NODES; i++) {
		ASSERT_EQ(0, worker_start(&self->rogue[i], i + 1, self->region,
					  O_RDWR));
		ASSERT_EQ(0, worker_post(&self->rogue[i], violate));
	}
	run(_metadata, self);
	finish(_metadata, self, false);
}

static void kill_one(struct __test_metadata *_metadata, struct worker *victim,
		     unsigned int node, const char *region, uint32_t *random)
{
	struct timespec pause = { .tv_nsec = next_random(random) % 100000000 };
	struct worker undertaker;

	nanosleep(&pause, NULL);
	EXPECT_EQ(0, worker_kill(victim));
	worker_stop(victim);
	EXPECT_EQ(0, worker_start(&undertaker, node, region, O_RDWR));
	EXPECT_EQ(0, worker_run(&undertaker, bury));
	worker_stop(&undertaker);
}

TEST_F_TIMEOUT(stress, processes_that_are_killed, TEST_SECONDS)
{
	uint32_t random = shared->seed | 1;

	run(_metadata, self);
	for (unsigned int k = 0; k < KILLS * NODES && !shared->stop; k++) {
		unsigned int i = k % NODES;

		if (k >= NODES)
			kill_one(_metadata, &self->victim[i], i + 1,
				 self->region, &random);
		ASSERT_EQ(0, worker_start(&self->victim[i], i + 1, self->region,
					  O_RDWR));
		ASSERT_EQ(0, worker_post(&self->victim[i], be_killed));
	}
	for (unsigned int i = 0; i < NODES; i++)
		kill_one(_metadata, &self->victim[i], i + 1, self->region,
			 &random);
	finish(_metadata, self, true);
}

TEST_HARNESS_MAIN
