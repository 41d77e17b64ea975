// SPDX-License-Identifier: GPL-2.0-only
/* The memory for copies: its limit, eviction, and giving it back on request. */
#include <fcntl.h>
#include <pthread.h>

#include "harness.h"

#define OBJECT_BYTES (8 * TIGHT_CACHE_BYTES)
#define TIGHT_CACHE_PAGES (TIGHT_CACHE_BYTES / PAGE_BYTES)

struct walk {
	unsigned char *addr;
	uint64_t most_copies; /* seen on the way */
};

FIXTURE(cache)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker reader;
	struct walk *walk;
	unsigned int node; /* the reader's */
};

FIXTURE_VARIANT(cache)
{
	unsigned int node;
};

FIXTURE_VARIANT_ADD(cache, tight){
	.node = NODE_TIGHT,
};
FIXTURE_VARIANT_ADD(cache, plenty){
	.node = NODE_PEER,
};

FIXTURE_SETUP(cache)
{
	struct dsm_ref ref;

	regions_clear();
	region_name(self->region);
	self->node = variant->node;
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0, worker_start(&self->reader, self->node, self->region,
				  O_RDONLY));
	self->walk = self->reader.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	self->walk->addr = dsm_alloc(self->dsm, OBJECT_BYTES, &ref);
	ASSERT_NE(NULL, self->walk->addr);
	pattern_fill(self->walk->addr, OBJECT_BYTES, 3);
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
}

FIXTURE_TEARDOWN(cache)
{
	worker_stop(&self->reader);
	dsm_detach(self->dsm);
	regions_clear();
}

static uint64_t copies_of(struct dsm *dsm)
{
	return counter_now(dsm_node(dsm), DSM_COUNTER_GAUGE_COPIES);
}

static bool page_is_right(const struct walk *w, size_t page)
{
	const volatile uint64_t *word = (void *)(w->addr + page * PAGE_BYTES);
	size_t words = PAGE_BYTES / sizeof(*word);

	return word[0] == pattern_word(page * words, 3) &&
	       word[words - 1] == pattern_word(page * words + words - 1, 3);
}

/* Number of wrong pages. */
static long walk_forward(struct dsm *dsm, void *arg)
{
	struct walk *w = arg;
	long wrong = 0;

	for (size_t page = 0; page < OBJECT_BYTES / PAGE_BYTES; page++) {
		wrong += !page_is_right(w, page);
		if (page % 32 == 0) {
			uint64_t copies = copies_of(dsm);

			if (copies > w->most_copies)
				w->most_copies = copies;
		}
	}
	return wrong;
}

static void *walk_randomly(void *arg)
{
	struct walk *w = arg;
	uint32_t state = (uint32_t)(uintptr_t)&state | 1;
	uintptr_t wrong = 0;

	for (unsigned int i = 0; i < rounds(1500); i++)
		wrong += !page_is_right(w, next_random(&state) %
						   (OBJECT_BYTES / PAGE_BYTES));
	return (void *)wrong;
}

static long walk_in_threads(struct dsm *dsm, void *arg)
{
	struct walk *w = arg;
	pthread_t thread[4];
	long wrong = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		if (pthread_create(&thread[i], NULL, walk_randomly, w))
			return -EAGAIN;
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++) {
		void *result;

		pthread_join(thread[i], &result);
		wrong += (long)(uintptr_t)result;
	}
	w->most_copies = copies_of(dsm);
	return wrong;
}

static uint64_t limit(const FIXTURE_VARIANT(cache) * variant)
{
	return variant->node == NODE_TIGHT ? TIGHT_CACHE_PAGES
					   : CACHE_BYTES / PAGE_BYTES;
}

TEST_F(cache, content_is_right_and_the_limit_holds)
{
	struct counters before, c;

	ASSERT_EQ(0, counters_read(self->node, 0, &before));
	for (unsigned int i = 0; i < 2; i++) {
		EXPECT_EQ(0, worker_run(&self->reader, walk_forward));
		EXPECT_LT(0, self->walk->most_copies);
		EXPECT_GE(limit(variant), self->walk->most_copies);
	}
	c = counters_since(self->node, 0, &before);
	if (self->node == NODE_TIGHT) {
		EXPECT_LT(OBJECT_BYTES / PAGE_BYTES, COUNT(c, PAGES_FETCHED));
		EXPECT_LE(COUNT(c, PAGES_FETCHED) - TIGHT_CACHE_PAGES,
			  COUNT(c, PAGES_EVICTED));
	} else {
		/* It fits: the second walk found all of it. */
		EXPECT_EQ(OBJECT_BYTES / PAGE_BYTES, COUNT(c, PAGES_FETCHED));
		EXPECT_EQ(0, COUNT(c, PAGES_EVICTED));
	}
}

TEST_F(cache, threads_that_evict_each_others_pages_see_right_content)
{
	ASSERT_EQ(0, worker_post(&self->reader, walk_in_threads));
	EXPECT_EQ(0, worker_wait(&self->reader, 3 * WAIT_MS));
	EXPECT_GE(limit(variant), self->walk->most_copies);
}

TEST_F(cache, shrinker_gives_copies_back_and_they_come_again)
{
	struct counters before, c;

	ASSERT_EQ(0, worker_run(&self->reader, walk_forward));
	ASSERT_EQ(0, counters_read(self->node, 0, &before));
	/* Second chance: the first pass may only unmap. */
	for (unsigned int i = 0; i < 3; i++) {
		int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

		ASSERT_LE(0, fd);
		ASSERT_EQ(1, write(fd, "2", 1));
		close(fd);
	}
	c = counters_since(self->node, 0, &before);
	EXPECT_LT(0, COUNT(c, PAGES_EVICTED));
	EXPECT_EQ(before.v[DSM_COUNTER_GAUGE_COPIES] - COUNT(c, PAGES_EVICTED),
		  COUNT(c, GAUGE_COPIES));

	ASSERT_EQ(0, counters_read(self->node, 0, &before));
	EXPECT_EQ(0, worker_run(&self->reader, walk_forward));
	c = counters_since(self->node, 0, &before);
	EXPECT_LT(0, COUNT(c, PAGES_FETCHED));
}

TEST_F(cache, copies_end_with_the_region)
{
	ASSERT_EQ(0, worker_run(&self->reader, walk_forward));
	ASSERT_LT(0, counter_now(self->node, DSM_COUNTER_GAUGE_COPIES));
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	EXPECT_EQ(0, counter_now(self->node, DSM_COUNTER_GAUGE_COPIES));
}

TEST_HARNESS_MAIN
