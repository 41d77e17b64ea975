// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exclusive borrows that take an object to another node, names that hand it over, and
 * rivals for one handle.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "harness.h"
#include "borrow.h"

#define RACE_ROUNDS 1500
#define RIVALS 3

/* Rivals go through one array of handles side by side. */
struct race {
	atomic_uint arrived;
	unsigned int rivals, n;
	size_t bytes;
	struct dsm_ref refs[RACE_ROUNDS];
	struct dsm_ref won[RACE_ROUNDS];
	int result[RIVALS][RACE_ROUNDS];
};

static struct race *const race = (struct race *)SHARED_ADDR;

FIXTURE(move)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer, tight;
	struct exchange *x, *t; /* of the two */
};

FIXTURE_SETUP(move)
{
	ASSERT_TRUE(shared_map(sizeof(*race)));
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	ASSERT_EQ(0,
		  worker_start(&self->tight, NODE_TIGHT, self->region, O_RDWR));
	self->x = self->peer.arg;
	self->t = self->tight.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(move)
{
	worker_stop(&self->peer);
	worker_stop(&self->tight);
	dsm_detach(self->dsm);
	dsm_region_remove(NODE_HOME, self->region);
}

/* A handle that owns nothing any more reads its own version, or nothing. */
static bool is_old(struct dsm *dsm, const struct dsm_ref *old, uint32_t seed)
{
	struct dsm_ref copy = *old;
	long read = check(dsm, old, seed);

	/* The claim of who has just taken it may not say yet that it is gone. */
	return (read == 0 || read == -ESTALE) &&
	       rewrite_calmly(dsm, &copy, seed + 1) == -ESTALE &&
	       rewrite(dsm, &copy, DSM_ACCEPT, seed + 1) == -ESTALE &&
	       drop(dsm, &copy) == -ESTALE && !memcmp(&copy, old, sizeof(copy));
}

TEST_F(move, every_size)
{
	static const size_t sizes[] = {
		64,
		65,
		640,
		1024,
		2048,
		SMALL_MAX_BYTES,
		PAGE_BYTES,
		10 * PAGE_BYTES,
		DSM_CHUNK_SIZE,
		DSM_CHUNK_SIZE + PAGE_BYTES,
		3 * DSM_CHUNK_SIZE - PAGE_BYTES,
	};

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct dsm_ref old, ref;

		ASSERT_TRUE(make(self->dsm, sizes[i], i, &old));
		/* It comes along, and changes there. */
		EXPECT_EQ(0, ask(&self->peer, borrow_mut_there, &old, i));
		EXPECT_EQ(NODE_PEER, dsm_home(self->dsm, self->x->ptr));
		EXPECT_EQ(address_of(&self->x->ref), self->x->ptr);
		EXPECT_EQ(old.size, self->x->ref.size);
		EXPECT_TRUE(is_old(self->dsm, &old, i));
		EXPECT_EQ(-EBUSY, check(self->dsm, &self->x->ref, i));
		EXPECT_EQ(0, worker_run(&self->peer, return_mut_there));
		ref = self->x->ref;
		EXPECT_EQ(0, check(self->dsm, &ref, i));
		EXPECT_EQ(0, ask(&self->peer, check_there, &ref, i));
		EXPECT_EQ(0, ask(&self->tight, check_there, &ref, i));
		EXPECT_EQ(0, ask(&self->tight, write_there, &ref, 50 + i));
		EXPECT_EQ(0, check(self->dsm, &self->t->ref, 50 + i));
		EXPECT_EQ(0, rewrite(self->dsm, &self->t->ref, 0, 100 + i));
		EXPECT_EQ(0, ask(&self->peer, check_there, &self->t->ref,
				 100 + i));
		EXPECT_EQ(0, drop(self->dsm, &self->t->ref));
	}
}

TEST_F(move, discard_gives_the_place_alone)
{
	static const size_t sizes[] = { 64, 1024, PAGE_BYTES,
					DSM_CHUNK_SIZE + PAGE_BYTES };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct counters before;
		struct dsm_ref old;

		ASSERT_TRUE(make(self->dsm, sizes[i], i, &old));
		self->x->ref = old;
		self->x->seed = 7;
		self->x->flags = DSM_DISCARD;
		ASSERT_EQ(0, counters_read(NODE_PEER, 0, &before));
		EXPECT_EQ(0, worker_run(&self->peer, write_there));
		EXPECT_EQ(0,
			  COUNT(counters_since(NODE_PEER, 0, &before), READS));
		EXPECT_TRUE(is_old(self->dsm, &old, i));
		EXPECT_EQ(0, check(self->dsm, &self->x->ref, 7));
		/* At home there is nothing to save. */
		ASSERT_TRUE(make(self->dsm, sizes[i], i, &old));
		EXPECT_EQ(0, rewrite(self->dsm, &old, DSM_DISCARD, 8));
		EXPECT_EQ(0, check(self->dsm, &old, 8));
	}
}

TEST_F_TIMEOUT(move, what_was_left_behind_is_reclaimed, 600)
{
	size_t bytes = NODE_MEMORY_BYTES * 2 / 5;
	struct dsm_ref ref;

	/* More than all memory there is, if it were not. */
	ASSERT_TRUE(make(self->dsm, bytes, 0, &ref));
	for (uint32_t i = 1; i <= 9; i++) {
		struct worker *w = i % 3 == 1 ? &self->peer : &self->tight;
		struct exchange *x = w->arg;

		if (i % 3) {
			x->ref = ref;
			x->seed = i;
			/* Between guests the bytes alone take 10 s. */
			x->flags = i > 2 && is_far(NODE_PEER) ? DSM_DISCARD : 0;
			ASSERT_EQ(0, worker_post(w, write_there));
			ASSERT_EQ(0, worker_wait(w, 4 * WAIT_MS));
			ref = x->ref;
		} else {
			ASSERT_EQ(0, rewrite(self->dsm, &ref, 0, i));
		}
	}
	EXPECT_EQ(0, check(self->dsm, &ref, 9));
}

TEST_F(move, small_ones_move_to_and_fro)
{
	struct dsm_ref refs[50];

	for (uint32_t i = 0; i < 50; i++)
		ASSERT_TRUE(make(self->dsm, 64 + 40 * i, i, &refs[i]));
	for (uint32_t round = 1; round <= rounds(10); round++) {
		for (uint32_t i = 0; i < 50; i++) {
			struct worker *w = round % 3 == 1 ? &self->peer
							  : &self->tight;
			struct exchange *x = w->arg;

			if (round % 3) {
				ASSERT_EQ(0, ask(w, write_there, &refs[i],
						 round + i));
				refs[i] = x->ref;
			} else {
				ASSERT_EQ(0, rewrite(self->dsm, &refs[i], 0,
						     round + i));
			}
			ASSERT_EQ(0, check(self->dsm, &refs[i], round + i));
		}
	}
}

/* ---- rivals ---- */

static bool meet(unsigned int i)
{
	uint64_t end = now_ms() + WAIT_MS;
	unsigned int turns = 0;

	atomic_fetch_add(&race->arrived, 1);
	while (atomic_load(&race->arrived) < race->rivals * (i + 1)) {
		if (now_ms() > end)
			return false;
		wait_turn(&turns);
	}
	return true;
}

/* Each wants all; who gets one writes its own number. */
static long run_race(struct dsm *dsm, unsigned int rival)
{
	for (unsigned int i = 0; i < race->n; i++) {
		struct dsm_ref ref = race->refs[i];

		if (!meet(i))
			return -ETIMEDOUT;
		race->result[rival][i] =
			(int)rewrite(dsm, &ref, 0, 1000 + rival);
		if (!race->result[rival][i])
			race->won[i] = ref;
	}
	return 0;
}

static long run_race_there(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	return run_race(dsm, x->n);
}

static bool race_prepare(FIXTURE_DATA(move) * self, unsigned int rivals,
			 unsigned int n, size_t bytes)
{
	/* To meet takes its time between guests. */
	if (guests() > 1)
		n /= 5;
	atomic_store(&race->arrived, 0);
	race->rivals = rivals;
	race->n = n;
	for (unsigned int i = 0; i < n; i++)
		if (!make(self->dsm, bytes, i, &race->refs[i]))
			return false;
	return true;
}

static void race_judge(struct __test_metadata *_metadata,
		       FIXTURE_DATA(move) * self)
{
	unsigned int wins[RIVALS] = { 0 }, nobody = 0, busy = 0;

	for (unsigned int i = 0; i < race->n; i++) {
		struct dsm_ref old = race->refs[i];
		unsigned int winner = RIVALS;

		for (unsigned int r = 0; r < race->rivals; r++) {
			int result = race->result[r][i];

			busy += result == -EBUSY;
			if (result) {
				EXPECT_TRUE(result == -EBUSY ||
					    result == -ESTALE)
				{
					TH_LOG("rival %u: %d", r, result);
				}
				continue;
			}
			EXPECT_EQ(RIVALS, winner);
			winner = r;
		}
		if (winner == RIVALS) {
			nobody++;
			EXPECT_EQ(0, rewrite_calmly(self->dsm, &old, 1000));
			EXPECT_EQ(0, check(self->dsm, &old, 1000));
			continue;
		}
		wins[winner]++;
		EXPECT_EQ(0, check(self->dsm, &race->won[i], 1000 + winner));
		EXPECT_EQ(-ESTALE, rewrite_calmly(self->dsm, &old, 1));
		EXPECT_EQ(-ESTALE,
			  ask_calmly(&self->peer, write_there, &old, 1));
	}
	TH_LOG("won: %u %u %u, nobody: %u; EBUSY: %u", wins[0], wins[1],
	       wins[2], nobody, busy);
	/* Who was EBUSY went on trying. */
	EXPECT_GE(race->n / 20 + 1, nobody);
}

TEST_F_TIMEOUT(move, of_two_nodes_one_wins, 300)
{
	ASSERT_TRUE(race_prepare(self, 2, RACE_ROUNDS, 192));
	self->x->n = 0;
	self->t->n = 1;
	ASSERT_EQ(0, worker_post(&self->peer, run_race_there));
	ASSERT_EQ(0, worker_post(&self->tight, run_race_there));
	EXPECT_EQ(0, worker_wait(&self->peer, 8 * WAIT_MS));
	EXPECT_EQ(0, worker_wait(&self->tight, 8 * WAIT_MS));
	race_judge(_metadata, self);
}

TEST_F_TIMEOUT(move, of_the_home_and_a_peer_one_wins, 300)
{
	ASSERT_TRUE(race_prepare(self, 2, RACE_ROUNDS, 192));
	self->x->n = 0;
	ASSERT_EQ(0, worker_post(&self->peer, run_race_there));
	EXPECT_EQ(0, run_race(self->dsm, 1));
	EXPECT_EQ(0, worker_wait(&self->peer, 8 * WAIT_MS));
	race_judge(_metadata, self);
}

TEST_F_TIMEOUT(move, of_three_one_wins, 300)
{
	ASSERT_TRUE(race_prepare(self, 3, RACE_ROUNDS / 3, 1024));
	self->x->n = 0;
	self->t->n = 1;
	ASSERT_EQ(0, worker_post(&self->peer, run_race_there));
	ASSERT_EQ(0, worker_post(&self->tight, run_race_there));
	EXPECT_EQ(0, run_race(self->dsm, 2));
	EXPECT_EQ(0, worker_wait(&self->peer, 8 * WAIT_MS));
	EXPECT_EQ(0, worker_wait(&self->tight, 8 * WAIT_MS));
	race_judge(_metadata, self);
}

TEST_F_TIMEOUT(move, of_rivals_for_a_large_object_one_wins, 300)
{
	ASSERT_TRUE(race_prepare(self, 3, RACE_ROUNDS / 6, 3 * PAGE_BYTES));
	self->x->n = 0;
	self->t->n = 1;
	ASSERT_EQ(0, worker_post(&self->peer, run_race_there));
	ASSERT_EQ(0, worker_post(&self->tight, run_race_there));
	EXPECT_EQ(0, run_race(self->dsm, 2));
	EXPECT_EQ(0, worker_wait(&self->peer, 8 * WAIT_MS));
	EXPECT_EQ(0, worker_wait(&self->tight, 8 * WAIT_MS));
	race_judge(_metadata, self);
}

/* Two processes of one node. */
TEST_F_TIMEOUT(move, of_two_processes_one_wins, 300)
{
	struct worker other;

	ASSERT_EQ(0, worker_start(&other, NODE_PEER, self->region, O_RDWR));
	ASSERT_TRUE(race_prepare(self, 2, RACE_ROUNDS / 2, 64));
	self->x->n = 0;
	((struct exchange *)other.arg)->n = 1;
	ASSERT_EQ(0, worker_post(&self->peer, run_race_there));
	ASSERT_EQ(0, worker_post(&other, run_race_there));
	EXPECT_EQ(0, worker_wait(&self->peer, 8 * WAIT_MS));
	EXPECT_EQ(0, worker_wait(&other, 8 * WAIT_MS));
	worker_stop(&other);
	race_judge(_metadata, self);
}

/* While it moves and is written, a reader sees its own version or none. */
static long read_until(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	long got;

	x->entered = 1;
	while (!x->go) {
		struct dsm_ref ref = x->ref;

		got = check(dsm, &ref, 77);
		if (got && got != -ESTALE && got != -EBUSY)
			return got;
	}
	return 0;
}

TEST_F(move, reader_sees_its_version_or_none)
{
	for (unsigned int i = 0; i < rounds(30); i++) {
		struct dsm_ref ref;

		ASSERT_TRUE(make(self->dsm, i % 2 ? 2048 : 3 * PAGE_BYTES, 77,
				 &ref));
		self->t->ref = ref;
		self->t->go = 0;
		ASSERT_EQ(0, worker_post(&self->tight, read_until));
		for (unsigned int k = 0; k < 3; k++) {
			EXPECT_EQ(0, ask(&self->peer, write_there, &ref, k));
			ref = self->x->ref;
			EXPECT_EQ(0, rewrite(self->dsm, &ref, 0, k));
		}
		EXPECT_EQ(0, drop(self->dsm, &ref));
		for (unsigned int k = 0; k < 20; k++)
			ASSERT_TRUE(make(self->dsm, i % 2 ? 2048 : PAGE_BYTES,
					 78, &ref));
		self->t->go = 1;
		EXPECT_EQ(0, worker_wait(&self->tight, WAIT_MS));
	}
}

/* ---- names ---- */

static long take_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	x->entered = 1;
	return dsm_take(dsm, x->name, x->counts[0], &x->ref) ? -errno : 0;
}

static long look_up_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_lookup(dsm, x->name, x->counts[0], &x->ref) ? 0 : -errno;
}

TEST_F(move, name_is_taken_by_one)
{
	for (unsigned int i = 0; i < rounds(20); i++) {
		struct dsm_ref ref, got;
		long here, peer, tight;

		name_copy(self->x->name, "it");
		name_copy(self->t->name, "it");
		self->x->counts[0] = self->t->counts[0] = 0;
		ASSERT_TRUE(make(self->dsm, i % 2 ? 64 : PAGE_BYTES, i, &ref));
		ASSERT_EQ(0, dsm_publish(self->dsm, "it", &ref));
		ASSERT_EQ(0, worker_post(&self->peer, take_there));
		ASSERT_EQ(0, worker_post(&self->tight, take_there));
		here = dsm_take(self->dsm, "it", 0, &got) ? -errno : 0;
		peer = worker_wait(&self->peer, WAIT_MS);
		tight = worker_wait(&self->tight, WAIT_MS);
		EXPECT_EQ(1, !here + !peer + !tight);
		EXPECT_TRUE(!here || here == -ENOENT);
		EXPECT_TRUE(!peer || peer == -ENOENT);
		EXPECT_TRUE(!tight || tight == -ENOENT);
		if (!peer)
			got = self->x->ref;
		if (!tight)
			got = self->t->ref;
		EXPECT_EQ(0, memcmp(&ref, &got, sizeof(ref)));
		EXPECT_EQ(NULL, dsm_lookup(self->dsm, "it", 0, &got));
		EXPECT_EQ(ENOENT, errno);
		EXPECT_EQ(0, drop(self->dsm, &ref));
	}
}

TEST_F(move, take_waits_for_the_name)
{
	struct dsm_ref ref;
	uint64_t start;

	name_copy(self->x->name, "late");
	self->x->counts[0] = WAIT_MS;
	self->x->entered = 0;
	ASSERT_EQ(0, worker_post(&self->peer, take_there));
	ASSERT_TRUE(worker_sleeps(&self->peer, &self->x->entered));
	ASSERT_TRUE(make(self->dsm, 64, 3, &ref));
	ASSERT_EQ(0, dsm_publish(self->dsm, "late", &ref));
	EXPECT_EQ(0, worker_wait(&self->peer, WAIT_MS));
	EXPECT_EQ(0, worker_run(&self->peer, write_there));
	EXPECT_EQ(-1, dsm_take(self->dsm, "late", 0, &ref));
	EXPECT_EQ(ENOENT, errno);
	start = now_ms();
	EXPECT_EQ(-1, dsm_take(self->dsm, "late", 300, &ref));
	EXPECT_EQ(ETIMEDOUT, errno);
	EXPECT_LE(300, now_ms() - start);
	/* A wait that ended in vain takes nothing later. */
	ASSERT_EQ(0, dsm_publish(self->dsm, "late", &self->x->ref));
	ASSERT_EQ(0, dsm_take(self->dsm, "late", 0, &ref));
}

/* Of many who wait each gets one. */
TEST_F(move, each_taker_gets_one)
{
	struct dsm_ref refs[2];

	name_copy(self->x->name, "one");
	name_copy(self->t->name, "one");
	self->x->counts[0] = self->t->counts[0] = WAIT_MS;
	ASSERT_EQ(0, worker_post(&self->peer, take_there));
	ASSERT_EQ(0, worker_post(&self->tight, take_there));
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t end = now_ms() + WAIT_MS;

		ASSERT_TRUE(make(self->dsm, 64, i, &refs[i]));
		while (dsm_publish(self->dsm, "one", &refs[i])) {
			ASSERT_EQ(EEXIST, errno);
			ASSERT_GT(end, now_ms());
		}
	}
	EXPECT_EQ(0, worker_wait(&self->peer, WAIT_MS));
	EXPECT_EQ(0, worker_wait(&self->tight, WAIT_MS));
	EXPECT_NE(self->x->ref.addr, self->t->ref.addr);
	EXPECT_EQ(refs[0].addr ^ refs[1].addr,
		  self->x->ref.addr ^ self->t->ref.addr);
}

TEST_F(move, republish_replaces)
{
	struct dsm_ref first, second, got;

	ASSERT_TRUE(make(self->dsm, 64, 1, &first));
	ASSERT_EQ(0, dsm_republish(self->dsm, "state", &first));
	name_copy(self->x->name, "state");
	self->x->counts[0] = 0;
	for (unsigned int i = 2; i < 20; i++) {
		ASSERT_TRUE(
			make(self->dsm, i % 3 ? 64 : PAGE_BYTES, i, &second));
		EXPECT_EQ(-1, dsm_publish(self->dsm, "state", &second));
		EXPECT_EQ(EEXIST, errno);
		ASSERT_EQ(0, dsm_republish(self->dsm, "state", &second));
		EXPECT_EQ(0, worker_run(&self->peer, look_up_there));
		EXPECT_EQ(second.addr, self->x->ref.addr);
		EXPECT_EQ(second.version, self->x->ref.version);
		self->x->seed = i;
		EXPECT_EQ(0, worker_run(&self->peer, check_there));
	}
	/* The first was forgotten, not dropped. */
	EXPECT_EQ(0, check(self->dsm, &first, 1));
	ASSERT_EQ(0, dsm_take(self->dsm, "state", 0, &got));
	EXPECT_EQ(0, memcmp(&got, &second, sizeof(got)));
}

TEST_F(move, what_is_not_owned_is_not_published)
{
	static const size_t sizes[] = { 64, PAGE_BYTES };

	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref, old;

		ASSERT_NE(NULL, dsm_alloc(self->dsm, sizes[i], &ref));
		EXPECT_EQ(-1, dsm_publish(self->dsm, "mine", &ref));
		EXPECT_EQ(EBUSY, errno);
		old = ref;
		ASSERT_EQ(0, dsm_return_mut(self->dsm, &ref));
		EXPECT_EQ(-1, dsm_publish(self->dsm, "mine", &old));
		EXPECT_EQ(ESTALE, errno);
		old = ref;
		ASSERT_EQ(0, dsm_drop(self->dsm, &ref));
		EXPECT_EQ(-1, dsm_publish(self->dsm, "mine", &old));
		EXPECT_EQ(ESTALE, errno);
		EXPECT_EQ(NULL, dsm_lookup(self->dsm, "mine", 0, NULL));
	}
}

TEST_HARNESS_MAIN
