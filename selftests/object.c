// SPDX-License-Identifier: GPL-2.0-only
/* Large objects at home: allocation, handles, freeing, freezing. */
#include <fcntl.h>
#include <pthread.h>

#include "harness.h"

#define MIB (1UL << 20)

FIXTURE(object)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker other; /* a second process of the same node */
};

FIXTURE_SETUP(object)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->other, NODE_HOME, self->region, O_RDWR));
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(object)
{
	worker_stop(&self->other);
	dsm_detach(self->dsm);
	regions_clear();
}

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

TEST_F(object, any_size_is_aligned_zeroed_and_at_home)
{
	static const size_t size[] = { 1,	4095,	     4096,   4097,
				       2 * MIB, 2 * MIB + 1, 5 * MIB };

	for (unsigned int i = 0; i < ARRAY_SIZE(size); i++) {
		size_t bytes = whole_pages(size[i]);
		struct dsm_ref ref;
		unsigned char *p = dsm_alloc(self->dsm, size[i], &ref);

		ASSERT_NE(NULL, p) TH_LOG("%zu bytes", size[i]);
		EXPECT_EQ((uintptr_t)p, ref.addr);
		EXPECT_EQ(0, ref.addr % PAGE_BYTES);
		EXPECT_EQ(bytes, whole_pages(ref.size));
		EXPECT_EQ(NODE_HOME, dsm_home(self->dsm, p));
		EXPECT_EQ(NODE_HOME, dsm_home(self->dsm, p + bytes - 1));
		EXPECT_TRUE(is_zero(p, bytes));
		/* Dirty for the next one, which must not see it. */
		memset(p, 0xff, bytes);
		EXPECT_EQ(0, object_drop(self->dsm, &ref));
	}
}

TEST_F(object, memory_is_zero_again_after_a_free)
{
	for (unsigned int i = 0; i < rounds(16); i++) {
		struct dsm_ref ref;
		unsigned char *p = dsm_alloc(self->dsm, 4 * PAGE_BYTES, &ref);

		ASSERT_NE(NULL, p);
		ASSERT_TRUE(is_zero(p, 4 * PAGE_BYTES));
		memset(p, 0xff, 4 * PAGE_BYTES);
		ASSERT_EQ(0, object_drop(self->dsm, &ref));
	}
}

TEST_F(object, zero_and_overflowing_sizes_are_EINVAL)
{
	static const size_t size[] = { 0, SIZE_MAX, SIZE_MAX - 4094,
				       SIZE_MAX - 4095, 1UL << 63 };

	for (unsigned int i = 0; i < ARRAY_SIZE(size); i++) {
		struct dsm_ref ref;

		EXPECT_EQ(NULL, dsm_alloc(self->dsm, size[i], &ref));
		EXPECT_EQ(EINVAL, errno) TH_LOG("size %#zx", size[i]);
	}
}

TEST_F(object, more_than_the_partition_is_ENOSPC_and_takes_nothing)
{
	uint64_t chunks = counter_now(NODE_HOME, DSM_COUNTER_GAUGE_CHUNKS);
	struct dsm_ref ref;

	EXPECT_EQ(NULL, dsm_alloc(self->dsm, NODE_MEMORY_BYTES + 1, &ref));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(NULL, dsm_alloc(self->dsm, 64UL << 30, &ref));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(chunks, counter_now(NODE_HOME, DSM_COUNTER_GAUGE_CHUNKS));
}

TEST_F(object, full_partition_is_ENOSPC_and_usable_after_freeing)
{
	static const size_t size[] = { 2 * MIB, 64 << 10 };
	struct dsm_ref *refs =
		calloc(NODE_MEMORY_BYTES / size[1] + 1, sizeof(*refs));

	ASSERT_NE(NULL, refs);
	for (unsigned int i = 0; i < ARRAY_SIZE(size); i++) {
		size_t most = NODE_MEMORY_BYTES / size[i];
		size_t first = 0;

		for (unsigned int pass = 0; pass < 2; pass++) {
			size_t n = 0;

			while (n <= most &&
			       dsm_alloc(self->dsm, size[i], &refs[n]))
				n++;
			EXPECT_EQ(ENOSPC, errno);
			/* What the node keeps for itself is not much. */
			EXPECT_GE(most, n);
			EXPECT_LE(most * 3 / 4, n);
			if (pass)
				EXPECT_EQ(first, n);
			first = n;
			while (n--)
				ASSERT_EQ(0, object_drop(self->dsm, &refs[n]));
		}
	}
	free(refs);
}

TEST_F(object, freed_memory_is_SIGSEGV)
{
	struct dsm_ref ref;
	unsigned char *p = dsm_alloc(self->dsm, 3 * PAGE_BYTES, &ref);

	ASSERT_NE(NULL, p);
	memset(p, 1, 3 * PAGE_BYTES);
	ASSERT_EQ(0, object_drop(self->dsm, &ref));
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(SIGSEGV, probe_read(p + i * PAGE_BYTES));
		EXPECT_EQ(SIGSEGV, probe_write(p + i * PAGE_BYTES, 1));
	}
}

struct span {
	void *addr;
	size_t bytes;
};

/* Number of pages whose read, or write, raises SIGSEGV. */
static long count_segv(struct dsm *dsm, void *arg)
{
	const struct span *s = arg;
	long n = 0;

	(void)dsm;
	for (size_t i = 0; i < s->bytes; i += PAGE_BYTES)
		n += probe_read((char *)s->addr + i) == SIGSEGV;
	return n;
}

static long count_segv_on_write(struct dsm *dsm, void *arg)
{
	const struct span *s = arg;
	long n = 0;

	(void)dsm;
	for (size_t i = 0; i < s->bytes; i += PAGE_BYTES)
		n += probe_write((char *)s->addr + i, 7) == SIGSEGV;
	return n;
}

TEST_F(object, double_drop_is_ESTALE)
{
	struct dsm_ref ref, copy;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, PAGE_BYTES, &ref));
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &ref));
	copy = ref;
	ASSERT_EQ(0, dsm_drop(self->dsm, &ref));
	EXPECT_EQ(0, ref.addr);
	ref = copy;
	EXPECT_EQ(-1, dsm_drop(self->dsm, &ref));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(0, memcmp(&copy, &ref, sizeof(ref)));
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(ESTALE, errno);
}

TEST_F(object, address_and_version_never_come_again)
{
	struct dsm_ref seen[64], ref;
	unsigned int n = 0;

	for (unsigned int i = 0; i < rounds(ARRAY_SIZE(seen)); i++) {
		/* Sizes vary, so that pages are carved anew. */
		ASSERT_NE(NULL,
			  dsm_alloc(self->dsm, (1 + i % 3) * PAGE_BYTES, &ref));
		for (unsigned int j = 0; j < n; j++)
			if (seen[j].addr == ref.addr)
				EXPECT_LT(seen[j].version &
						  DSM_WORD_VERSION_MASK,
					  ref.version & DSM_WORD_VERSION_MASK);
		seen[i % ARRAY_SIZE(seen)] = ref;
		if (n < ARRAY_SIZE(seen))
			n++;
		ASSERT_EQ(0, object_drop(self->dsm, &ref));
	}
}

static long alloc_page(struct dsm *dsm, void *arg)
{
	return dsm_alloc(dsm, PAGE_BYTES, arg) ? dsm_return_mut(dsm, arg)
					       : -errno;
}

FIXTURE(handle)
{
	char region[DSM_NAME_BYTES];
	char second[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker stranger; /* same node, another region */
	struct worker peer; /* same region, another node */
	struct dsm_ref good; /* of two pages: what the call would take */
};

enum prepared { BORROWED, LIVE, FROZEN };

FIXTURE_VARIANT(handle)
{
	int (*use)(struct dsm * dsm, const struct dsm_ref *ref);
	enum prepared prepared;
	int wrong; /* what a handle of something else is, */
	int strangers; /* of another region, */
	int far; /* of another node */
};

static int use_borrow(struct dsm *dsm, const struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return errno;
	return dsm_return(dsm, ref) ? errno : 0;
}

static int use_borrow_mut(struct dsm *dsm, const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;

	if (!dsm_borrow_mut(dsm, &copy, 0))
		return errno;
	return dsm_return_mut(dsm, &copy) ? errno : 0;
}

static int use_return_mut(struct dsm *dsm, const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;

	return dsm_return_mut(dsm, &copy) ? errno : 0;
}

static int use_drop(struct dsm *dsm, const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;

	return dsm_drop(dsm, &copy) ? errno : 0;
}

static int use_freeze(struct dsm *dsm, const struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;

	return dsm_freeze(dsm, &copy) ? errno : 0;
}

static int use_publish(struct dsm *dsm, const struct dsm_ref *ref)
{
	return dsm_publish(dsm, "name", ref) ? errno : 0;
}

FIXTURE_VARIANT_ADD(handle, borrow){
	.use = use_borrow,
	.prepared = LIVE,
	.wrong = ESTALE,
	.strangers = EACCES,
};
FIXTURE_VARIANT_ADD(handle, borrow_mut){
	.use = use_borrow_mut,
	.prepared = LIVE,
	.wrong = ESTALE,
	.strangers = EACCES,
};
FIXTURE_VARIANT_ADD(handle, return_mut){
	.use = use_return_mut,
	.prepared = BORROWED,
	.wrong = EPERM,
	.strangers = EPERM,
	.far = EPERM,
};
FIXTURE_VARIANT_ADD(handle, drop){
	.use = use_drop,
	.prepared = LIVE,
	.wrong = ESTALE,
	.strangers = EACCES,
};
FIXTURE_VARIANT_ADD(handle, freeze){
	.use = use_freeze,
	.prepared = BORROWED,
	.wrong = EPERM,
	.strangers = EPERM,
	.far = EPERM,
};
FIXTURE_VARIANT_ADD(handle, publish){
	.use = use_publish,
	.prepared = FROZEN,
	.wrong = ESTALE,
	.strangers = EACCES,
};

FIXTURE_SETUP(handle)
{
	regions_clear();
	region_name(self->region);
	region_name(self->second);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->second, 0600));
	ASSERT_EQ(0, worker_start(&self->stranger, NODE_HOME, self->second,
				  O_RDWR));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	ASSERT_NE(NULL, dsm_alloc(self->dsm, 2 * PAGE_BYTES, &self->good));
	if (variant->prepared == FROZEN)
		ASSERT_EQ(0, dsm_freeze(self->dsm, &self->good));
	if (variant->prepared == LIVE)
		ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->good));
}

FIXTURE_TEARDOWN(handle)
{
	/* Nothing that was refused has changed anything. */
	EXPECT_EQ(0, variant->use(self->dsm, &self->good));
	worker_stop(&self->stranger);
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	regions_clear();
}

TEST_F(handle, other_version_is_refused)
{
	struct dsm_ref bad = self->good;

	bad.version++;
	EXPECT_EQ(variant->wrong, variant->use(self->dsm, &bad));
	bad.version -= 2;
	EXPECT_EQ(variant->wrong, variant->use(self->dsm, &bad));
	/* These no object ever has. */
	bad.version = 0;
	EXPECT_EQ(EINVAL, variant->use(self->dsm, &bad));
	bad.version = UINT64_MAX;
	EXPECT_EQ(EINVAL, variant->use(self->dsm, &bad));
}

TEST_F(handle, other_size_is_refused)
{
	struct dsm_ref bad = self->good;

	bad.size += PAGE_BYTES;
	EXPECT_EQ(variant->wrong, variant->use(self->dsm, &bad));
	bad.size = PAGE_BYTES;
	EXPECT_EQ(variant->wrong, variant->use(self->dsm, &bad));
}

TEST_F(handle, unaligned_address_is_EINVAL)
{
	struct dsm_ref bad = self->good;

	bad.addr++;
	EXPECT_EQ(EINVAL, variant->use(self->dsm, &bad));
	bad.addr += DSM_LINE_SIZE / 2;
	EXPECT_EQ(EINVAL, variant->use(self->dsm, &bad));
}

TEST_F(handle, address_inside_an_object_is_refused)
{
	struct dsm_ref bad = self->good;

	bad.addr += PAGE_BYTES;
	bad.size = PAGE_BYTES;
	EXPECT_EQ(variant->wrong, variant->use(self->dsm, &bad));
}

TEST_F(handle, address_outside_the_range_is_ERANGE)
{
	const struct dsm_ref good = self->good;
	struct dsm_ref bad = good;

	bad.addr = 0;
	EXPECT_EQ(ERANGE, variant->use(self->dsm, &bad));
	bad.addr = 0x200000000000UL - PAGE_BYTES;
	EXPECT_EQ(ERANGE, variant->use(self->dsm, &bad));
	bad.addr = 0x200000000000UL + (32UL << 40);
	EXPECT_EQ(ERANGE, variant->use(self->dsm, &bad));
	bad.addr = -PAGE_BYTES;
	EXPECT_EQ(ERANGE, variant->use(self->dsm, &bad));
	/* Begins inside and leaves it. */
	bad.addr = good.addr;
	bad.size = -PAGE_BYTES;
	EXPECT_EQ(ERANGE, variant->use(self->dsm, &bad));
}

TEST_F(handle, object_of_another_region_is_refused)
{
	const struct dsm_ref *theirs = self->stranger.arg;

	ASSERT_EQ(0, worker_run(&self->stranger, alloc_page));
	EXPECT_EQ(variant->strangers, variant->use(self->dsm, theirs));
}

TEST_F(handle, object_of_another_node_is_used_where_that_is_allowed)
{
	const struct dsm_ref *theirs = self->peer.arg;

	ASSERT_EQ(0, worker_run(&self->peer, alloc_page));
	EXPECT_EQ(variant->far, variant->use(self->dsm, theirs));
	if (variant->use == use_publish)
		EXPECT_EQ(0, dsm_take(self->dsm, "name", 0,
				      &(struct dsm_ref){ 0 }));
}

TEST_F(object, frozen_handle_names_a_frozen_word)
{
	struct dsm_ref ref, live;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, PAGE_BYTES, &live));
	ref = live;
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(live.addr, ref.addr);
	EXPECT_EQ(live.size, ref.size);
	EXPECT_NE(live.version, ref.version);
	EXPECT_EQ(DSM_STATE_FROZEN, ref.version >> DSM_WORD_STATE_SHIFT);
}

TEST_F(object, frozen_object_is_EROFS)
{
	struct dsm_ref ref, again;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, PAGE_BYTES, &ref));
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	again = ref;
	EXPECT_EQ(-1, dsm_freeze(self->dsm, &again));
	EXPECT_EQ(EROFS, errno);
	again = ref;
	EXPECT_EQ(-1, dsm_drop(self->dsm, &again));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &again, 0));
	EXPECT_EQ(EROFS, errno);
	/* A shared borrow of it is nothing, but allowed. */
	EXPECT_NE(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(0, dsm_return(self->dsm, &ref));
}

TEST_F(object, handle_from_before_the_freeze_is_refused)
{
	struct dsm_ref ref, live;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, PAGE_BYTES, &live));
	ref = live;
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, &live));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &live, 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, dsm_drop(self->dsm, &live));
	EXPECT_EQ(EROFS, errno);
}

TEST_F(object, frozen_object_keeps_content_and_refuses_stores_everywhere)
{
	const size_t bytes = 5 * MIB;
	struct span *s = self->other.arg;
	unsigned char *p, *before, *after;
	struct dsm_ref ref, neighbour;

	before = dsm_alloc(self->dsm, PAGE_BYTES, &neighbour);
	p = dsm_alloc(self->dsm, bytes, &ref);
	after = dsm_alloc(self->dsm, PAGE_BYTES, &neighbour);
	ASSERT_TRUE(before && p && after);
	*s = (struct span){ p, bytes };
	/* Every page is mapped writable here, and none in the other process. */
	pattern_fill(p, bytes, 1);
	ASSERT_EQ(bytes / PAGE_BYTES, worker_run(&self->other, count_segv));

	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(bytes / PAGE_BYTES, count_segv_on_write(self->dsm, s));
	EXPECT_EQ(bytes / PAGE_BYTES,
		  worker_run(&self->other, count_segv_on_write));
	EXPECT_EQ(0, worker_run(&self->other, count_segv));
	EXPECT_EQ(-1, pattern_check(p, bytes, 1));
	EXPECT_EQ(0, probe_write(before, 1));
	EXPECT_EQ(0, probe_write(after, 1));
}

struct churn {
	struct dsm *dsm;
	uint32_t seed;
	int error;
};

static void *churn_thread(void *arg)
{
	struct churn *c = arg;
	uint32_t state = c->seed;

	for (unsigned int i = 0; i < rounds(100) && !c->error; i++) {
		size_t bytes = (1 + next_random(&state) % 24) * PAGE_BYTES;
		struct dsm_ref ref;
		unsigned char *p = dsm_alloc(c->dsm, bytes, &ref);

		if (!p) {
			c->error = errno;
			break;
		}
		if (!is_zero(p, bytes))
			c->error = 1000;
		pattern_fill(p, bytes, c->seed);
		if (pattern_check(p, bytes, c->seed) >= 0)
			c->error = 1001;
		if (object_drop(c->dsm, &ref))
			c->error = errno;
	}
	return NULL;
}

TEST_F(object, concurrent_allocations_never_overlap)
{
	struct churn c[4];
	pthread_t thread[ARRAY_SIZE(c)];

	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		c[i] = (struct churn){ self->dsm, i + 1, 0 };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, churn_thread,
					    &c[i]));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(0, c[i].error);
	}
}

TEST_HARNESS_MAIN
