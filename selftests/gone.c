// SPDX-License-Identifier: GPL-2.0-only
/* A home that goes down, and who is waiting for its pages then. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define OBJECT_BYTES (64 * PAGE_BYTES)
#define OTHER_BYTES (16 * PAGE_BYTES)

struct task {
	const unsigned char *addr;
	uint64_t fault_ms;
	uint64_t longest_map_ms;
	unsigned long maps;
	int sig;
	volatile int done;
};

FIXTURE(gone)
{
	char region[DSM_NAME_BYTES];
	struct worker reader;
	struct task *task;
	struct dsm_ref ref;
};

/* The region is kept by the reader's node, so that only the pages are gone. */
FIXTURE_SETUP(gone)
{
	struct dsm_ref ref;
	struct dsm *dsm;

	regions_clear();
	ASSERT_EQ(0, region_name_at(NODE_PEER, self->region));
	ASSERT_EQ(0, dsm_region_create(NODE_PEER, self->region, 0600));
	ASSERT_EQ(0, worker_start(&self->reader, NODE_PEER, self->region,
				  O_RDONLY));
	self->task = self->reader.arg;
	dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, dsm);
	self->task->addr = dsm_alloc(dsm, OBJECT_BYTES, &ref);
	ASSERT_NE(NULL, self->task->addr);
	ASSERT_EQ(0, dsm_freeze(dsm, &ref));
	dsm_detach(dsm);
}

FIXTURE_TEARDOWN(gone)
{
	worker_stop(&self->reader);
	node_set_up(NODE_HOME, true);
	EXPECT_TRUE(links_come_up());
	regions_clear();
}

static long read_first_page(struct dsm *dsm, void *arg)
{
	const struct task *t = arg;

	(void)dsm;
	return probe_read(t->addr);
}

static void *fault(void *arg)
{
	struct task *t = arg;
	uint64_t start = now_ms();

	t->sig = probe_read(t->addr + PAGE_BYTES);
	t->fault_ms = now_ms() - start;
	t->done = 1;
	return NULL;
}

/* Maps and unmaps other memory for as long as a thread waits for a page. */
static long map_during_fault(struct dsm *dsm, void *arg)
{
	struct task *t = arg;
	pthread_t thread;

	(void)dsm;
	if (pthread_create(&thread, NULL, fault, t))
		return -errno;
	while (!t->done) {
		uint64_t start = now_ms(), took;
		void *p = mmap(NULL, OTHER_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			       0);

		if (p == MAP_FAILED)
			return -errno;
		munmap(p, OTHER_BYTES);
		took = now_ms() - start;
		if (took > t->longest_map_ms)
			t->longest_map_ms = took;
		t->maps++;
		usleep(1000);
	}
	pthread_join(thread, NULL);
	return t->sig;
}

/* Whoever held mmap_lock while it waited would stop the other thread as long. */
TEST_F(gone, mmap_is_not_held_up_by_a_fetch)
{
	ASSERT_EQ(0, worker_run(&self->reader, read_first_page));
	ASSERT_EQ(0, node_set_up(NODE_HOME, false));
	EXPECT_EQ(SIGBUS, worker_run(&self->reader, map_during_fault));
	TH_LOG("the fault took %lu ms, %lu maps meanwhile at most %lu ms",
	       self->task->fault_ms, self->task->maps,
	       self->task->longest_map_ms);
	EXPECT_LE(400, self->task->fault_ms);
	EXPECT_GE(5000, self->task->fault_ms);
	EXPECT_LT(self->task->longest_map_ms, self->task->fault_ms / 2);
	EXPECT_LT(20, self->task->maps);
}

TEST_F(gone, cached_pages_are_dropped_when_the_home_is_back_in_a_new_life)
{
	ASSERT_EQ(0, worker_run(&self->reader, read_first_page));
	ASSERT_EQ(0, node_set_up(NODE_HOME, false));
	/* A copy needs no home. */
	EXPECT_EQ(0, worker_run(&self->reader, read_first_page));
	ASSERT_EQ(0, node_set_up(NODE_HOME, true));
	ASSERT_TRUE(links_come_up());
	EXPECT_EQ(SIGSEGV, worker_run(&self->reader, read_first_page));
}

static bool is_found(void *arg)
{
	struct dsm_region_args found;

	return !region_find(arg, &found);
}

static bool has_no_chunk(void *arg)
{
	(void)arg;
	return !counter_now(NODE_HOME, DSM_COUNTER_GAUGE_CHUNKS);
}

/* Who uses a region tells its registrar, which has forgotten it. */
TEST_F(gone, registrar_that_is_back_knows_the_region)
{
	struct dsm_region_args before, after;
	char name[DSM_NAME_BYTES];
	struct worker w;
	struct dsm *dsm;

	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	ASSERT_EQ(0, region_name_at(NODE_TIGHT, name));
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, name, 0640));
	ASSERT_EQ(0, region_find(name, &before));
	dsm = attach_at(NODE_HOME, name, O_RDWR);
	ASSERT_NE(NULL, dsm);
	ASSERT_NE(NULL, dsm_alloc(dsm, OBJECT_BYTES, &self->ref));
	ASSERT_EQ(0, node_set_up(NODE_TIGHT, false));
	ASSERT_EQ(0, node_set_up(NODE_TIGHT, true));
	ASSERT_TRUE(links_come_up());
	EXPECT_TRUE(wait_until(is_found, name, WAIT_MS));
	ASSERT_EQ(0, region_find(name, &after));
	EXPECT_EQ(before.id, after.id);
	EXPECT_EQ(before.uid, after.uid);
	EXPECT_EQ(before.gid, after.gid);
	EXPECT_EQ(0640, after.mode);
	/* As any other: it can be attached to, published in and removed. */
	ASSERT_EQ(0, worker_start(&w, NODE_TIGHT, name, O_RDWR));
	worker_stop(&w);
	EXPECT_EQ(0, dsm_return_mut(dsm, &self->ref));
	EXPECT_EQ(0, dsm_publish(dsm, "object", &self->ref));
	EXPECT_EQ(0, dsm_region_remove(NODE_PEER, name));
	EXPECT_FALSE(is_found(name));
	EXPECT_TRUE(wait_until(has_no_chunk, NULL, WAIT_MS));
	dsm_detach(dsm);
}

/* Its region and an object are known to NODE_HOME alone; others are restarted. */
static struct dsm *known_at_home(const char *name, struct dsm_ref *ref)
{
	struct dsm *dsm;

	if (dsm_region_create(NODE_HOME, name, 0600))
		return NULL;
	dsm = attach_at(NODE_HOME, name, O_RDWR);
	if (dsm && dsm_alloc(dsm, OBJECT_BYTES, ref) &&
	    !dsm_return_mut(dsm, ref))
		return dsm;
	dsm_detach(dsm);
	return NULL;
}

TEST_F(gone, who_asks_first_tells_a_registrar_that_is_back)
{
	char name[DSM_NAME_BYTES];
	struct dsm *dsm;
	int err;

	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	ASSERT_EQ(0, region_name_at(NODE_TIGHT, name));
	dsm = known_at_home(name, &self->ref);
	ASSERT_NE(NULL, dsm);
	ASSERT_EQ(0, dsm_publish(dsm, "object", &self->ref));
	for (unsigned int i = 0; i < 8; i++) {
		ASSERT_EQ(0, node_set_up(NODE_TIGHT, false));
		ASSERT_EQ(0, node_set_up(NODE_TIGHT, true));
		/* The region has not been removed, whatever the registrar knows. */
		do
			err = dsm_lookup(dsm, "object", 0, NULL) ? 0 : errno;
		while (err == EHOSTDOWN);
		EXPECT_EQ(ENOENT, err);
		EXPECT_EQ(0, dsm_publish(dsm, "object", &self->ref));
		EXPECT_NE(NULL, dsm_lookup(dsm, "object", 0, NULL));
	}
	dsm_detach(dsm);
	EXPECT_EQ(0, dsm_region_remove(NODE_HOME, name));
	EXPECT_TRUE(wait_until(has_no_chunk, NULL, WAIT_MS));
}

/* Two regions of one name: one could never be removed. */
TEST_F(gone, a_region_ends_whose_name_was_given_anew)
{
	char name[DSM_NAME_BYTES];
	unsigned int tries = 0;
	struct dsm *dsm;

	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	ASSERT_EQ(0, region_name_at(NODE_TIGHT, name));
	dsm = known_at_home(name, &self->ref);
	ASSERT_NE(NULL, dsm);
	/* Until we are faster than who knows it. */
	do {
		ASSERT_GT(20, tries++);
		ASSERT_EQ(0, node_set_up(NODE_TIGHT, false));
		ASSERT_EQ(0, node_set_up(NODE_TIGHT, true));
	} while (dsm_region_create(NODE_TIGHT, name, 0600));
	EXPECT_TRUE(wait_until(has_no_chunk, NULL, WAIT_MS));
	EXPECT_EQ(NULL, dsm_alloc(dsm, OBJECT_BYTES, &self->ref));
	EXPECT_EQ(EIDRM, errno);
	dsm_detach(dsm);
	dsm = attach_at(NODE_HOME, name, O_RDWR);
	EXPECT_NE(NULL, dsm);
	dsm_detach(dsm);
}

TEST_HARNESS_MAIN
