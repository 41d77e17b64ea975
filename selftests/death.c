// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that die inside an exclusive borrow, or on their way in or out of one:
 * EOWNERDEAD for everybody until somebody accepts the object as it is or drops it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "harness.h"
#include "borrow.h"
#include "internal.h"

FIXTURE(death)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer, victim;
	struct exchange *x, *v; /* of the two */
};

FIXTURE_SETUP(death)
{
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->x = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(death)
{
	worker_stop(&self->victim);
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	dsm_region_remove(NODE_HOME, self->region);
}

static bool victim_start(FIXTURE_DATA(death) * self, unsigned int node)
{
	worker_stop(&self->victim);
	if (worker_start(&self->victim, node, self->region, O_RDWR))
		return false;
	self->v = self->victim.arg;
	return true;
}

/* What it told us stays. */
static bool victim_kill(FIXTURE_DATA(death) * self)
{
	return !worker_kill(&self->victim);
}

/* The first half is new, the second old. */
static long write_half(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	void *p = dsm_borrow_mut(dsm, &x->ref, 0);

	if (!p)
		return -errno;
	pattern_fill(p, x->ref.size / 2, x->seed);
	return 0;
}

/* Takes it as it is; 0: half of it is new. */
static long accept_half(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	void *p = dsm_borrow_mut(dsm, &x->ref, DSM_ACCEPT);
	const uint64_t *word = p;
	size_t n;

	if (!p)
		return -errno;
	n = x->ref.size / sizeof(*word);
	for (size_t i = 0; i < n; i++)
		if (word[i] !=
		    pattern_word(i, i < n / 2 ? x->seed : x->seed - 1))
			return 1 + (long)i;
	return dsm_return_mut(dsm, &x->ref) ? -errno : 0;
}

static void expect_owner_dead(struct __test_metadata *_metadata,
			      FIXTURE_DATA(death) * self,
			      const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;

	EXPECT_EQ(-EOWNERDEAD, check(self->dsm, &copy, 0));
	EXPECT_EQ(-EOWNERDEAD, rewrite(self->dsm, &copy, 0, 0));
	EXPECT_EQ(-EOWNERDEAD, rewrite(self->dsm, &copy, DSM_DISCARD, 0));
	EXPECT_EQ(-EOWNERDEAD, ask(&self->peer, check_there, &copy, 0));
	EXPECT_EQ(-EOWNERDEAD, ask_calmly(&self->peer, write_there, &copy, 0));
	EXPECT_EQ(0, memcmp(&copy, ref, sizeof(copy)));
	EXPECT_EQ(0, memcmp(&self->x->ref, ref, sizeof(copy)));
}

enum ending { ACCEPT_HERE, ACCEPT_THERE, DROP_HERE, DROP_THERE, ENDINGS };

/* What was begun before, as to put a claim back, has ended. */
static uint64_t atomics_settled(unsigned int node)
{
	uint64_t before, now = counter_now(node, DSM_COUNTER_ATOMICS);

	do {
		before = now;
		usleep(50000);
		now = counter_now(node, DSM_COUNTER_ATOMICS);
	} while (now != before);
	return now;
}

static void expect_ending(struct __test_metadata *_metadata,
			  FIXTURE_DATA(death) * self, struct dsm_ref *ref,
			  enum ending ending)
{
	struct exchange here = { .ref = *ref, .seed = 6 };
	struct dsm_ref old = *ref;
	unsigned int dropper = ending == DROP_HERE ? NODE_HOME : NODE_PEER;
	uint64_t atomics = atomics_settled(dropper);

	switch (ending) {
	case ACCEPT_HERE:
		EXPECT_EQ(0, accept_half(self->dsm, &here));
		*ref = here.ref;
		break;
	case ACCEPT_THERE:
		EXPECT_EQ(0, ask_calmly(&self->peer, accept_half, ref, 6));
		*ref = self->x->ref;
		break;
	case DROP_HERE:
		EXPECT_EQ(0, drop_calmly(self->dsm, &here.ref));
		break;
	default:
		EXPECT_EQ(0, ask(&self->peer, drop_there, ref, 0));
		break;
	}
	if (ending >= DROP_HERE) {
		/* One that was begun elsewhere has its effect soon. */
		if (dsm_home(self->dsm, address_of(&old)) != (int)dropper)
			EXPECT_TRUE(atomics_wait(dropper, atomics, 1));
		usleep(20000);
		here.ref = old;
		EXPECT_EQ(-ESTALE, accept_half(self->dsm, &here));
		EXPECT_EQ(-ESTALE,
			  ask_calmly(&self->peer, accept_half, &old, 0));
		return;
	}
	/* It is whole again. */
	EXPECT_EQ(0, rewrite(self->dsm, ref, 0, 9));
	EXPECT_EQ(0, check(self->dsm, ref, 9));
	EXPECT_EQ(0, ask(&self->peer, check_there, ref, 9));
	EXPECT_EQ(0, drop(self->dsm, ref));
}

static void die_writing(struct __test_metadata *_metadata,
			FIXTURE_DATA(death) * self, size_t bytes)
{
	for (unsigned int node = NODE_HOME; node <= NODE_PEER; node++) {
		for (unsigned int i = 0; i < ENDINGS; i++) {
			struct dsm_ref ref;

			ASSERT_TRUE(make(self->dsm, bytes, 5, &ref));
			ASSERT_TRUE(victim_start(self, node));
			ASSERT_EQ(0, ask(&self->victim, write_half, &ref, 6));
			EXPECT_EQ(-EBUSY, check(self->dsm, &self->v->ref, 0));
			ASSERT_TRUE(victim_kill(self));
			ref = self->v->ref;
			EXPECT_EQ(node, dsm_home(self->dsm, address_of(&ref)));
			expect_owner_dead(_metadata, self, &ref);
			expect_ending(_metadata, self, &ref, i);
		}
	}
}

TEST_F(death, writing_a_small_object)
{
	die_writing(_metadata, self, 256);
}

TEST_F(death, writing_a_large_object)
{
	die_writing(_metadata, self, DSM_CHUNK_SIZE + 2 * PAGE_BYTES);
}

static long alloc_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_alloc(dsm, x->bytes, &x->ref) ? 0 : -errno;
}

TEST_F(death, before_the_first_version)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref;

		ASSERT_TRUE(victim_start(self, NODE_HOME));
		self->v->bytes = i ? PAGE_BYTES : 64;
		ASSERT_EQ(0, worker_run(&self->victim, alloc_there));
		ASSERT_TRUE(victim_kill(self));
		ref = self->v->ref;
		expect_owner_dead(_metadata, self, &ref);
		EXPECT_EQ(-1, dsm_publish(self->dsm, "it", &ref));
		EXPECT_EQ(EOWNERDEAD, errno);
		EXPECT_EQ(0, drop_calmly(self->dsm, &ref));
	}
}

/* Who detaches inside a borrow is as good as dead. */
TEST_F(death, detaching)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref;

		ASSERT_TRUE(make(self->dsm, i ? PAGE_BYTES : 64, 5, &ref));
		ASSERT_TRUE(victim_start(self, NODE_HOME));
		ASSERT_EQ(0, ask(&self->victim, write_half, &ref, 6));
		worker_stop(&self->victim);
		expect_owner_dead(_metadata, self, &ref);
		expect_ending(_metadata, self, &ref, ACCEPT_HERE);
	}
}

/* A death ends what the process held, and nothing else. */
TEST_F(death, of_a_reader_and_of_who_has_returned)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref, other;

		ASSERT_TRUE(make(self->dsm, i ? PAGE_BYTES : 64, 5, &ref));
		ASSERT_TRUE(make(self->dsm, i ? PAGE_BYTES : 64, 5, &other));
		ASSERT_TRUE(victim_start(self, NODE_HOME));
		ASSERT_EQ(0, ask(&self->victim, write_there, &ref, 7));
		ref = self->v->ref;
		ASSERT_EQ(0, ask(&self->victim, borrow_there, &ref, 7));
		ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &other, 0));
		EXPECT_EQ(i ? -EBUSY : 0, rewrite(self->dsm, &ref, 0, 8));
		ASSERT_TRUE(victim_kill(self));
		EXPECT_EQ(0, rewrite(self->dsm, &ref, 0, 8));
		EXPECT_EQ(0, dsm_return_mut(self->dsm, &other));
		EXPECT_EQ(0, check(self->dsm, &ref, 8));
	}
}

TEST_F(death, slabs_are_adopted)
{
	struct dsm_ref mine;
	uint64_t page;

	ASSERT_TRUE(victim_start(self, NODE_HOME));
	self->v->bytes = 64;
	ASSERT_EQ(0, worker_run(&self->victim, make_there));
	page = self->v->ref.addr & ~(PAGE_BYTES - 1);
	/* While it lives the page is its own. */
	ASSERT_TRUE(make(self->dsm, 128, 1, &mine));
	EXPECT_NE(page, mine.addr & ~(PAGE_BYTES - 1));
	ASSERT_TRUE(victim_kill(self));
	ASSERT_TRUE(make(self->dsm, 64, 1, &mine));
	EXPECT_EQ(page, mine.addr & ~(PAGE_BYTES - 1));
	EXPECT_EQ(0, check(self->dsm, &self->v->ref, 0));
}

/* ---- at any time ---- */

static long write_on(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	long err;

	x->entered = 1;
	do
		err = rewrite(dsm, &x->ref, 0, 3);
	while (!err);
	return err;
}

/* 0 if one of the two versions that it may have now can be taken. */
static long take_either(struct dsm *dsm, struct dsm_ref *ref)
{
	long err = rewrite(dsm, ref, DSM_ACCEPT, 9);

	if (err != -ESTALE)
		return err;
	ref->version++;
	return rewrite(dsm, ref, DSM_ACCEPT, 9);
}

TEST_F(death, at_any_time_at_home)
{
	uint32_t random = 11;

	for (unsigned int i = 0; i < rounds(30); i++) {
		struct dsm_ref ref;

		ASSERT_TRUE(make(self->dsm, i % 3 ? 64 : PAGE_BYTES, 5, &ref));
		ASSERT_TRUE(victim_start(self, NODE_HOME));
		self->v->ref = ref;
		ASSERT_EQ(0, worker_post(&self->victim, write_on));
		while (!self->v->entered)
			usleep(100);
		usleep(next_random(&random) % 3000);
		ASSERT_TRUE(victim_kill(self));
		ref = self->v->ref;
		EXPECT_EQ(0, take_either(self->dsm, &ref));
		EXPECT_EQ(0, check(self->dsm, &ref, 9));
	}
}

static long move_all(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	x->entered = 1;
	for (unsigned int i = 0; i < x->n; i++) {
		long err = rewrite(dsm, &x->refs[i], 0, 3);

		if (err)
			return err;
	}
	return 0;
}

static void die_moving(struct __test_metadata *_metadata,
		       FIXTURE_DATA(death) * self, size_t bytes, unsigned int n)
{
	/* A move between guests takes longer. */
	unsigned int most_us = is_far(NODE_PEER) ? 200000 : 20000;
	unsigned int moved = 0, stayed = 0, lost = 0;
	uint32_t random = 17;
	struct dsm_ref old[100];

	ASSERT_GE(100, n);
	for (unsigned int i = 0; i < rounds(25); i++) {
		unsigned int lost_now = 0;

		ASSERT_TRUE(victim_start(self, NODE_PEER));
		for (unsigned int k = 0; k < n; k++) {
			ASSERT_TRUE(make(self->dsm, bytes, k, &old[k]));
			self->v->refs[k] = old[k];
		}
		self->v->n = n;
		ASSERT_EQ(0, worker_post(&self->victim, move_all));
		while (!self->v->entered)
			usleep(100);
		usleep(next_random(&random) % most_us);
		ASSERT_TRUE(victim_kill(self));
		for (unsigned int k = 0; k < n; k++) {
			struct dsm_ref ref = self->v->refs[k];
			bool same = ref.addr == old[k].addr;
			long err = same ? rewrite_calmly(self->dsm, &ref, 9)
					: take_either(self->dsm, &ref);

			/* Its mover died before it told where it is now. */
			if (same && err == -ESTALE) {
				lost_now++;
				continue;
			}
			EXPECT_EQ(0, err)
			{
				TH_LOG("round %u, object %u: %s", i, k,
				       same ? "stayed" : "moved");
			}
			stayed += same;
			moved += !same;
			EXPECT_EQ(0, check(self->dsm, &ref, 9));
			EXPECT_EQ(0, drop(self->dsm, &ref));
		}
		EXPECT_GE(1, lost_now);
		lost += lost_now;
	}
	TH_LOG("moved %u, stayed %u, lost with their mover %u", moved, stayed,
	       lost);
}

TEST_F(death, at_any_time_in_moves_of_small_objects)
{
	die_moving(_metadata, self, 128, 100);
}

TEST_F(death, at_any_time_in_moves_of_large_objects)
{
	die_moving(_metadata, self, 10 * PAGE_BYTES, 20);
}

/*
 * Two processes write one object in turn, as fast as they can; one is killed.  The
 * other's own borrow must never end because of that.
 */
static void raise_to(_Atomic(uint64_t) *version, uint64_t to)
{
	uint64_t seen = atomic_load(version);

	while (seen < to && !atomic_compare_exchange_weak(version, &seen, to))
		;
}

static long write_in_turn(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	_Atomic(uint64_t) *version = x->ptr;
	struct dsm_ref ref = x->ref;
	unsigned int failures = 0;

	x->entered = 1;
	while (!x->go) {
		uint64_t *p;

		ref.version = atomic_load(version);
		p = dsm_borrow_mut(dsm, &ref, DSM_ACCEPT);
		if (!p) {
			x->counts[0] = errno;
			if (errno != ESTALE && errno != EBUSY)
				return -errno;
			/* A dead one's last version may not have got there. */
			if (errno == ESTALE && ++failures % 1000 == 0)
				raise_to(version, ref.version + 1);
			continue;
		}
		failures = 0;
		p[0]++;
		if (dsm_return_mut(dsm, &ref))
			return -errno - 1000;
		x->counts[1]++;
		raise_to(version, ref.version);
	}
	return 0;
}

TEST_F(death, beside_another_that_writes)
{
	struct worker rival;
	struct exchange *r;
	uint32_t random = 3;
	struct dsm_ref ref;

	ASSERT_TRUE(make(self->dsm, 64, 5, &ref));
	ASSERT_EQ(0, worker_start(&rival, NODE_HOME, self->region, O_RDWR));
	r = rival.arg;
	/* A place that both of them see: the peer's exchange was there first. */
	r->ptr = &self->x->refs[0].version;
	r->ref = ref;
	self->x->refs[0] = ref;
	ASSERT_EQ(0, worker_post(&rival, write_in_turn));
	for (unsigned int i = 0; i < rounds(40); i++) {
		unsigned int before;

		ASSERT_TRUE(victim_start(self, NODE_HOME));
		self->v->ptr = r->ptr;
		self->v->ref = ref;
		ASSERT_EQ(0, worker_post(&self->victim, write_in_turn));
		while (!self->v->entered)
			usleep(100);
		usleep(next_random(&random) % 5000);
		ASSERT_TRUE(victim_kill(self));
		/* It goes on. */
		before = r->counts[1];
		for (unsigned int k = 0; k < 5000 && r->counts[1] == before;
		     k++)
			usleep(1000);
		ASSERT_NE(before, r->counts[1])
		{
			TH_LOG("round %u: it only gets: %s", i,
			       strerror((int)r->counts[0]));
		}
	}
	r->go = 1;
	EXPECT_EQ(0, worker_wait(&rival, WAIT_MS));
	worker_stop(&rival);
}

/* Small objects of the node that somebody has, or had when he died. */
static long count_held(struct dsm *dsm, void *arg)
{
	long n = 0;

	(void)arg;
	for (uint64_t i = 0; i < NODE_MEMORY_BYTES / DSM_LINE_SIZE; i++) {
		unsigned int state = state_of(dsm->ledger[dsm->own_first + i]);

		n += state == DSM_STATE_EXCL || state == DSM_STATE_POISON;
	}
	return n;
}

static long enter_and_move(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	x->entered = 1;
	return rewrite(dsm, &x->ref, 0, 1);
}

/* The object's home does not answer: the move has begun, and not ended. */
TEST_F(death, in_the_middle_of_a_move_nothing_is_lost)
{
	char region[DSM_NAME_BYTES];
	struct worker w;
	struct exchange *x;
	struct dsm_ref ref;

	if (is_far(NODE_PEER))
		SKIP(return, "takes a node of another guest down");
	/* Its registrar stays. */
	ASSERT_EQ(0, region_name_at(NODE_HOME, region));
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	worker_stop(&self->peer);
	ASSERT_EQ(0, worker_start(&w, NODE_PEER, region, O_RDWR));
	x = w.arg;
	x->bytes = 640;
	ASSERT_EQ(0, worker_run(&w, make_there));
	ref = x->ref;
	worker_stop(&w);
	ASSERT_EQ(0, worker_start(&w, NODE_TIGHT, region, O_RDWR));
	x = w.arg;
	x->ref = ref;
	ASSERT_EQ(0, node_set_up(NODE_PEER, false));
	ASSERT_EQ(0, worker_post(&w, enter_and_move));
	EXPECT_TRUE(worker_sleeps(&w, &x->entered));
	ASSERT_EQ(0, worker_kill(&w));
	worker_stop(&w);
	ASSERT_EQ(0, worker_start(&w, NODE_TIGHT, region, O_RDWR));
	EXPECT_EQ(0, worker_run(&w, count_held));
	worker_stop(&w);
	ASSERT_EQ(0, node_set_up(NODE_PEER, true));
	ASSERT_TRUE(links_come_up());
	EXPECT_EQ(0, dsm_region_remove(NODE_HOME, region));
}

TEST_HARNESS_MAIN
