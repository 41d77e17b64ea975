// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every misuse gets its errno or its signal, never other bytes: handles that nobody
 * gave out, borrows that exclude each other, and what was not borrowed.
 *
 * What is not detected: a store to a small object of this node under a shared borrow;
 * a small object read behind the end of its borrow, or by who has not borrowed it; a
 * cached read through a handle kept too long; a wrong size of a small object whose
 * version is here.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "harness.h"
#include "borrow.h"

FIXTURE(misuse)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker mate, peer; /* of the same node, and of another */
	struct exchange *m, *x;
	struct dsm_ref small, large; /* with patterns 1 and 2 */
	struct dsm_ref before, behind; /* neighbours of the small one */
};

FIXTURE_SETUP(misuse)
{
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->mate, NODE_HOME, self->region, O_RDWR));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->m = self->mate.arg;
	self->x = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	ASSERT_TRUE(make(self->dsm, 192, 3, &self->before));
	ASSERT_TRUE(make(self->dsm, 192, 9, &self->small));
	ASSERT_TRUE(make(self->dsm, 192, 3, &self->behind));
	ASSERT_TRUE(make(self->dsm, 3 * PAGE_BYTES, 2, &self->large));
	/* Not of the first version. */
	ASSERT_EQ(0, rewrite(self->dsm, &self->small, 0, 1));
	ASSERT_EQ(self->before.addr + 192, self->small.addr);
	ASSERT_EQ(self->small.addr + 192, self->behind.addr);
}

FIXTURE_TEARDOWN(misuse)
{
	EXPECT_EQ(0, check(self->dsm, &self->before, 3));
	EXPECT_EQ(0, check(self->dsm, &self->behind, 3));
	worker_stop(&self->mate);
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	dsm_region_remove(NODE_HOME, self->region);
}

/* ---- handles that nobody gave out ---- */

#define ANY \
	0 /* ESTALE, EINVAL, ERANGE or EACCES: it can be taken for several */

struct forgery {
	const char *what;
	struct dsm_ref ref;
	int error;
};

static uint64_t word_with(uint64_t word, unsigned int state, unsigned int lines,
			  int64_t more)
{
	return DSM_WORD(state, lines,
			(word & DSM_WORD_VERSION_MASK) + (uint64_t)more);
}

static bool is_error(const struct forgery *f, long got)
{
	if (f->error)
		return got == -f->error;
	return got == -ESTALE || got == -EINVAL || got == -ERANGE ||
	       got == -EACCES;
}

/* One of the calls, here or elsewhere.  It must leave the handle as it was. */
static long try_call(FIXTURE_DATA(misuse) * self, unsigned int call,
		     const struct dsm_ref *forged)
{
	struct dsm_ref ref = *forged;
	long got = 0;

	switch (call) {
	case 0:
		got = check(self->dsm, &ref, 0);
		break;
	case 1:
		got = rewrite(self->dsm, &ref, 0, 0);
		break;
	case 2:
		got = rewrite(self->dsm, &ref, DSM_ACCEPT | DSM_DISCARD, 0);
		break;
	case 3:
		got = dsm_return_mut(self->dsm, &ref) ? -errno : 0;
		/* It need not look at what is not borrowed. */
		if (got == -EPERM || got == -EINVAL)
			return -EPERM;
		break;
	case 4:
		got = ask(&self->peer, check_there, &ref, 0);
		break;
	case 5:
		got = ask(&self->peer, write_there, &ref, 0);
		break;
	case 6:
		got = drop(self->dsm, &ref);
		break;
	default:
		got = ask(&self->peer, drop_there, &ref, 0);
		break;
	}
	return got || call < 6 || memcmp(&ref, forged, sizeof(ref)) ? got : 1;
}

#define CALLS 8

/* All calls refuse it. */
static void expect_refused(struct __test_metadata *_metadata,
			   FIXTURE_DATA(misuse) * self, const struct forgery *f)
{
	int home = dsm_home(self->dsm, address_of(&f->ref));

	for (unsigned int call = 0; call < CALLS; call++) {
		bool refused;
		long got;

		/* What was begun before for the same address comes to its end. */
		for (unsigned int i = 0; i < 200; i++) {
			got = try_call(self, call, &f->ref);
			if (got != -EBUSY)
				break;
			usleep(1000);
		}
		refused = is_error(f, got) || (call == 3 && got == -EPERM);
		/* A drop elsewhere is begun, not awaited. */
		if ((call == 6 && home != NODE_HOME) ||
		    (call == 7 && home != NODE_PEER))
			refused |= got >= 0;
		EXPECT_TRUE(refused)
		{
			TH_LOG("%s: call %u: %ld", f->what, call, got);
		}
	}
}

/* Where nothing is cached, and where the real object is. */
static void expect_all_refused(struct __test_metadata *_metadata,
			       FIXTURE_DATA(misuse) * self,
			       const struct forgery *forgeries, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		expect_refused(_metadata, self, &forgeries[i]);
	EXPECT_EQ(0, ask(&self->peer, check_there, &self->small, 1));
	EXPECT_EQ(0, ask(&self->peer, check_there, &self->large, 2));
	for (unsigned int i = 0; i < n; i++)
		expect_refused(_metadata, self, &forgeries[i]);
}

static void expect_intact(struct __test_metadata *_metadata,
			  FIXTURE_DATA(misuse) * self)
{
	struct dsm_ref ref = self->small;

	usleep(20000); /* what was begun has ended */
	EXPECT_EQ(0, check(self->dsm, &self->small, 1));
	EXPECT_EQ(0, check(self->dsm, &self->large, 2));
	EXPECT_EQ(0, ask(&self->peer, check_there, &self->small, 1));
	EXPECT_EQ(0, ask(&self->peer, check_there, &self->large, 2));
	/* And it can be taken. */
	EXPECT_EQ(0, rewrite(self->dsm, &ref, 0, 1));
	EXPECT_EQ(0, ask_calmly(&self->peer, write_there, &ref, 1));
	EXPECT_EQ(0, ask_calmly(&self->peer, write_there, &self->large, 2));
}

TEST_F(misuse, forged_handle_of_a_small_object)
{
	uint64_t w = self->small.version, a = self->small.addr;
	const struct forgery forgeries[] = {
		{ "in a line", { a + 8, w, 192 }, EINVAL },
		{ "a byte on", { a + 1, w, 192 }, EINVAL },
		{ "second line", { a + 64, w, 192 }, ESTALE },
		{ "last line", { a + 128, w, 192 }, ESTALE },
		{ "its neighbour", { a + 192, w, 192 }, ESTALE },
		{ "second line as one",
		  { a + 64, word_with(w, DSM_STATE_LIVE, 1, 0), 64 },
		  ESTALE },
		{ "older", { a, w - 1, 192 }, ESTALE },
		{ "newer", { a, w + 1, 192 }, ESTALE },
		{ "newest", { a, w | DSM_WORD_VERSION_MASK, 192 }, ESTALE },
		{ "version 0", { a, w & ~DSM_WORD_VERSION_MASK, 192 }, ESTALE },
		{ "fewer lines",
		  { a, word_with(w, DSM_STATE_LIVE, 2, 0), 128 },
		  ESTALE },
		{ "more lines",
		  { a, word_with(w, DSM_STATE_LIVE, 4, 0), 256 },
		  ESTALE },
		{ "over the page",
		  { a, word_with(w, DSM_STATE_LIVE, 63, 0), 63 * 64 },
		  ANY },
		{ "other lines than size",
		  { a, word_with(w, DSM_STATE_LIVE, 4, 0), 192 },
		  EINVAL },
		{ "no lines",
		  { a, word_with(w, DSM_STATE_LIVE, 0, 0), 0 },
		  EINVAL },
		{ "127 lines",
		  { a, word_with(w, DSM_STATE_LIVE, 127, 0), 127 * 64 },
		  EINVAL },
		{ "65 lines",
		  { a, word_with(w, DSM_STATE_LIVE, 65, 0), 65 * 64 },
		  EINVAL },
		{ "FREE",
		  { a, word_with(w, DSM_STATE_FREE, 3, 0), 192 },
		  EINVAL },
		{ "CONT",
		  { a, word_with(w, DSM_STATE_CONT, 3, 0), 192 },
		  EINVAL },
		{ "EXCL",
		  { a, word_with(w, DSM_STATE_EXCL, 3, 0), 192 },
		  EINVAL },
		{ "POISON",
		  { a, word_with(w, DSM_STATE_POISON, 3, 0), 192 },
		  EINVAL },
		{ "FROZEN",
		  { a, word_with(w, DSM_STATE_FROZEN, 3, 0), 192 },
		  EINVAL },
		{ "state 6", { a, word_with(w, 6, 3, 0), 192 }, EINVAL },
		{ "state 7", { a, word_with(w, 7, 3, 0), 192 }, EINVAL },
		{ "address only", { a, 0, 0 }, EINVAL },
		{ "no version", { a, 0, 192 }, EINVAL },
		{ "all zero", { 0, 0, 0 }, ERANGE },
		{ "all ones", { UINT64_MAX, UINT64_MAX, UINT64_MAX }, ERANGE },
		{ "below the range", { a & 0xffff, w, 192 }, ERANGE },
		{ "above the range", { a | 1ULL << 47, w, 192 }, ERANGE },
		{ "unused of the home",
		  { a + 40 * DSM_CHUNK_SIZE, w, 192 },
		  ANY },
		{ "large word",
		  { a, word_with(w, DSM_STATE_LIVE, DSM_LINES_LARGE, 0), 192 },
		  EINVAL },
		{ "large word and page",
		  { a & ~(PAGE_BYTES - 1),
		    word_with(w, DSM_STATE_LIVE, DSM_LINES_LARGE, 0),
		    PAGE_BYTES },
		  ESTALE },
		{ "address of a large one",
		  { self->large.addr, w, 192 },
		  ESTALE },
	};

	expect_all_refused(_metadata, self, forgeries,
			   sizeof(forgeries) / sizeof(*forgeries));
	expect_intact(_metadata, self);
}

/*
 * The word tells the lines: where it is what the ledger says nothing else is looked
 * at.  Everywhere else a size that is not that of the lines is EINVAL.
 */
TEST_F(misuse, forged_size_of_a_small_object)
{
	static const uint64_t sizes[] = { 0, 128, 193, 256, UINT64_MAX };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct dsm_ref ref = self->small;
		struct forgery f = { "size",
				     { ref.addr, ref.version, sizes[i] },
				     ANY };
		const void *p;

		ref.size = sizes[i];
		for (unsigned int call = 4; call < 6; call++)
			EXPECT_TRUE(is_error(&f, try_call(self, call, &ref)));
		p = dsm_borrow(self->dsm, &ref);
		EXPECT_TRUE(p == address_of(&ref) || (!p && errno == EINVAL));
		p = dsm_borrow_mut(self->dsm, &ref, 0);
		EXPECT_TRUE(p == address_of(&ref) || (!p && errno == EINVAL));
		ref.size = self->small.size;
		if (p)
			EXPECT_EQ(0, dsm_return_mut(self->dsm, &ref));
		self->small = ref;
		EXPECT_EQ(0, check(self->dsm, &ref, 1));
	}
	expect_intact(_metadata, self);
}

TEST_F(misuse, forged_handle_of_a_large_object)
{
	uint64_t w = self->large.version, a = self->large.addr;
	uint64_t size = self->large.size;
	const struct forgery forgeries[] = {
		{ "in a page", { a + 64, w, size }, EINVAL },
		{ "second page",
		  { a + PAGE_BYTES, w, size - PAGE_BYTES },
		  ESTALE },
		{ "page before", { a - PAGE_BYTES, w, size }, ANY },
		{ "older", { a, w - 1, size }, ESTALE },
		{ "newer", { a, w + 1, size }, ESTALE },
		{ "version 0", { a, w & ~DSM_WORD_VERSION_MASK, size }, ESTALE },
		{ "shorter", { a, w, size - PAGE_BYTES }, ESTALE },
		{ "longer", { a, w, size + PAGE_BYTES }, ESTALE },
		{ "over the chunk", { a, w, 2 * DSM_CHUNK_SIZE }, ANY },
		{ "half a page", { a, w, size - 2048 }, EINVAL },
		{ "size 0", { a, w, 0 }, EINVAL },
		{ "to another node", { a, w, 1ULL << 40 }, EINVAL },
		{ "out of the range", { a, w, 1ULL << 60 }, ERANGE },
		{ "FREE",
		  { a, word_with(w, DSM_STATE_FREE, DSM_LINES_LARGE, 0), size },
		  EINVAL },
		{ "CONT",
		  { a, word_with(w, DSM_STATE_CONT, DSM_LINES_LARGE, 0), size },
		  EINVAL },
		{ "EXCL",
		  { a, word_with(w, DSM_STATE_EXCL, DSM_LINES_LARGE, 0), size },
		  EINVAL },
		{ "POISON",
		  { a, word_with(w, DSM_STATE_POISON, DSM_LINES_LARGE, 0),
		    size },
		  EINVAL },
		{ "state 7",
		  { a, word_with(w, 7, DSM_LINES_LARGE, 0), size },
		  EINVAL },
		{ "small word",
		  { a, word_with(w, DSM_STATE_LIVE, 1, 0), 64 },
		  ESTALE },
		{ "small word, large size",
		  { a, word_with(w, DSM_STATE_LIVE, 1, 0), size },
		  EINVAL },
		{ "address of a small one",
		  { self->small.addr & ~(PAGE_BYTES - 1), w, PAGE_BYTES },
		  ESTALE },
		{ "unused of the home",
		  { a + 40 * DSM_CHUNK_SIZE, w, size },
		  ANY },
	};

	expect_all_refused(_metadata, self, forgeries,
			   sizeof(forgeries) / sizeof(*forgeries));
	expect_intact(_metadata, self);
}

TEST_F(misuse, forged_size_of_an_object_of_two_chunks)
{
	const uint64_t size = 2 * DSM_CHUNK_SIZE;
	struct dsm_ref ref;

	ASSERT_TRUE(make(self->dsm, size, 5, &ref));
	ASSERT_EQ(0, ref.addr % DSM_CHUNK_SIZE);

	const uint64_t a = ref.addr, w = ref.version;
	const struct forgery forgeries[] = {
		{ "a chunk", { a, w, DSM_CHUNK_SIZE }, ESTALE },
		{ "a page", { a, w, PAGE_BYTES }, ESTALE },
		{ "a page less than a chunk",
		  { a, w, DSM_CHUNK_SIZE - PAGE_BYTES },
		  ESTALE },
		{ "a page more than a chunk",
		  { a, w, DSM_CHUNK_SIZE + PAGE_BYTES },
		  ESTALE },
		{ "a page less", { a, w, size - PAGE_BYTES }, ESTALE },
		{ "a page more", { a, w, size + PAGE_BYTES }, ANY },
		{ "the second chunk",
		  { a + DSM_CHUNK_SIZE, w, DSM_CHUNK_SIZE },
		  ESTALE },
	};

	expect_all_refused(_metadata, self, forgeries,
			   sizeof(forgeries) / sizeof(*forgeries));
	EXPECT_EQ(0, ask(&self->peer, check_there, &ref, 5));
	EXPECT_EQ(0, check(self->dsm, &ref, 5));
	expect_intact(_metadata, self);
}

/* It lets nobody read before it is frozen, and takes nothing away. */
TEST_F(misuse, forged_frozen_handle)
{
	struct dsm_ref ref = self->large;

	ref.version =
		word_with(ref.version, DSM_STATE_FROZEN, DSM_LINES_LARGE, 0);
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(SIGSEGV, probe_read(address_of(&ref)));
	self->x->ptr = address_of(&ref);
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_read_there));
	EXPECT_EQ(-EROFS, ask(&self->peer, write_there, &ref, 0));
	EXPECT_EQ(-EROFS, rewrite(self->dsm, &ref, 0, 0));
	EXPECT_EQ(-EROFS, drop(self->dsm, &ref));
	EXPECT_EQ(-EROFS, ask(&self->peer, drop_there, &ref, 0));
	expect_intact(_metadata, self);
}

TEST_F(misuse, handle_on_a_node_that_has_nothing)
{
	uint64_t partition = (uint64_t)1 << 39; /* 32 TiB, 64 nodes */
	static const unsigned int nodes[] = { NODE_PEER, NODE_TIGHT,
					      NODE_UNKNOWN };

	for (unsigned int i = 0; i < 3; i++) {
		struct forgery small = { "small", self->small, EACCES };
		struct forgery large = { "large", self->large, ANY };

		small.ref.addr += (nodes[i] - NODE_HOME) * partition;
		large.ref.addr += (nodes[i] - NODE_HOME) * partition;
		ASSERT_EQ(nodes[i],
			  dsm_home(self->dsm, address_of(&small.ref)));
		expect_refused(_metadata, self, &small);
		expect_refused(_metadata, self, &large);
	}
	expect_intact(_metadata, self);
}

TEST_F(misuse, handle_of_another_region)
{
	struct worker home, peer;
	char region[DSM_NAME_BYTES];

	region_name(region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	ASSERT_EQ(0, worker_start(&home, NODE_HOME, region, O_RDWR));
	ASSERT_EQ(0, worker_start(&peer, NODE_PEER, region, O_RDWR));
	for (unsigned int i = 0; i < 4; i++) {
		struct worker *w = i % 2 ? &peer : &home;
		struct forgery foreign = { i < 2 ? "small" : "large",
					   { 0, 0, 0 },
					   EACCES };
		struct exchange *x = w->arg;

		x->bytes = i < 2 ? 192 : 3 * PAGE_BYTES;
		x->seed = 5;
		ASSERT_EQ(0, worker_run(w, make_there));
		foreign.ref = x->ref;
		expect_refused(_metadata, self, &foreign);
		self->m->ptr = address_of(&foreign.ref);
		EXPECT_EQ(SIGSEGV, worker_run(&self->mate, probe_read_there));
		EXPECT_EQ(SIGSEGV, worker_run(&self->mate, probe_write_there));
		EXPECT_EQ(0, worker_run(w, check_there));
		EXPECT_EQ(0, worker_run(w, write_there));
	}
	worker_stop(&home);
	worker_stop(&peer);
	EXPECT_EQ(0, dsm_region_remove(NODE_HOME, region));
}

TEST_F(misuse, dropped_and_moved_handles)
{
	struct dsm_ref *refs[] = { &self->small, &self->large };

	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref old = *refs[i], moved;
		struct forgery dropped = { "dropped", *refs[i], ESTALE };

		/* Moved: what is exclusive fails. */
		ASSERT_EQ(0, ask(&self->peer, write_there, &old, 4));
		moved = self->x->ref;
		EXPECT_EQ(-ESTALE, rewrite_calmly(self->dsm, &old, 0));
		EXPECT_EQ(-ESTALE, drop(self->dsm, &old));
		EXPECT_EQ(-ESTALE,
			  ask_calmly(&self->peer, write_there, &old, 0));
		EXPECT_EQ(0, ask_calmly(&self->peer, drop_there, &old, 0));
		EXPECT_EQ(0, check(self->dsm, &moved, 4));
		/* Dropped at home: all of it. */
		ASSERT_TRUE(make(self->dsm, i ? 2 * PAGE_BYTES : 192, 4, &old));
		dropped.ref = old;
		ASSERT_EQ(0, drop(self->dsm, &old));
		expect_refused(_metadata, self, &dropped);
	}
}

/* ---- what excludes what ---- */

static const size_t both[] = { 192, 3 * PAGE_BYTES };

TEST_F(misuse, exclusive_excludes_all)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref, copy;

		ASSERT_TRUE(make(self->dsm, both[i], 5, &ref));
		copy = ref;
		ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &ref, 0));
		EXPECT_EQ(-EBUSY, rewrite(self->dsm, &copy, 0, 0));
		EXPECT_EQ(-EBUSY, rewrite(self->dsm, &copy, DSM_ACCEPT, 0));
		EXPECT_EQ(-EBUSY, check(self->dsm, &copy, 0));
		EXPECT_EQ(-EBUSY, drop(self->dsm, &copy));
		EXPECT_EQ(-EBUSY, ask(&self->mate, check_there, &copy, 0));
		EXPECT_EQ(-EBUSY, ask(&self->mate, write_there, &copy, 0));
		EXPECT_EQ(-EBUSY, ask(&self->mate, drop_there, &copy, 0));
		EXPECT_EQ(-EBUSY, ask(&self->peer, check_there, &copy, 0));
		EXPECT_EQ(-EBUSY, ask(&self->peer, write_there, &copy, 0));
		EXPECT_EQ(0, dsm_return_mut(self->dsm, &ref));
		EXPECT_EQ(0, check(self->dsm, &ref, 5));
		EXPECT_EQ(-ESTALE, check(self->dsm, &copy, 5));
		EXPECT_EQ(-ESTALE,
			  ask_calmly(&self->peer, write_there, &copy, 0));
		EXPECT_EQ(0, ask_calmly(&self->peer, write_there, &ref, 6));
	}
}

/* A drop from afar waits for the borrow's end, and then finds nothing to drop. */
TEST_F(misuse, drop_from_afar_while_exclusive)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref, copy;

		ASSERT_TRUE(make(self->dsm, both[i], 5, &ref));
		copy = ref;
		ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &ref, 0));
		EXPECT_EQ(0, ask(&self->peer, drop_there, &copy, 0));
		usleep(300000);
		EXPECT_EQ(0, dsm_return_mut(self->dsm, &ref));
		usleep(500000);
		EXPECT_EQ(0, check(self->dsm, &ref, 5));
		EXPECT_EQ(0, rewrite(self->dsm, &ref, 0, 6));
		EXPECT_EQ(0, ask_calmly(&self->peer, write_there, &ref, 7));
	}
}

TEST_F(misuse, readers_of_a_large_object_exclude_writers_of_the_node)
{
	struct dsm_ref ref = self->large;

	ASSERT_NE(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(-EBUSY, rewrite(self->dsm, &ref, 0, 0));
	EXPECT_EQ(-EBUSY, drop(self->dsm, &ref));
	EXPECT_EQ(0, ask(&self->mate, check_there, &ref, 2));
	EXPECT_EQ(-EBUSY, ask(&self->mate, write_there, &ref, 0));
	EXPECT_EQ(-EBUSY, ask(&self->mate, drop_there, &ref, 0));
	EXPECT_EQ(0, dsm_return(self->dsm, &ref));
	EXPECT_EQ(0, ask(&self->mate, write_there, &ref, 2));
}

TEST_F(misuse, write_under_a_shared_borrow_is_found_at_its_end)
{
	struct dsm_ref ref = self->small;

	ASSERT_NE(NULL, dsm_borrow(self->dsm, &ref));
	ASSERT_EQ(0, ask(&self->mate, write_there, &ref, 4));
	EXPECT_EQ(-1, dsm_return(self->dsm, &ref));
	EXPECT_EQ(ESTALE, errno);
}

/* ---- signals ---- */

TEST_F(misuse, store_under_a_shared_borrow)
{
	/* Of a small one elsewhere; at home it is not found out. */
	EXPECT_EQ(0, ask(&self->peer, borrow_there, &self->small, 1));
	EXPECT_EQ(0, worker_run(&self->peer, probe_read_there));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_write_there));
	EXPECT_EQ(0, worker_run(&self->peer, return_there));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_write_there));

	EXPECT_EQ(0, ask(&self->peer, borrow_there, &self->large, 1));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_write_there));
	EXPECT_EQ(0, worker_run(&self->peer, probe_read_there));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_write_there));
	EXPECT_EQ(0, worker_run(&self->peer, return_there));

	ASSERT_NE(NULL, dsm_borrow(self->dsm, &self->large));
	EXPECT_EQ(SIGSEGV, probe_write(address_of(&self->large), 1));
	EXPECT_EQ(0, probe_read(address_of(&self->large)));
	EXPECT_EQ(SIGSEGV, probe_write(address_of(&self->large), 1));
	EXPECT_EQ(0, dsm_return(self->dsm, &self->large));
	expect_intact(_metadata, self);
}

TEST_F(misuse, large_object_behind_the_end_of_its_borrow)
{
	unsigned char *p = address_of(&self->large);
	size_t last = self->large.size - 1;

	/* The mate's borrow is not ours. */
	EXPECT_EQ(0, ask(&self->mate, borrow_there, &self->large, 2));
	EXPECT_EQ(SIGSEGV, probe_read(p));
	EXPECT_EQ(0, worker_run(&self->mate, return_there));

	ASSERT_EQ(p, dsm_borrow_mut(self->dsm, &self->large, 0));
	EXPECT_EQ(0, probe_write(p + last, 1));
	EXPECT_EQ(SIGSEGV, probe_read(p + last + 1));
	EXPECT_EQ(0, dsm_return_mut(self->dsm, &self->large));
	EXPECT_EQ(SIGSEGV, probe_read(p));
	EXPECT_EQ(SIGSEGV, probe_write(p + last, 1));

	EXPECT_EQ(0, ask(&self->peer, borrow_mut_there, &self->large, 2));
	EXPECT_EQ(0, worker_run(&self->peer, probe_write_there));
	EXPECT_EQ(0, worker_run(&self->peer, return_mut_there));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_read_there));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_write_there));
	/* Where it came from. */
	EXPECT_EQ(SIGSEGV, probe_read(p));
	self->x->ptr = p;
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_read_there));
}

/* Who has borrowed what moves away reads its version or gets SIGBUS. */
TEST_F(misuse, large_object_that_moves_away_from_its_reader)
{
	struct dsm_ref ref;

	ASSERT_EQ(0, ask(&self->peer, write_there, &self->large, 3));
	ref = self->x->ref;
	ASSERT_NE(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(0, probe_read(address_of(&ref)));
	/* Against the rules: it is borrowed. */
	EXPECT_EQ(0, ask(&self->peer, borrow_mut_there, &ref, 3));
	EXPECT_EQ(SIGBUS, probe_read((char *)address_of(&ref) + PAGE_BYTES));
	EXPECT_EQ(0, probe_read(address_of(&ref)));
	EXPECT_EQ(0, worker_run(&self->peer, return_mut_there));
	EXPECT_EQ(SIGBUS, probe_read((char *)address_of(&ref) + PAGE_BYTES));
	EXPECT_EQ(0, dsm_return(self->dsm, &ref));
}

/* ---- what was not borrowed ---- */

TEST_F(misuse, return_of_what_was_not_borrowed)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref, old;

		ASSERT_TRUE(make(self->dsm, both[i], 5, &ref));
		EXPECT_EQ(-1, dsm_return_mut(self->dsm, &ref));
		EXPECT_EQ(EPERM, errno);
		ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &ref, 0));
		/* By another process, or on another node. */
		EXPECT_EQ(-EPERM, ask(&self->mate, return_mut_there, &ref, 0));
		EXPECT_EQ(-EPERM, ask(&self->peer, return_mut_there, &ref, 0));
		old = ref;
		EXPECT_EQ(0, dsm_return_mut(self->dsm, &ref));
		/* Twice, with the new handle and the old one. */
		EXPECT_EQ(-1, dsm_return_mut(self->dsm, &ref));
		EXPECT_EQ(EPERM, errno);
		EXPECT_EQ(-1, dsm_return_mut(self->dsm, &old));
		EXPECT_EQ(EPERM, errno);
		EXPECT_EQ(0, check(self->dsm, &ref, 5));
	}
	EXPECT_EQ(-1, dsm_return(self->dsm, &self->large));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-EPERM, ask(&self->peer, return_there, &self->large, 0));
}

/* Each end is for its kind of borrow. */
TEST_F(misuse, end_of_the_other_kind)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct dsm_ref ref, old;

		ASSERT_TRUE(make(self->dsm, both[i], 5, &ref));
		old = ref;
		ASSERT_NE(NULL, dsm_borrow(self->dsm, &ref));
		EXPECT_EQ(-1, dsm_return_mut(self->dsm, &ref));
		EXPECT_EQ(EPERM, errno);
		EXPECT_EQ(0, dsm_return(self->dsm, &ref));
		ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &ref, 0));
		EXPECT_EQ(-1, dsm_return(self->dsm, &ref));
		EXPECT_EQ(-EBUSY, ask(&self->peer, check_there, &ref, 5));
		EXPECT_EQ(0, dsm_return_mut(self->dsm, &ref));
		EXPECT_NE(old.version, ref.version);
		EXPECT_EQ(0, check(self->dsm, &ref, 5));
	}
}

TEST_F(misuse, freeze_of_what_cannot_be)
{
	struct dsm_ref ref = self->large;

	EXPECT_EQ(-1, dsm_freeze(self->dsm, &self->small));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(EPERM, errno);
	ASSERT_NE(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(-1, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, dsm_return(self->dsm, &ref));
	ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &ref, 0));
	EXPECT_EQ(0, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(-1, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(EROFS, errno);
	/* Frozen is for ever, and for all. */
	EXPECT_EQ(-EROFS, rewrite(self->dsm, &ref, 0, 0));
	EXPECT_EQ(-EROFS, drop(self->dsm, &ref));
	EXPECT_EQ(-EROFS, ask(&self->peer, write_there, &ref, 0));
	EXPECT_EQ(-EROFS, ask(&self->peer, drop_there, &ref, 0));
	EXPECT_EQ(-EROFS, rewrite(self->dsm, &self->large, 0, 0));
	EXPECT_EQ(0, check(self->dsm, &ref, 2));
	EXPECT_EQ(0, ask(&self->peer, check_there, &ref, 2));
}

TEST_F(misuse, flags_that_are_not)
{
	struct dsm_ref ref = self->small;

	for (unsigned int i = 0; i < 2; i++, ref = self->large) {
		EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &ref, 1));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &ref, 8));
		EXPECT_EQ(EINVAL, errno);
	}
	expect_intact(_metadata, self);
}

TEST_HARNESS_MAIN
