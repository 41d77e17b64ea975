// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a fault costs.  Every claim is an exact difference of the kernel's
 * counters: the region's for what is done for its pages, both nodes' to see
 * that nothing two-sided happened and that the home took no part.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#include "harness.h"

#define OBJECT_PAGES 512UL

struct pages {
	unsigned char *addr;
	size_t count; /* of those that a job touches */
	uint32_t page[1024]; /* in this order */
	unsigned int threads;
};

FIXTURE(fault)
{
	char region[DSM_NAME_BYTES];
	uint64_t id;
	struct dsm *dsm;
	struct worker peer;
	struct worker second; /* another process of the peer's node */
	struct pages *pages; /* the peer's argument */
	struct counters home, node, in_region;
};

FIXTURE_SETUP(fault)
{
	struct dsm_region_args found;
	struct dsm_ref ref;

	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0, region_find(self->region, &found));
	self->id = found.id;
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDONLY));
	ASSERT_EQ(0, worker_start(&self->second, NODE_PEER, self->region,
				  O_RDONLY));
	self->pages = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	/* The size of a chunk; it may lie across two. */
	self->pages->addr =
		dsm_alloc(self->dsm, OBJECT_PAGES * PAGE_BYTES, &ref);
	ASSERT_NE(NULL, self->pages->addr);
	pattern_fill(self->pages->addr, OBJECT_PAGES * PAGE_BYTES, 9);
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
}

FIXTURE_TEARDOWN(fault)
{
	worker_stop(&self->peer);
	worker_stop(&self->second);
	dsm_detach(self->dsm);
	regions_clear();
}

/* Number of pages whose content is wrong. */
static long touch(struct dsm *dsm, void *arg)
{
	const struct pages *p = arg;
	long wrong = 0;

	(void)dsm;
	for (size_t i = 0; i < p->count; i++) {
		const volatile uint64_t *word =
			(void *)(p->addr + p->page[i] * PAGE_BYTES);

		wrong += *word !=
			 pattern_word(p->page[i] * (PAGE_BYTES / 8), 9);
	}
	return wrong;
}

static void begin(FIXTURE_DATA(fault) * self)
{
	counters_read(NODE_HOME, 0, &self->home);
	counters_read(NODE_PEER, 0, &self->node);
	counters_read(NODE_PEER, self->id, &self->in_region);
}

/* Ends a measurement; whatever was fetched, nobody was asked. */
static struct counters end(struct __test_metadata *_metadata,
			   FIXTURE_DATA(fault) * self)
{
	struct counters c =
		counters_since(NODE_PEER, self->id, &self->in_region);
	struct counters node = counters_since(NODE_PEER, 0, &self->node);
	struct counters home = counters_since(NODE_HOME, 0, &self->home);

	EXPECT_EQ(0, COUNT(node, MESSAGES_SENT));
	EXPECT_EQ(0, COUNT(node, MESSAGES_RECEIVED));
	EXPECT_EQ(0, COUNT(home, MESSAGES_SENT));
	EXPECT_EQ(0, COUNT(home, MESSAGES_RECEIVED));
	EXPECT_EQ(0, COUNT(home, FAULTS));
	EXPECT_EQ(0, COUNT(node, ATOMICS));
	EXPECT_EQ(0, COUNT(node, ERRORS));
	/* The node's counters have what the region's have. */
	EXPECT_EQ(COUNT(node, FAULTS), COUNT(c, FAULTS));
	EXPECT_EQ(COUNT(node, PAGES_FETCHED), COUNT(c, PAGES_FETCHED));
	EXPECT_EQ(COUNT(node, READS), COUNT(c, READS));
	EXPECT_EQ(COUNT(node, ROUND_TRIPS), COUNT(c, ROUND_TRIPS));
	return c;
}

static void only_page(FIXTURE_DATA(fault) * self, struct worker *w,
		      uint32_t page)
{
	struct pages *p = w->arg;

	p->addr = self->pages->addr;
	p->count = 1;
	p->page[0] = page;
}

TEST_F(fault, first_touch_of_a_chunk_reads_its_directory_entry_once)
{
	struct counters c;

	begin(self);
	only_page(self, &self->peer, 100);
	EXPECT_EQ(0, worker_run(&self->peer, touch));
	c = end(_metadata, self);
	EXPECT_EQ(1, COUNT(c, FAULTS));
	EXPECT_EQ(1, COUNT(c, FAULTS_FETCHED));
	EXPECT_EQ(1, COUNT(c, READS_DIRECTORY));
	EXPECT_EQ(1, COUNT(c, PAGES_FETCHED));
	EXPECT_EQ(1, COUNT(c, READS));
	EXPECT_LE(1, COUNT(c, READS_WORDS));
	EXPECT_EQ(2, COUNT(c, ROUND_TRIPS));
}

TEST_F(fault, page_of_a_known_chunk_costs_one_read_and_one_round_trip)
{
	static const uint32_t page[] = { 37, 90, 12, 70 };
	struct counters c;

	only_page(self, &self->peer, 50);
	ASSERT_EQ(0, worker_run(&self->peer, touch));
	for (unsigned int i = 0; i < ARRAY_SIZE(page); i++) {
		begin(self);
		only_page(self, &self->peer, page[i]);
		EXPECT_EQ(0, worker_run(&self->peer, touch));
		c = end(_metadata, self);
		EXPECT_EQ(1, COUNT(c, FAULTS));
		EXPECT_EQ(1, COUNT(c, FAULTS_FETCHED));
		EXPECT_EQ(0, COUNT(c, FAULTS_LOCAL));
		EXPECT_EQ(0, COUNT(c, FAULTS_CACHED));
		EXPECT_EQ(0, COUNT(c, FAULTS_JOINED));
		EXPECT_EQ(1, COUNT(c, PAGES_FETCHED));
		EXPECT_EQ(0, COUNT(c, PAGES_READAHEAD));
		EXPECT_EQ(1, COUNT(c, READS));
		EXPECT_EQ(0, COUNT(c, READS_WORDS));
		EXPECT_EQ(0, COUNT(c, READS_DIRECTORY));
		EXPECT_EQ(1, COUNT(c, ROUND_TRIPS));
		EXPECT_EQ(PAGE_BYTES, COUNT(c, BYTES_READ));
	}
}

TEST_F(fault, mapped_page_costs_nothing)
{
	struct counters c;

	only_page(self, &self->peer, 50);
	ASSERT_EQ(0, worker_run(&self->peer, touch));
	begin(self);
	EXPECT_EQ(0, worker_run(&self->peer, touch));
	c = end(_metadata, self);
	EXPECT_EQ(0, COUNT(c, FAULTS));
	EXPECT_EQ(0, COUNT(c, READS));
}

TEST_F(fault, cached_page_is_mapped_without_the_network)
{
	struct counters c;

	only_page(self, &self->peer, 50);
	ASSERT_EQ(0, worker_run(&self->peer, touch));
	/* A process that does not have it mapped yet. */
	begin(self);
	only_page(self, &self->second, 50);
	EXPECT_EQ(0, worker_run(&self->second, touch));
	c = end(_metadata, self);
	EXPECT_EQ(1, COUNT(c, FAULTS));
	EXPECT_EQ(1, COUNT(c, FAULTS_CACHED));
	EXPECT_EQ(0, COUNT(c, PAGES_FETCHED));
	EXPECT_EQ(0, COUNT(c, READS));
	EXPECT_EQ(0, COUNT(c, READS_WORDS));
	EXPECT_EQ(0, COUNT(c, READS_DIRECTORY));
	EXPECT_EQ(0, COUNT(c, ROUND_TRIPS));
	EXPECT_EQ(0, COUNT(c, BYTES_READ));
}

TEST_F(fault, local_page_costs_no_network)
{
	struct counters before, c;
	struct dsm_ref ref;
	void *p = dsm_alloc(self->dsm, 8 * PAGE_BYTES, &ref);

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, counters_read(NODE_HOME, self->id, &before));
	memset(p, 1, 8 * PAGE_BYTES);
	c = counters_since(NODE_HOME, self->id, &before);
	EXPECT_LT(0, COUNT(c, FAULTS));
	EXPECT_EQ(COUNT(c, FAULTS), COUNT(c, FAULTS_LOCAL));
	EXPECT_LE(8, COUNT(c, PAGES_MAPPED));
	EXPECT_EQ(0, COUNT(c, READS));
	EXPECT_EQ(0, COUNT(c, ROUND_TRIPS));
}

TEST_F(fault, refused_access_is_counted)
{
	struct counters before, c;

	ASSERT_EQ(0, counters_read(NODE_HOME, self->id, &before));
	EXPECT_EQ(SIGSEGV, probe_write(self->pages->addr, 1));
	c = counters_since(NODE_HOME, self->id, &before);
	EXPECT_EQ(1, COUNT(c, FAULTS));
	EXPECT_EQ(1, COUNT(c, FAULTS_SIGSEGV));
}

struct start {
	const struct pages *p;
	pthread_barrier_t *barrier;
	uint32_t page;
	int wrong;
};

static void *touch_thread(void *arg)
{
	struct start *s = arg;
	struct pages one = { .addr = s->p->addr,
			     .count = 1,
			     .page = { s->page } };

	pthread_barrier_wait(s->barrier);
	s->wrong = (int)touch(NULL, &one);
	return NULL;
}

/* p->threads threads touch p->page[0] at the same moment. */
static long touch_together(struct dsm *dsm, void *arg)
{
	const struct pages *p = arg;
	pthread_barrier_t barrier;
	pthread_t thread[16];
	struct start start[16];
	long wrong = 0;

	(void)dsm;
	pthread_barrier_init(&barrier, NULL, p->threads);
	for (unsigned int i = 0; i < p->threads; i++) {
		start[i] = (struct start){ p, &barrier, p->page[0], 0 };
		if (pthread_create(&thread[i], NULL, touch_thread, &start[i]))
			return -EAGAIN;
	}
	for (unsigned int i = 0; i < p->threads; i++) {
		pthread_join(thread[i], NULL);
		wrong += start[i].wrong;
	}
	pthread_barrier_destroy(&barrier);
	return wrong;
}

TEST_F(fault, threads_that_fault_on_one_page_share_one_fetch)
{
	unsigned int pass = 0;
	uint64_t joined = 0;
	struct counters c;

	only_page(self, &self->peer, 300);
	ASSERT_EQ(0, worker_run(&self->peer, touch));
	/*
	 * Every seventh page, downwards: nothing to read ahead.  And again, others, until
	 * somebody came while a fetch was under way.
	 */
	for (uint32_t page = 294; page >= 7 && pass < 6; page -= 7) {
		begin(self);
		only_page(self, &self->peer, page);
		self->pages->threads = 8;
		ASSERT_EQ(0, worker_run(&self->peer, touch_together));
		c = end(_metadata, self);
		EXPECT_EQ(1, COUNT(c, PAGES_FETCHED));
		EXPECT_EQ(1, COUNT(c, FAULTS_FETCHED));
		EXPECT_EQ(1, COUNT(c, READS));
		EXPECT_EQ(1, COUNT(c, ROUND_TRIPS));
		joined += COUNT(c, FAULTS_JOINED);
		if (page < 14 && !joined)
			page = 301 - ++pass;
	}
	EXPECT_LT(0, joined);
}

TEST_F(fault, sequential_access_reads_ahead)
{
	struct counters c;

	self->pages->count = OBJECT_PAGES;
	for (uint32_t i = 0; i < OBJECT_PAGES; i++)
		self->pages->page[i] = i;
	begin(self);
	EXPECT_EQ(0, worker_run(&self->peer, touch));
	c = end(_metadata, self);
	EXPECT_EQ(OBJECT_PAGES, COUNT(c, PAGES_FETCHED));
	EXPECT_LT(OBJECT_PAGES / 2, COUNT(c, PAGES_READAHEAD));
	EXPECT_GT(OBJECT_PAGES / 2, COUNT(c, ROUND_TRIPS));
	EXPECT_LE(1, COUNT(c, READS_DIRECTORY));
	EXPECT_GE(2, COUNT(c, READS_DIRECTORY));
	/* All of it is here now. */
	*(struct pages *)self->second.arg = *self->pages;
	begin(self);
	EXPECT_EQ(0, worker_run(&self->second, touch));
	c = end(_metadata, self);
	EXPECT_EQ(0, COUNT(c, READS));
	EXPECT_EQ(COUNT(c, FAULTS), COUNT(c, FAULTS_CACHED));
}

TEST_F(fault, random_access_does_not_read_ahead)
{
	const unsigned int count = 64;
	struct counters c;

	/* Bits reversed: no page follows its neighbour. */
	self->pages->count = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t page = 0;

		for (unsigned int bit = 0; bit < 9; bit++)
			page |= (i >> bit & 1) << (8 - bit);
		self->pages->page[i] = page;
	}
	begin(self);
	EXPECT_EQ(0, worker_run(&self->peer, touch));
	c = end(_metadata, self);
	EXPECT_EQ(0, COUNT(c, PAGES_READAHEAD));
	EXPECT_EQ(count, COUNT(c, PAGES_FETCHED));
	EXPECT_EQ(count, COUNT(c, READS));
}

TEST_HARNESS_MAIN
