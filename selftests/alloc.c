// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocating and freeing: sizes, full partitions, reuse of what was dropped here or
 * from afar, in other sizes too, and that no old handle ever names what is there now.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "borrow.h"

#define NODE_CHUNKS (NODE_MEMORY_BYTES / DSM_CHUNK_SIZE)
#define CHUNK_PAGES (DSM_CHUNK_SIZE / PAGE_BYTES)
#define PAGE_LINES (PAGE_BYTES / DSM_LINE_SIZE)
#define HEAP_REFS (2 * CHUNK_PAGES * PAGE_LINES)

FIXTURE(alloc)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer;
	struct exchange *x;
	struct dsm_ref *heap; /* shared with the peer */
	struct dsm_ref reserve; /* what is not to be filled */
};

static struct dsm_ref *const shared_heap = (struct dsm_ref *)SHARED_ADDR;

FIXTURE_SETUP(alloc)
{
	ASSERT_TRUE(shared_map(HEAP_REFS * sizeof(*shared_heap)));
	self->heap = shared_heap;
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->x = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(alloc)
{
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	dsm_region_remove(NODE_HOME, self->region);
}

TEST_F(alloc, every_size_is_rounded_up_and_zero)
{
	for (size_t bytes = 1; bytes <= 2 * PAGE_BYTES + 1; bytes += 61) {
		struct dsm_ref ref;
		void *p = dsm_alloc(self->dsm, bytes, &ref);
		size_t unit = bytes <= SMALL_MAX_BYTES ? DSM_LINE_SIZE
						       : PAGE_BYTES;

		ASSERT_NE(NULL, p);
		EXPECT_EQ(address_of(&ref), p);
		EXPECT_LE(bytes, ref.size);
		/* Size classes waste half of it at the most. */
		EXPECT_GT(2 * (bytes + unit), ref.size);
		EXPECT_EQ(0, ref.size % unit);
		EXPECT_EQ(0, ref.addr % unit);
		EXPECT_TRUE(is_zero(p, ref.size));
		EXPECT_EQ(NODE_HOME, dsm_home(self->dsm, p));
		memset(p, 0xff, ref.size);
		EXPECT_EQ(0, dsm_return_mut(self->dsm, &ref));
		/* Every other one is reused, and zero again. */
		if (bytes % 2)
			EXPECT_EQ(0, dsm_drop(self->dsm, &ref));
	}
}

TEST_F(alloc, size_that_cannot_be)
{
	struct dsm_ref ref = { .addr = 1 };

	EXPECT_EQ(NULL, dsm_alloc(self->dsm, 0, &ref));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, dsm_alloc(self->dsm, SIZE_MAX, &ref));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, dsm_alloc(self->dsm, NODE_MEMORY_BYTES + 1, &ref));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(1, ref.addr);
}

/* ---- versions ---- */

/* The last version seen on each line of the partition. */
struct history {
	uint64_t first;
	uint64_t *version;
};

static bool history_grows(struct history *h, const struct dsm_ref *ref)
{
	uint64_t *last = &h->version[(ref->addr - h->first) / DSM_LINE_SIZE];
	bool grows = version_of(ref) > *last;

	*last = version_of(ref);
	return grows;
}

TEST_F(alloc, versions_grow_for_ever)
{
	struct history h = {
		.first = 0,
		.version = calloc(NODE_MEMORY_BYTES / DSM_LINE_SIZE,
				  sizeof(*h.version)),
	};
	struct dsm_ref refs[64] = { { 0 } };
	uint32_t random = 5;

	ASSERT_NE(NULL, h.version);
	for (unsigned int i = 0; i < rounds(5000); i++) {
		struct dsm_ref *ref = &refs[next_random(&random) % 64];
		size_t bytes = next_random(&random) % (SMALL_MAX_BYTES + 500);

		if (ref->addr) {
			ASSERT_EQ(0, rewrite(self->dsm, ref, 0, i));
			EXPECT_TRUE(history_grows(&h, ref));
			ASSERT_EQ(0, drop(self->dsm, ref));
			EXPECT_EQ(0, ref->addr | ref->version | ref->size);
			continue;
		}
		ASSERT_NE(NULL, dsm_alloc(self->dsm, bytes + 1, ref));
		if (!h.first)
			h.first = ref->addr & ~((1ULL << 30) - 1);
		EXPECT_TRUE(history_grows(&h, ref));
		ASSERT_EQ(0, dsm_return_mut(self->dsm, ref));
		EXPECT_TRUE(history_grows(&h, ref));
	}
	free(h.version);
}

/* ---- full partitions ---- */

/* All but @chunks chunks. */
static bool reserve(FIXTURE_DATA(alloc) * self, unsigned int chunks)
{
	return dsm_alloc(self->dsm, (NODE_CHUNKS - chunks) * DSM_CHUNK_SIZE,
			 &self->reserve) &&
	       dsm_return_mut(self->dsm, &self->reserve) == 0;
}

/* Objects of @bytes until there is no room.  How many, or a negative errno. */
static long fill(struct dsm *dsm, struct dsm_ref *refs, size_t bytes)
{
	unsigned int n = 0;

	while (n < HEAP_REFS && make(dsm, bytes, n, &refs[n]))
		n++;
	return n < HEAP_REFS && errno == ENOSPC ? (long)n : -errno;
}

static long drop_heap(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	for (unsigned int i = 0; i < x->n; i++) {
		struct dsm_ref ref = shared_heap[i];

		if (dsm_drop(dsm, &ref))
			return -errno;
	}
	return 0;
}

static bool drop_from_afar(FIXTURE_DATA(alloc) * self, unsigned int n)
{
	uint64_t before = counter_now(NODE_PEER, DSM_COUNTER_ATOMICS);

	self->x->n = n;
	return !worker_post(&self->peer, drop_heap) &&
	       !worker_wait(&self->peer, 4 * WAIT_MS) &&
	       atomics_wait(NODE_PEER, before, n);
}

TEST_F_TIMEOUT(alloc, what_was_dropped_is_used_again_in_other_sizes, 600)
{
	/* Lines: of a size class each, so that nothing is rounded up. */
	static const unsigned int lines[] = { 63, 5, 21, 10, 32, 3, 16, 63 };
	/* A drop from another guest takes about a millisecond. */
	unsigned int nr = guests() > 1 ? 5 : sizeof(lines) / sizeof(*lines);
	struct dsm_ref old[20] = { { 0 } };
	bool far = false;

	ASSERT_TRUE(reserve(self, 1));
	for (unsigned int i = 0; i < nr; i++) {
		unsigned int want = CHUNK_PAGES * (PAGE_LINES / lines[i]);
		long n = fill(self->dsm, self->heap, lines[i] * DSM_LINE_SIZE);

		EXPECT_EQ(want, n)
		{
			TH_LOG("%u lines", lines[i]);
		}
		ASSERT_LT(0, n);
		/* Nothing larger, and nothing smaller. */
		EXPECT_EQ(NULL, dsm_alloc(self->dsm, 1, &self->x->ref));
		EXPECT_EQ(ENOSPC, errno);
		for (unsigned int k = 0; k < 20 && i; k++) {
			struct dsm_ref copy = old[k];

			/* Here. */
			EXPECT_EQ(-ESTALE, check(self->dsm, &copy, 0));
			EXPECT_EQ(-ESTALE, rewrite(self->dsm, &copy, 0, 0));
			EXPECT_EQ(-ESTALE, drop(self->dsm, &copy));
			EXPECT_EQ(0, memcmp(&copy, &old[k], sizeof(copy)));
			/* From afar, where it is not cached. */
			EXPECT_EQ(-ESTALE,
				  ask(&self->peer, check_there, &copy, 0));
			EXPECT_EQ(-ESTALE, ask_calmly(&self->peer, write_there,
						      &copy, 0));
			EXPECT_EQ(0, ask_calmly(&self->peer, drop_there, &copy,
						0));
		}
		usleep(10000);
		for (long k = 0; k < n; k++)
			ASSERT_EQ(0, check(self->dsm, &self->heap[k], k));
		for (unsigned int k = 0; k < 20; k++)
			old[k] = self->heap[k * n / 20];
		if (far)
			ASSERT_TRUE(drop_from_afar(self, n));
		for (long k = 0; k < n && !far; k++)
			ASSERT_EQ(0, drop(self->dsm, &self->heap[k]));
		far = !far;
	}
}

TEST_F_TIMEOUT(alloc, a_chunk_of_single_lines_is_dropped_from_afar, 600)
{
	long n, again;

	ASSERT_TRUE(reserve(self, 1));
	/* A quarter of it, but under stress. */
	n = fill(self->dsm, self->heap, rounds(1) > 1 ? 64 : 256);
	ASSERT_LT(0, n);
	ASSERT_TRUE(drop_from_afar(self, n));
	again = fill(self->dsm, self->heap, rounds(1) > 1 ? 64 : 256);
	EXPECT_EQ(n, again);
	for (long k = 0; k < again; k++)
		ASSERT_EQ(0, check(self->dsm, &self->heap[k], k));
}

TEST_F(alloc, large_objects_dropped_from_afar_are_used_again)
{
	struct dsm_ref old;
	void *p;

	for (unsigned int i = 0; i < 3; i++) {
		uint64_t before = counter_now(NODE_PEER, DSM_COUNTER_ATOMICS);
		long n = fill(self->dsm, self->heap, 2 * DSM_CHUNK_SIZE);

		EXPECT_EQ(NODE_CHUNKS / 2, n);
		ASSERT_LT(1, n);
		for (long k = 0; k < n; k++)
			ASSERT_EQ(0, check(self->dsm, &self->heap[k], k));
		old = self->heap[1];
		self->x->n = n;
		ASSERT_EQ(0, worker_run(&self->peer, drop_heap));
		ASSERT_TRUE(atomics_wait(NODE_PEER, before, n));
	}
	/* And as one. */
	p = dsm_alloc(self->dsm, NODE_MEMORY_BYTES, &self->reserve);
	ASSERT_NE(NULL, p);
	EXPECT_TRUE(is_zero(p, PAGE_BYTES));
	EXPECT_TRUE(is_zero((char *)p + DSM_CHUNK_SIZE, PAGE_BYTES));
	EXPECT_EQ(-ESTALE, check(self->dsm, &old, 1));
	EXPECT_EQ(-ESTALE, rewrite(self->dsm, &old, 0, 1));
	EXPECT_EQ(-ESTALE, drop(self->dsm, &old));
	EXPECT_EQ(-ESTALE, ask(&self->peer, check_there, &old, 1));
	EXPECT_EQ(-ESTALE, ask(&self->peer, write_there, &old, 1));
	EXPECT_EQ(0, dsm_return_mut(self->dsm, &self->reserve));
}

TEST_F(alloc, large_pages_are_reused_at_every_size)
{
	ASSERT_TRUE(reserve(self, 1));
	for (unsigned int pages = 1; pages <= CHUNK_PAGES; pages *= 2) {
		long n = fill(self->dsm, self->heap, pages * PAGE_BYTES);

		EXPECT_EQ(CHUNK_PAGES / pages, n);
		for (long k = 0; k < n; k++) {
			struct dsm_ref old = self->heap[k];

			ASSERT_EQ(0, check(self->dsm, &old, k));
			ASSERT_EQ(0, drop(self->dsm, &self->heap[k]));
			EXPECT_EQ(-ESTALE, check(self->dsm, &old, k));
		}
	}
}

/* Objects of a page each fill one chunk before they get another. */
TEST_F(alloc, memory_is_added_when_it_is_needed)
{
	uint64_t before = counter_now(NODE_HOME, DSM_COUNTER_CHUNKS_POPULATED);

	for (unsigned int i = 0; i < 2 * CHUNK_PAGES; i++) {
		struct dsm_ref ref;

		ASSERT_TRUE(make(self->dsm, SMALL_MAX_BYTES, i, &ref));
		EXPECT_EQ(1 + i / CHUNK_PAGES,
			  counter_now(NODE_HOME, DSM_COUNTER_CHUNKS_POPULATED) -
				  before);
	}
}

/* ---- on another node ---- */

static void expect_zero_and_free(struct __test_metadata *_metadata,
				 struct dsm *dsm, struct dsm_ref *ref)
{
	const void *p = dsm_borrow(dsm, ref);

	ASSERT_NE(NULL, p);
	EXPECT_TRUE(is_zero(p, ref->size));
	EXPECT_EQ(0, dsm_return(dsm, ref));
	EXPECT_EQ(0, rewrite(dsm, ref, 0, 9));
	EXPECT_EQ(NODE_HOME, dsm_home(dsm, address_of(ref)));
	EXPECT_EQ(0, check(dsm, ref, 9));
	EXPECT_EQ(0, drop(dsm, ref));
}

TEST_F(alloc, on_each_node)
{
	static const size_t sizes[] = { 1,
					64,
					1000,
					SMALL_MAX_BYTES,
					SMALL_MAX_BYTES + 1,
					PAGE_BYTES,
					DSM_CHUNK_SIZE + 1 };

	/* Nobody is attached on the last one. */
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes);
		     i++) {
			struct dsm_ref ref;

			ASSERT_EQ(0, dsm_alloc_on(self->dsm, node, sizes[i],
						  &ref));
			EXPECT_LE(sizes[i], ref.size);
			EXPECT_EQ(node, dsm_home(self->dsm, address_of(&ref)));
			expect_zero_and_free(_metadata, self->dsm, &ref);
		}
	}
}

TEST_F(alloc, many_on_a_peer_are_apart_from_its_own)
{
	self->x->bytes = 128;
	for (uint32_t i = 0; i < 200; i++) {
		if (i % 2) {
			ASSERT_EQ(0, dsm_alloc_on(self->dsm, NODE_PEER, 128,
						  &self->heap[i]));
			ASSERT_EQ(0, ask(&self->peer, write_there,
					 &self->heap[i], i));
		} else {
			self->x->seed = i;
			ASSERT_EQ(0, worker_run(&self->peer, make_there));
		}
		self->heap[i] = self->x->ref;
	}
	for (uint32_t i = 0; i < 200; i++)
		EXPECT_EQ(0, check(self->dsm, &self->heap[i], i));
}

TEST_F(alloc, on_a_node_that_is_not)
{
	struct dsm_ref ref = { .addr = 1 };

	EXPECT_EQ(-1, dsm_alloc_on(self->dsm, NODE_UNKNOWN, 64, &ref));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, dsm_alloc_on(self->dsm, DSM_MAX_NODES, 64, &ref));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, dsm_alloc_on(self->dsm, DSM_NODE_ANY, 64, &ref));
	EXPECT_EQ(ENOENT, errno);
	for (unsigned int node = NODE_HOME; node <= NODE_PEER; node++) {
		EXPECT_EQ(-1, dsm_alloc_on(self->dsm, node, 0, &ref));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, dsm_alloc_on(self->dsm, node, SIZE_MAX, &ref));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, dsm_alloc_on(self->dsm, node,
					   NODE_MEMORY_BYTES + 1, &ref));
		EXPECT_EQ(ENOSPC, errno);
	}
	EXPECT_EQ(1, ref.addr);
}

TEST_F(alloc, on_a_full_node)
{
	struct dsm_ref ref;

	for (unsigned int node = NODE_HOME; node <= NODE_PEER; node++) {
		ASSERT_EQ(0, dsm_alloc_on(self->dsm, node, NODE_MEMORY_BYTES,
					  &self->reserve));
		EXPECT_EQ(-1, dsm_alloc_on(self->dsm, node, 64, &ref));
		EXPECT_EQ(ENOSPC, errno);
		EXPECT_EQ(-1, dsm_alloc_on(self->dsm, node, PAGE_BYTES, &ref));
		EXPECT_EQ(ENOSPC, errno);
		EXPECT_EQ(0, drop(self->dsm, &self->reserve));
		while (dsm_alloc_on(self->dsm, node, PAGE_BYTES, &ref))
			ASSERT_EQ(ENOSPC, errno);
	}
}

TEST_F(alloc, reader_cannot)
{
	struct worker reader;
	struct dsm_ref ref;

	ASSERT_EQ(0, worker_start(&reader, NODE_PEER, self->region, O_RDONLY));
	((struct exchange *)reader.arg)->bytes = 64;
	EXPECT_EQ(-EACCES, worker_run(&reader, make_there));
	((struct exchange *)reader.arg)->bytes = PAGE_BYTES;
	EXPECT_EQ(-EACCES, worker_run(&reader, make_there));
	for (size_t bytes = 64; bytes <= PAGE_BYTES;
	     bytes = bytes * PAGE_BYTES / 64) {
		ASSERT_TRUE(make(self->dsm, bytes, 3, &ref));
		EXPECT_EQ(0, ask(&reader, check_there, &ref, 3));
		EXPECT_EQ(-EACCES, ask(&reader, write_there, &ref, 3));
		EXPECT_EQ(-EACCES, ask(&reader, drop_there, &ref, 3));
		EXPECT_EQ(0, check(self->dsm, &ref, 3));
		/* Of its own node. */
		self->x->bytes = bytes;
		self->x->seed = 4;
		ASSERT_EQ(0, worker_run(&self->peer, make_there));
		EXPECT_EQ(0, ask(&reader, check_there, &self->x->ref, 4));
		EXPECT_EQ(-EACCES, ask(&reader, write_there, &self->x->ref, 4));
		EXPECT_EQ(-EACCES, ask(&reader, drop_there, &self->x->ref, 4));
		EXPECT_EQ(0, check(self->dsm, &self->x->ref, 4));
	}
	worker_stop(&reader);
}

/* ---- no room for what would move here ---- */

TEST_F(alloc, full_node_cannot_take_a_move)
{
	static const size_t sizes[] = { 64, SMALL_MAX_BYTES, PAGE_BYTES,
					DSM_CHUNK_SIZE + 1 };
	struct dsm_ref kept[4];
	unsigned int n;

	/* Memory of large objects is not used for small ones, nor the reverse. */
	ASSERT_TRUE(reserve(self, 1));
	n = fill(self->dsm, self->heap, SMALL_MAX_BYTES);
	ASSERT_EQ(CHUNK_PAGES, n);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct dsm_ref ref, copy;

		self->x->bytes = sizes[i];
		self->x->seed = i;
		ASSERT_EQ(0, worker_run(&self->peer, make_there));
		ref = copy = self->x->ref;
		EXPECT_EQ(-ENOSPC, rewrite(self->dsm, &copy, 0, 1));
		EXPECT_EQ(-ENOSPC, rewrite(self->dsm, &copy, DSM_DISCARD, 1));
		EXPECT_EQ(0, memcmp(&ref, &copy, sizeof(ref)));
		/* It stayed where it is, for everybody. */
		EXPECT_EQ(0, check(self->dsm, &ref, i));
		EXPECT_EQ(0, ask(&self->peer, check_there, &ref, i));
		EXPECT_EQ(0, ask(&self->peer, write_there, &ref, 10 + i));
		kept[i] = self->x->ref;
	}
	ASSERT_EQ(0, drop(self->dsm, &self->reserve));
	for (unsigned int i = 0; i < 4; i++)
		ASSERT_EQ(0, drop(self->dsm, &self->heap[i]));
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		EXPECT_EQ(0, check(self->dsm, &kept[i], 10 + i));
		EXPECT_EQ(0, rewrite(self->dsm, &kept[i], 0, 20 + i));
		EXPECT_EQ(0, check(self->dsm, &kept[i], 20 + i));
	}
}

/* ---- threads and processes of one node ---- */

#define CROWD_THREADS 3
#define CROWD_KEEPS 100

struct member {
	struct dsm *dsm;
	uint32_t random;
	unsigned int n;
	long wrong;
};

static void *live(void *arg)
{
	struct dsm_ref refs[CROWD_KEEPS] = { { 0 } };
	uint32_t seeds[CROWD_KEEPS] = { 0 };
	struct member *m = arg;

	for (unsigned int i = 0; i < m->n && !m->wrong; i++) {
		unsigned int k = next_random(&m->random) % CROWD_KEEPS;
		struct dsm_ref *ref = &refs[k];
		uint32_t seed = next_random(&m->random);

		if (!ref->addr) {
			if (!make(m->dsm, 1 + seed % 700, seed, ref))
				m->wrong = -errno;
			seeds[k] = seed;
		} else if (seed % 3 == 0) {
			m->wrong = check(m->dsm, ref, seeds[k]);
		} else if (seed % 3 == 1) {
			m->wrong = check(m->dsm, ref, seeds[k])
					   ?: rewrite(m->dsm, ref, 0, seed);
			seeds[k] = seed;
		} else {
			m->wrong = check(m->dsm, ref, seeds[k])
					   ?: drop(m->dsm, ref);
		}
	}
	for (unsigned int k = 0; k < CROWD_KEEPS && !m->wrong; k++)
		if (refs[k].addr)
			m->wrong = check(m->dsm, &refs[k], seeds[k]);
	return NULL;
}

static long live_there(struct dsm *dsm, void *arg)
{
	struct member members[CROWD_THREADS];
	pthread_t thread[CROWD_THREADS];
	struct exchange *x = arg;
	long wrong = 0;

	for (unsigned int i = 0; i < CROWD_THREADS; i++) {
		members[i] = (struct member){
			.dsm = dsm,
			.random = x->seed + i,
			.n = x->n,
		};
		if (pthread_create(&thread[i], NULL, live, &members[i]))
			return -EAGAIN;
	}
	for (unsigned int i = 0; i < CROWD_THREADS; i++) {
		pthread_join(thread[i], NULL);
		wrong = wrong ?: members[i].wrong;
	}
	return wrong;
}

TEST_F(alloc, threads_of_processes_do_not_get_in_each_others_way)
{
	struct worker w[3];

	for (unsigned int i = 0; i < 3; i++) {
		struct exchange *x;

		ASSERT_EQ(0,
			  worker_start(&w[i], NODE_HOME, self->region, O_RDWR));
		x = w[i].arg;
		x->seed = 1 + 100 * i;
		x->n = rounds(5000);
	}
	for (unsigned int i = 0; i < 3; i++)
		ASSERT_EQ(0, worker_post(&w[i], live_there));
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(0, worker_wait(&w[i], 3 * WAIT_MS));
	for (unsigned int i = 0; i < 3; i++)
		worker_stop(&w[i]);
}

TEST_HARNESS_MAIN
