// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two nodes: what one builds, freezes and publishes, the other finds by name
 * and reads through plain pointers; everything else it must not touch.
 */
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "harness.h"

#define ARENA_BYTES (3UL << 20)

/* Between the test, on NODE_HOME, and its worker on NODE_PEER. */
struct exchange {
	char name[DSM_NAME_BYTES];
	unsigned int timeout_ms;
	void *addr;
	size_t bytes;
	struct dsm_ref ref;
	volatile int entered;
	uint64_t took_ms;
};

FIXTURE(remote)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer;
	struct exchange *x;
};

FIXTURE_SETUP(remote)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->x = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(remote)
{
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	regions_clear();
}

/* Looks up x->name, waiting x->timeout_ms. */
static long look_up(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	uint64_t start = now_ms();
	int err;

	x->entered = 1;
	x->addr = (void *)(uintptr_t)dsm_lookup(dsm, x->name, x->timeout_ms,
						&x->ref);
	err = x->addr ? 0 : -errno;
	x->took_ms = now_ms() - start;
	return err;
}

static long look_up_and_walk(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	long err = look_up(dsm, arg);

	if (err)
		return err;
	return chain_walk(x->addr) ? 0 : -EIO;
}

static long probe_addr(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	(void)dsm;
	return probe_read(x->addr);
}

static long probe_addr_writing(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	(void)dsm;
	return probe_write(x->addr, 0xee);
}

static long check_pattern(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	(void)dsm;
	return pattern_check(x->addr, x->bytes, 5);
}

/* A frozen object that holds the pattern, published under @name. */
static void *frozen_object(struct dsm *dsm, size_t bytes, const char *name,
			   struct dsm_ref *ref)
{
	void *p = dsm_alloc(dsm, bytes, ref);

	if (!p)
		return NULL;
	pattern_fill(p, bytes, 5);
	if (dsm_freeze(dsm, ref) || dsm_publish(dsm, name, ref))
		return NULL;
	return p;
}

TEST_F(remote, linked_structure_is_walked_by_plain_loads)
{
	struct dsm_ref ref;
	void *arena = dsm_alloc(self->dsm, ARENA_BYTES, &ref);

	ASSERT_NE(NULL, arena);
	ASSERT_TRUE(chain_build(arena, ARENA_BYTES, 11));
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	ASSERT_EQ(0, dsm_publish(self->dsm, "chain", &ref));

	name_copy(self->x->name, "chain");
	EXPECT_EQ(0, worker_run(&self->peer, look_up_and_walk));
	/* The same address and handle everywhere. */
	EXPECT_EQ(arena, self->x->addr);
	EXPECT_EQ(0, memcmp(&ref, &self->x->ref, sizeof(ref)));
	EXPECT_TRUE(chain_walk(arena));
}

TEST_F(remote, every_byte_of_an_odd_size_arrives)
{
	const size_t bytes = 2 * DSM_CHUNK_SIZE + 5 * PAGE_BYTES;
	struct dsm_ref ref;

	self->x->addr = frozen_object(self->dsm, bytes, "odd", &ref);
	ASSERT_NE(NULL, self->x->addr);
	self->x->bytes = bytes;
	EXPECT_EQ(-1, worker_run(&self->peer, check_pattern));
	EXPECT_EQ(-1, worker_run(&self->peer, check_pattern));
}

TEST_F(remote, lookup_without_waiting_is_ENOENT)
{
	name_copy(self->x->name, "nothing");
	EXPECT_EQ(-ENOENT, worker_run(&self->peer, look_up));
	EXPECT_EQ(NULL, dsm_lookup(self->dsm, "nothing", 0, NULL));
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(remote, lookup_times_out)
{
	name_copy(self->x->name, "nothing");
	self->x->timeout_ms = 300;
	EXPECT_EQ(-ETIMEDOUT, worker_run(&self->peer, look_up));
	/* The kernel counts ticks, which lag where the machine is stalled. */
	EXPECT_LE(250, self->x->took_ms);
	EXPECT_GT(5000, self->x->took_ms);
}

TEST_F(remote, lookup_waits_for_a_publish)
{
	struct dsm_ref ref;

	name_copy(self->x->name, "late");
	self->x->timeout_ms = WAIT_MS;
	ASSERT_EQ(0, worker_post(&self->peer, look_up));
	ASSERT_TRUE(worker_sleeps(&self->peer, &self->x->entered));
	ASSERT_NE(NULL, frozen_object(self->dsm, PAGE_BYTES, "late", &ref));
	EXPECT_EQ(0, worker_wait(&self->peer, WAIT_MS));
	/* It was woken, not late. */
	EXPECT_GT(WAIT_MS / 2, self->x->took_ms);
	EXPECT_EQ(0, memcmp(&ref, &self->x->ref, sizeof(ref)));
}

static void nothing(int sig)
{
	(void)sig;
}

static long look_up_with_handler(struct dsm *dsm, void *arg)
{
	const struct sigaction act = { .sa_handler = nothing };

	sigaction(SIGUSR1, &act, NULL);
	return look_up(dsm, arg);
}

TEST_F(remote, lookup_is_interrupted_by_a_signal)
{
	name_copy(self->x->name, "nothing");
	self->x->timeout_ms = WAIT_MS;
	ASSERT_EQ(0, worker_post(&self->peer, look_up_with_handler));
	ASSERT_TRUE(worker_sleeps(&self->peer, &self->x->entered));
	ASSERT_EQ(0, kill(self->peer.pid, SIGUSR1));
	EXPECT_EQ(-EINTR, worker_wait(&self->peer, WAIT_MS));
	EXPECT_GT(WAIT_MS / 2, self->x->took_ms);
	/* Nothing of it is left that would take the next answer. */
	self->x->timeout_ms = 0;
	EXPECT_EQ(-ENOENT, worker_run(&self->peer, look_up));
}

TEST_F(remote, waiting_process_can_be_killed)
{
	struct worker next;

	name_copy(self->x->name, "nothing");
	self->x->timeout_ms = 10 * WAIT_MS;
	ASSERT_EQ(0, worker_post(&self->peer, look_up));
	ASSERT_TRUE(worker_sleeps(&self->peer, &self->x->entered));
	ASSERT_EQ(0, worker_kill(&self->peer));
	ASSERT_EQ(0, worker_start(&next, NODE_PEER, self->region, O_RDONLY));
	name_copy(((struct exchange *)next.arg)->name, "nothing");
	EXPECT_EQ(-ENOENT, worker_run(&next, look_up));
	worker_stop(&next);
}

TEST_F(remote, name_is_taken_for_all_nodes)
{
	struct dsm_ref ref, other;

	ASSERT_NE(NULL, frozen_object(self->dsm, PAGE_BYTES, "one", &ref));
	EXPECT_EQ(-1, dsm_publish(self->dsm, "one", &ref));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(NULL, frozen_object(self->dsm, PAGE_BYTES, "one", &other));
	EXPECT_EQ(EEXIST, errno);
	/* One object may have two names. */
	EXPECT_EQ(0, dsm_publish(self->dsm, "two", &ref));
	name_copy(self->x->name, "one");
	ASSERT_EQ(0, worker_run(&self->peer, look_up));
	EXPECT_EQ(0, memcmp(&ref, &self->x->ref, sizeof(ref)));
}

static long publish_own(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return frozen_object(dsm, PAGE_BYTES, x->name, &x->ref) ? 0 : -errno;
}

TEST_F(remote, both_nodes_publish_and_a_name_has_one_winner)
{
	struct dsm_ref ref, got;

	for (unsigned int i = 0; i < rounds(20); i++) {
		bool mine;
		long theirs;

		snprintf(self->x->name, DSM_NAME_BYTES, "race-%u", i);
		ASSERT_EQ(0, worker_post(&self->peer, publish_own));
		mine = frozen_object(self->dsm, PAGE_BYTES, self->x->name,
				     &ref);
		theirs = worker_wait(&self->peer, WAIT_MS);
		EXPECT_NE(mine, !theirs);
		if (theirs)
			EXPECT_EQ(-EEXIST, theirs);
		ASSERT_NE(NULL, dsm_lookup(self->dsm, self->x->name, 0, &got));
		EXPECT_EQ(0, memcmp(mine ? &ref : &self->x->ref, &got,
				    sizeof(got)));
	}
}

TEST_F(remote, publish_waits_for_nobody_who_writes)
{
	struct dsm_ref ref;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, PAGE_BYTES, &ref));
	EXPECT_EQ(-1, dsm_publish(self->dsm, "live", &ref));
	EXPECT_EQ(EBUSY, errno);
	name_copy(self->x->name, "live");
	EXPECT_EQ(-ENOENT, worker_run(&self->peer, look_up));
	/* It need not be frozen, but then the page needs a borrow. */
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &ref));
	EXPECT_EQ(0, dsm_publish(self->dsm, "live", &ref));
	EXPECT_EQ(0, worker_run(&self->peer, look_up));
	EXPECT_EQ(0, memcmp(&ref, &self->x->ref, sizeof(ref)));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_addr));
}

TEST_F(remote, publish_of_a_freed_handle_is_ESTALE)
{
	struct dsm_ref ref, copy;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, PAGE_BYTES, &ref));
	copy = ref;
	copy.version = DSM_WORD(DSM_STATE_FROZEN, DSM_LINES_LARGE,
				(copy.version & DSM_WORD_VERSION_MASK) + 1);
	ASSERT_EQ(0, object_drop(self->dsm, &ref));
	EXPECT_EQ(-1, dsm_publish(self->dsm, "gone", &copy));
	EXPECT_EQ(ESTALE, errno);
}

TEST_F(remote, names_belong_to_their_region)
{
	char region[DSM_NAME_BYTES];
	struct worker stranger;
	struct dsm_ref ref;

	region_name(region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	ASSERT_NE(NULL, frozen_object(self->dsm, PAGE_BYTES, "it", &ref));
	ASSERT_EQ(0, worker_start(&stranger, NODE_PEER, region, O_RDWR));
	name_copy(((struct exchange *)stranger.arg)->name, "it");
	EXPECT_EQ(-ENOENT, worker_run(&stranger, look_up));
	worker_stop(&stranger);
}

TEST_F(remote, page_is_SIGSEGV_until_it_is_frozen)
{
	struct dsm_ref ref;

	self->x->bytes = 2 * PAGE_BYTES;
	self->x->addr = dsm_alloc(self->dsm, self->x->bytes, &ref);
	ASSERT_NE(NULL, self->x->addr);
	pattern_fill(self->x->addr, self->x->bytes, 5);
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_addr));
	/* That it was refused once must not be remembered for ever. */
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	EXPECT_EQ(0, worker_run(&self->peer, probe_addr));
	EXPECT_EQ(-1, worker_run(&self->peer, check_pattern));
}

TEST_F(remote, frozen_neighbour_does_not_open_the_page_beside_it)
{
	struct dsm_ref first, second;
	unsigned char *a = dsm_alloc(self->dsm, PAGE_BYTES, &first);
	unsigned char *b = dsm_alloc(self->dsm, PAGE_BYTES, &second);

	ASSERT_TRUE(a && b);
	pattern_fill(a, PAGE_BYTES, 5);
	pattern_fill(b, PAGE_BYTES, 5);
	ASSERT_EQ(0, dsm_freeze(self->dsm, &first));
	self->x->bytes = PAGE_BYTES;
	self->x->addr = a;
	EXPECT_EQ(-1, worker_run(&self->peer, check_pattern));
	self->x->addr = b;
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_addr));
	/* The chunk's words are known by now, but this one was not final. */
	ASSERT_EQ(0, dsm_freeze(self->dsm, &second));
	EXPECT_EQ(-1, worker_run(&self->peer, check_pattern));
}

TEST_F(remote, write_to_a_copy_is_SIGSEGV)
{
	struct dsm_ref ref;

	self->x->bytes = PAGE_BYTES;
	self->x->addr = frozen_object(self->dsm, PAGE_BYTES, "it", &ref);
	ASSERT_NE(NULL, self->x->addr);
	/* Both before a copy is here and after. */
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_addr_writing));
	EXPECT_EQ(0, worker_run(&self->peer, probe_addr));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_addr_writing));
	EXPECT_EQ(-1, worker_run(&self->peer, check_pattern));
	EXPECT_EQ(-1, pattern_check(self->x->addr, PAGE_BYTES, 5));
}

/* write(2) from a page that has to be fetched first; read(2) into it. */
static long system_calls(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;
	long result = 0;
	int pipes[2];
	char got[8];

	(void)dsm;
	if (pipe(pipes))
		return -errno;
	if (write(pipes[1], x->addr, sizeof(got)) != sizeof(got))
		result = -errno;
	else if (read(pipes[0], got, sizeof(got)) != sizeof(got) ||
		 memcmp(got, x->addr, sizeof(got)))
		result = -EIO;
	else if (write(pipes[1], got, 8) != 8 ||
		 read(pipes[0], x->addr, 8) != -1 || errno != EFAULT)
		result = -EBADE;
	close(pipes[0]);
	close(pipes[1]);
	return result;
}

TEST_F(remote, system_calls_fetch_their_buffers)
{
	struct dsm_ref ref;

	self->x->addr = frozen_object(self->dsm, PAGE_BYTES, "it", &ref);
	ASSERT_NE(NULL, self->x->addr);
	EXPECT_EQ(0, worker_run(&self->peer, system_calls));
}

TEST_F(remote, all_nodes_exchange_at_once)
{
	struct worker w[NODE_LAST];
	struct exchange *x[NODE_LAST];

	for (unsigned int i = 0; i < NODE_LAST; i++) {
		ASSERT_EQ(0, worker_start(&w[i], NODE_HOME + i, self->region,
					  O_RDWR));
		x[i] = w[i].arg;
		snprintf(x[i]->name, DSM_NAME_BYTES, "of-%u", i);
		ASSERT_EQ(0, worker_post(&w[i], publish_own));
	}
	for (unsigned int i = 0; i < NODE_LAST; i++)
		ASSERT_EQ(0, worker_wait(&w[i], WAIT_MS));
	for (unsigned int other = 1; other < NODE_LAST; other++) {
		for (unsigned int i = 0; i < NODE_LAST; i++) {
			struct dsm_ref ref = x[(i + other) % NODE_LAST]->ref;

			x[i]->addr = (void *)(uintptr_t)ref.addr;
			x[i]->bytes = PAGE_BYTES;
			ASSERT_EQ(0, worker_post(&w[i], check_pattern));
		}
		for (unsigned int i = 0; i < NODE_LAST; i++)
			ASSERT_EQ(-1, worker_wait(&w[i], WAIT_MS));
	}
	for (unsigned int i = 0; i < NODE_LAST; i++)
		worker_stop(&w[i]);
}

TEST_HARNESS_MAIN
