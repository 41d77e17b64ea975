// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failure paths: in round n of a sweep the n-th allocation of a request fails,
 * until the request makes fewer.  It may fail for it, cleanly, or do without;
 * then the plain request works, and when the region is removed nothing of it is
 * left.  Every round has a region of its own.
 *
 * Pages are touched by the kernel: an access of user space that runs out of
 * memory is tried again, but logged by the kernel in words that are a complaint.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "harness.h"

#define DEBUGFS "/sys/kernel/debug/"
#define MOST_ROUNDS 1000U /* of a sweep; none comes near it */
#define FAR_CHUNKS 40U /* that fit into a partition */

/* By default only allocations that may not sleep fail. */
static const struct {
	const char *path;
	const char *value;
} knobs[] = {
	{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
	{ DEBUGFS "failslab/verbose", "0" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ DEBUGFS "fail_page_alloc/min-order", "0" },
	{ DEBUGFS "fail_page_alloc/verbose", "0" },
};

struct round {
	unsigned int n;
	char region[DSM_NAME_BYTES];
	int fd; /* the request's; attached as the stage says */
	void *map;
	struct dsm_attach_args at;
	struct dsm_ref ref; /* of the object that was prepared */
	uint64_t to; /* where it is to be moved */
	void *window; /* one that is mapped */
	size_t window_bytes;
};

/* What is there before the request. */
enum stage { STAGE_OPEN, STAGE_REGION, STAGE_ATTACHED, STAGE_MAPPED };

enum {
	ALLOCATES = 1, /* so a sweep that finds nothing is broken */
	LINK = 2, /* may be EHOSTDOWN */
	FAULT = 4, /* is EFAULT when memory is short */
	SETTLES = 8, /* after a failure it may be EBUSY for a while */
	ROOM = 16, /* a chunk that is empty is given back for it */
};

/* ---- requests: 0 or -errno ---- */

static int run_create(struct round *r)
{
	return dsm_region_create(NODE_HOME, r->region, 0600) ? -errno : 0;
}

static int run_remove(struct round *r)
{
	return dsm_region_remove(NODE_HOME, r->region) ? -errno : 0;
}

static int run_attach(struct round *r)
{
	r->at.size = sizeof(r->at);
	name_copy(r->at.name, r->region);
	return request(r->fd, DSM_IOC_ATTACH, &r->at);
}

static int run_mmap(struct round *r)
{
	void *got = mmap((void *)(uintptr_t)r->at.base, r->at.span,
			 PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE,
			 r->fd, 0);

	if (got == MAP_FAILED)
		return -errno;
	r->map = got;
	return 0;
}

static int object_with(struct round *r, unsigned int cmd, struct dsm_ref ref,
		       uint32_t flags)
{
	int err = request_object(r->fd, cmd, &ref, flags);

	if (!err)
		r->ref = ref;
	return err;
}

static int object(struct round *r, unsigned int cmd, struct dsm_ref ref)
{
	return object_with(r, cmd, ref, 0);
}

static int run_alloc(struct round *r)
{
	return object(r, DSM_IOC_ALLOC, (struct dsm_ref){ .size = PAGE_BYTES });
}

static int run_alloc_chunks(struct round *r)
{
	return object(r, DSM_IOC_ALLOC, (struct dsm_ref){ .size = 3 << 20 });
}

static int run_borrow(struct round *r)
{
	return object(r, DSM_IOC_BORROW, r->ref);
}

static int run_borrow_excl(struct round *r)
{
	return object_with(r, DSM_IOC_BORROW, r->ref, DSM_BORROW_EXCL);
}

static int run_return(struct round *r)
{
	return object(r, DSM_IOC_RETURN, r->ref);
}

static int run_return_excl(struct round *r)
{
	return object_with(r, DSM_IOC_RETURN, r->ref, DSM_BORROW_EXCL);
}

static int alloc_on(struct round *r, unsigned int node, uint64_t bytes)
{
	struct dsm_ref ref;
	int err = request_alloc_on(r->fd, node, bytes, &ref);

	if (!err)
		r->ref = ref;
	return err;
}

static int run_alloc_small(struct round *r)
{
	return alloc_on(r, NODE_HOME, 128);
}

static int run_alloc_large(struct round *r)
{
	return alloc_on(r, NODE_HOME, 2 * PAGE_BYTES);
}

static int run_slab(struct round *r)
{
	struct dsm_slab_args args = { .size = sizeof(args), .lines = 2 };

	return request(r->fd, DSM_IOC_SLAB, &args);
}

static int fetch(struct round *r, unsigned int nr)
{
	struct dsm_ref refs[3] = { r->ref, r->ref, r->ref };
	int32_t errors[3] = { 1, 1, 1 };
	struct dsm_fetch_args args = { .size = sizeof(args),
				       .nr = nr,
				       .refs = (uintptr_t)refs,
				       .errors = (uintptr_t)errors };
	int err = request(r->fd, DSM_IOC_FETCH, &args);

	for (unsigned int i = 0; i < nr && !err; i++)
		err = errors[i];
	return err;
}

static int run_fetch(struct round *r)
{
	return fetch(r, 1);
}

static int run_fetch_many(struct round *r)
{
	return fetch(r, 3);
}

static int run_move(struct round *r)
{
	struct dsm_move_args args = { .size = sizeof(args),
				      .ref = r->ref,
				      .to = r->to };

	return request(r->fd, DSM_IOC_MOVE, &args);
}

static int run_free(struct round *r)
{
	return object(r, DSM_IOC_DROP, r->ref);
}

static int run_freeze(struct round *r)
{
	return object(r, DSM_IOC_FREEZE, r->ref);
}

static int handle(struct round *r, unsigned long cmd, struct dsm_ref ref)
{
	struct dsm_name_args args = { .size = sizeof(args), .ref = ref };

	name_copy(args.name, "name");
	return request(r->fd, cmd, &args);
}

static int run_publish(struct round *r)
{
	return handle(r, DSM_IOC_PUBLISH, r->ref);
}

static int run_lookup(struct round *r)
{
	return handle(r, DSM_IOC_LOOKUP, (struct dsm_ref){ 0 });
}

static int run_take(struct round *r)
{
	return handle(r, DSM_IOC_TAKE, (struct dsm_ref){ 0 });
}

static int run_ping(struct round *r)
{
	struct dsm_ping_args args = {
		.size = sizeof(args),
		.node = NODE_HOME,
		.peer = NODE_PEER,
		.bytes = PAGE_BYTES,
		.depth = 2,
		.count = 4,
	};

	return request(r->fd, DSM_IOC_PING, &args);
}

/* The object's last page, as an argument: zeroes, so a size that is refused. */
static int run_touch(struct round *r)
{
	void *page =
		(void *)(uintptr_t)(r->ref.addr + r->ref.size - PAGE_BYTES);
	int err = request(r->fd, DSM_IOC_INFO, page);

	return err == -EINVAL ? 0 : err;
}

/* The window's first word, in the same way. */
static int run_touch_window(struct round *r)
{
	int err = request(r->fd, DSM_IOC_INFO, r->window);

	return err == -EINVAL ? 0 : err;
}

static int round_open(struct round *r)
{
	r->fd = device_open(O_RDWR);
	return r->fd < 0 ? r->fd : 0;
}

static void round_close(struct round *r)
{
	if (r->map)
		munmap(r->map, r->at.span);
	if (r->window)
		munmap(r->window, r->window_bytes);
	r->map = NULL;
	r->window = NULL;
	close(r->fd);
}

static int attach_node(struct round *r, unsigned int node)
{
	int err = round_open(r);

	if (err)
		return err;
	r->at.node = node;
	return run_attach(r);
}

/* ---- what a request finds, made by an attachment that ends again ---- */

static int prepare(struct round *r, size_t bytes, bool freeze, bool publish)
{
	int err = attach_node(r, NODE_HOME);

	if (!err)
		err = object(r, DSM_IOC_ALLOC,
			     (struct dsm_ref){ .size = bytes });
	if (!err)
		err = freeze ? run_freeze(r) : run_return_excl(r);
	if (!err && publish)
		err = run_publish(r);
	round_close(r);
	return err;
}

static int live(struct round *r)
{
	return prepare(r, 2 * PAGE_BYTES, false, false);
}

/* Into the next chunk. */
static int live_chunks(struct round *r)
{
	return prepare(r, DSM_CHUNK_SIZE + PAGE_BYTES, false, false);
}

static int small(struct round *r)
{
	int err = attach_node(r, NODE_HOME);

	if (!err)
		err = run_alloc_small(r);
	round_close(r);
	return err;
}

/* A chunk for small objects that has none. */
static int empty_chunk(struct round *r)
{
	int err = attach_node(r, NODE_HOME);

	if (!err)
		err = run_slab(r);
	round_close(r);
	return err;
}

static int frozen(struct round *r)
{
	return prepare(r, 2 * PAGE_BYTES, true, false);
}

/* Its last chunk is one that no round before has met. */
static int frozen_chunks(struct round *r)
{
	size_t chunks = r->n < FAR_CHUNKS ? r->n : FAR_CHUNKS;

	return prepare(r, chunks * DSM_CHUNK_SIZE, true, false);
}

static int named(struct round *r)
{
	return prepare(r, PAGE_BYTES, true, true);
}

/* A page of it is in the peer's cache. */
static int cached(struct round *r)
{
	int err = frozen(r);

	if (err)
		return err;
	err = attach_node(r, NODE_PEER);
	if (!err)
		err = run_mmap(r);
	if (!err)
		err = run_touch(r);
	round_close(r);
	return err;
}

/* ---- what the attachment that makes the request has done before ---- */

/* Has a place for a small object that is to be moved here. */
static int with_place(struct round *r)
{
	r->to = small_excl(r->fd, 2);
	return r->to ? 0 : -ENOSPC;
}

static int with_window(struct round *r, uint64_t off, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE, r->fd, (off_t)off);

	if (p == MAP_FAILED)
		return -errno;
	r->window = p;
	r->window_bytes = bytes;
	return 0;
}

static int with_ledger(struct round *r)
{
	return with_window(r, DSM_MMAP_LEDGER, LEDGER_BYTES);
}

static int with_held(struct round *r)
{
	return with_window(r, DSM_MMAP_HELD, DSM_HELD_SLOTS * sizeof(uint64_t));
}

/* ---- the sweep ---- */

FIXTURE(failnth)
{
	struct round r;
	int nth;
	char saved[ARRAY_SIZE(knobs)][16];
	struct counters before[NODE_LAST + 1];
	int refs; /* of the module: a region that is not freed keeps one */
};

FIXTURE_VARIANT(failnth)
{
	enum stage stage;
	int (*prepare)(struct round * r);
	int (*before)(struct round * r);
	int (*run)(struct round * r);
	unsigned int node; /* that the request is made on */
	unsigned int registrar;
	unsigned int flags;
};

/*
 * @at, @by: what is there; @with: what was done before; @on: the node that asks;
 * @of: the registrar.
 */
#define SWEEP_AFTER(id, request, at, by, with, on, of, how)                  \
	FIXTURE_VARIANT_ADD(failnth, id)                                     \
	{                                                                    \
		.run = run_##request, .stage = STAGE_##at, .prepare = (by),  \
		.before = (with), .node = NODE_##on, .registrar = NODE_##of, \
		.flags = (how)                                               \
	}
#define SWEEP(id, request, at, by, on, of, how) \
	SWEEP_AFTER(id, request, at, by, NULL, on, of, how)

SWEEP(create, create, OPEN, NULL, HOME, HOME, ALLOCATES);
SWEEP(create_far, create, OPEN, NULL, HOME, PEER, ALLOCATES | LINK);
SWEEP(attach, attach, REGION, NULL, HOME, HOME, ALLOCATES);
SWEEP(attach_far, attach, REGION, NULL, HOME, PEER, ALLOCATES | LINK);
SWEEP(mmap, mmap, ATTACHED, NULL, HOME, HOME, ALLOCATES);
SWEEP(alloc, alloc, ATTACHED, NULL, HOME, HOME, ALLOCATES | LINK);
SWEEP(alloc_chunks, alloc_chunks, ATTACHED, NULL, HOME, HOME, ALLOCATES | LINK);
SWEEP(alloc_chunks_room, alloc_chunks, ATTACHED, empty_chunk, HOME, HOME,
      ALLOCATES | LINK | ROOM);
SWEEP(alloc_on_small, alloc_small, ATTACHED, NULL, HOME, HOME,
      ALLOCATES | LINK);
SWEEP(alloc_on_large, alloc_large, ATTACHED, NULL, HOME, HOME,
      ALLOCATES | LINK);
SWEEP(alloc_on_small_far, alloc_small, ATTACHED, NULL, PEER, HOME,
      ALLOCATES | LINK);
SWEEP(alloc_on_large_far, alloc_large, ATTACHED, NULL, PEER, HOME,
      ALLOCATES | LINK);
SWEEP(slab, slab, ATTACHED, NULL, HOME, HOME, ALLOCATES | LINK);
SWEEP(borrow, borrow, ATTACHED, live, HOME, HOME, ALLOCATES);
SWEEP(borrow_far, borrow, ATTACHED, live_chunks, PEER, HOME, ALLOCATES | LINK);
SWEEP(borrow_excl, borrow_excl, ATTACHED, live, HOME, HOME, ALLOCATES);
SWEEP(borrow_excl_far, borrow_excl, ATTACHED, live_chunks, PEER, HOME,
      ALLOCATES | LINK | SETTLES);
SWEEP_AFTER(return, return, ATTACHED, live, run_borrow, HOME, HOME, 0);
SWEEP_AFTER(return_excl, return_excl, ATTACHED, live, run_borrow_excl, HOME,
	    HOME, 0);
SWEEP_AFTER(return_far, return, ATTACHED, live, run_borrow, PEER, HOME, 0);
SWEEP(fetch, fetch, ATTACHED, small, PEER, HOME, ALLOCATES | LINK);
SWEEP(fetch_many, fetch_many, ATTACHED, small, PEER, HOME, ALLOCATES | LINK);
SWEEP_AFTER(move, move, ATTACHED, small, with_place, PEER, HOME,
	    ALLOCATES | LINK | SETTLES);
SWEEP(free, free, ATTACHED, live, HOME, HOME, 0);
SWEEP(free_far, free, ATTACHED, live, PEER, HOME, ALLOCATES | SETTLES);
SWEEP(free_far_small, free, ATTACHED, small, PEER, HOME, ALLOCATES | SETTLES);
SWEEP_AFTER(freeze, freeze, ATTACHED, live, run_borrow_excl, HOME, HOME, 0);
SWEEP(publish, publish, ATTACHED, frozen, HOME, HOME, ALLOCATES);
SWEEP(publish_far, publish, ATTACHED, frozen, HOME, PEER, ALLOCATES | LINK);
SWEEP(lookup, lookup, ATTACHED, named, HOME, HOME, 0);
SWEEP(lookup_far, lookup, ATTACHED, named, HOME, PEER, ALLOCATES | LINK);
SWEEP_AFTER(fault, touch, MAPPED, live, run_borrow, HOME, HOME,
	    ALLOCATES | FAULT);
SWEEP_AFTER(fault_far_borrowed, touch, MAPPED, live, run_borrow, PEER, HOME,
	    ALLOCATES | FAULT);
SWEEP_AFTER(fault_ledger, touch_window, ATTACHED, NULL, with_ledger, HOME, HOME,
	    ALLOCATES | FAULT);
SWEEP_AFTER(fault_held, touch_window, ATTACHED, NULL, with_held, HOME, HOME,
	    ALLOCATES | FAULT);
SWEEP(take, take, ATTACHED, named, HOME, HOME, 0);
SWEEP(take_far, take, ATTACHED, named, HOME, PEER, ALLOCATES | LINK);
SWEEP(fault_far, touch, MAPPED, frozen, PEER, HOME, ALLOCATES | FAULT);
SWEEP(fault_far_chunk, touch, MAPPED, frozen_chunks, PEER, HOME,
      ALLOCATES | FAULT);
SWEEP(remove, remove, REGION, cached, HOME, HOME, ALLOCATES);
SWEEP(remove_far, remove, REGION, cached, HOME, PEER, ALLOCATES | LINK);
SWEEP(ping, ping, OPEN, NULL, HOME, HOME, ALLOCATES | LINK);

/* Sets a knob, having saved what it was. */
static bool knob_set(const char *path, const char *value, char *saved,
		     size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = !saved || read(fd, saved, size - 1) > 0;
	ok &= write(fd, value, strlen(value)) > 0;
	close(fd);
	return ok;
}

static bool knobs_set(char saved[ARRAY_SIZE(knobs)][16])
{
	bool ok = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(knobs); i++)
		ok &= knob_set(knobs[i].path, knobs[i].value, saved[i],
			       sizeof(saved[i]));
	return ok;
}

static bool knobs_restore(char saved[ARRAY_SIZE(knobs)][16])
{
	bool ok = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(knobs); i++)
		ok &= knob_set(knobs[i].path, saved[i], NULL, 0);
	return ok;
}

static int module_refs(void)
{
	char text[16] = "";
	int fd = open("/sys/module/dsm/refcnt", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	return (int)strtol(text, NULL, 10);
}

FIXTURE_SETUP(failnth)
{
	self->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->nth < 0)
		return;
	ASSERT_TRUE(knobs_set(self->saved));
	regions_clear();
	ASSERT_EQ(0, region_name_at(variant->registrar, self->r.region));
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		ASSERT_EQ(0, counters_read(node, 0, &self->before[node]));
	}
	self->refs = module_refs();
	ASSERT_LT(0, self->refs);
	/* No page fault of the test's own may take a failure away. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
}

FIXTURE_TEARDOWN(failnth)
{
	if (self->nth < 0)
		return;
	EXPECT_TRUE(knobs_restore(self->saved));
	close(self->nth);
	regions_clear();
}

static int round_begin(struct round *r, const FIXTURE_VARIANT(failnth) * v)
{
	int err = 0;

	if (v->stage >= STAGE_REGION &&
	    dsm_region_create(NODE_HOME, r->region, 0600))
		return -errno;
	if (v->prepare)
		err = v->prepare(r);
	if (!err)
		err = round_open(r);
	r->at.node = v->node;
	if (!err && v->stage >= STAGE_ATTACHED)
		err = run_attach(r);
	if (!err && v->stage >= STAGE_MAPPED)
		err = run_mmap(r);
	if (!err && v->before)
		err = v->before(r);
	return err;
}

/* What failed has changed nothing: the plain request does it. */
static int run_again(struct round *r, const FIXTURE_VARIANT(failnth) * v)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	uint64_t end = now_ms() + WAIT_MS;
	int err = v->run(r);

	while (v->flags & SETTLES && (err == -EBUSY || err == -EHOSTDOWN) &&
	       now_ms() < end) {
		nanosleep(&pause, NULL);
		err = v->run(r);
	}
	return err;
}

static bool nothing_is_left(void *arg)
{
	static const enum dsm_counter gauge[] = { DSM_COUNTER_GAUGE_CHUNKS,
						  DSM_COUNTER_GAUGE_COPIES };
	const FIXTURE_DATA(failnth) *self = arg;
	bool same = module_refs() == self->refs;

	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++)
		for (unsigned int i = 0; i < ARRAY_SIZE(gauge); i++)
			same &= counter_now(node, gauge[i]) ==
				self->before[node].v[gauge[i]];
	return same;
}

static bool round_end(FIXTURE_DATA(failnth) * self)
{
	round_close(&self->r);
	if (dsm_region_remove(NODE_HOME, self->r.region) && errno != ENOENT)
		return false;
	return wait_until(nothing_is_left, self, WAIT_MS);
}

/* Runs the request; *left is 0 if an allocation failed. */
static int run_failing(int nth, int (*run)(struct round *r), struct round *r,
		       unsigned int *left)
{
	char text[16] = "";
	int len = snprintf(text, sizeof(text), "%u", r->n);
	int err;

	*left = 0;
	if (pwrite(nth, text, (size_t)len, 0) != len)
		return -EIO;
	err = run(r);
	memset(text, 0, sizeof(text));
	if (pread(nth, text, sizeof(text) - 1, 0) <= 0)
		err = -EIO;
	if (pwrite(nth, "0", 1, 0) != 1)
		err = -EIO;
	*left = (unsigned int)strtoul(text, NULL, 10);
	return err;
}

TEST_F_TIMEOUT(failnth, every_allocation_fails_once, 600)
{
	int memory = variant->flags & FAULT ? -EFAULT : -ENOMEM;
	struct round *r = &self->r;
	unsigned int left, needed = 0, made_room = 0;

	/* The harness would not heed it in the fixture's setup. */
	if (self->nth < 0)
		SKIP(return, "the kernel has no fault injection");
	r->n = 0;
	do {
		uint64_t released;
		int err;

		ASSERT_GT(MOST_ROUNDS, ++r->n);
		ASSERT_EQ(0, round_begin(r, variant))
		{
			TH_LOG("round %u", r->n);
		}
		released = counter_now(NODE_HOME, DSM_COUNTER_CHUNKS_RELEASED);
		err = run_failing(self->nth, variant->run, r, &left);
		ASSERT_NE(-EIO, err);
		made_room +=
			!err && !left &&
			counter_now(NODE_HOME, DSM_COUNTER_CHUNKS_RELEASED) >
				released;
		needed += err != 0;
		/* After EHOSTDOWN it may have been carried out. */
		/* What can be told to have failed is to be done again. */
		if (err && variant->flags & SETTLES &&
		    (err == -EHOSTDOWN || err == -EBUSY) && !left) {
			EXPECT_EQ(0, run_again(r, variant))
			{
				TH_LOG("after %d, round %u", err, r->n);
			}
		} else if (err && (left || !(variant->flags & LINK) ||
				   err != -EHOSTDOWN)) {
			EXPECT_EQ(left ? 0 : memory, err)
			{
				TH_LOG("round %u", r->n);
			}
			EXPECT_EQ(0, run_again(r, variant))
			{
				TH_LOG("again, round %u", r->n);
			}
		}
		ASSERT_TRUE(round_end(self))
		{
			TH_LOG("round %u", r->n);
		}
	} while (!left);
	if (variant->flags & ALLOCATES) {
		EXPECT_LT(1, r->n);
	}
	if (variant->flags & ROOM) {
		EXPECT_LT(0, made_room);
	}
	TH_LOG("%u allocations, %u of them needed", r->n - 1, needed);
}

/* ---- memory that stays short ---- */

/* Of the pages that this thread asks for, from some on, all are refused. */
static bool pages_end(const char *after)
{
	return knob_set(DEBUGFS "fail_page_alloc/task-filter", "Y", NULL, 0) &&
	       knob_set(DEBUGFS "fail_page_alloc/times", "-1", NULL, 0) &&
	       knob_set(DEBUGFS "fail_page_alloc/space", after, NULL, 0) &&
	       knob_set(DEBUGFS "fail_page_alloc/probability", "100", NULL, 0);
}

static bool pages_come(void)
{
	return knob_set(DEBUGFS "fail_page_alloc/probability", "0", NULL, 0) &&
	       knob_set(DEBUGFS "fail_page_alloc/space", "0", NULL, 0) &&
	       knob_set(DEBUGFS "fail_page_alloc/times", "1", NULL, 0) &&
	       knob_set(DEBUGFS "fail_page_alloc/task-filter", "N", NULL, 0);
}

static bool has_no_chunk(void *arg)
{
	(void)arg;
	return !counter_now(NODE_HOME, DSM_COUNTER_GAUGE_CHUNKS);
}

/* There is memory for the first chunks of an object, for no more, and will not be. */
TEST(what_a_failed_allocation_had_got_is_given_back)
{
	static const char *const after[] = { "0", "300", "700", "1200" };
	char saved[ARRAY_SIZE(knobs)][16] = {};
	struct counters before, c;
	struct round r = {};
	int fails = open("/proc/thread-self/make-it-fail", O_RDWR | O_CLOEXEC);

	if (fails < 0)
		SKIP(return, "the kernel has no fault injection");
	regions_clear();
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	ASSERT_TRUE(knobs_set(saved));
	for (unsigned int i = 0; i < ARRAY_SIZE(after); i++) {
		struct dsm_ref ref = { .size = 8 * DSM_CHUNK_SIZE };
		int err;

		ASSERT_EQ(0, region_name_at(NODE_HOME, r.region));
		ASSERT_EQ(0, dsm_region_create(NODE_HOME, r.region, 0600));
		ASSERT_EQ(0, attach_node(&r, NODE_HOME));
		ASSERT_EQ(0, counters_read(NODE_HOME, 0, &before));
		ASSERT_TRUE(pages_end(after[i]));
		ASSERT_EQ(1, pwrite(fails, "1", 1, 0));
		err = object(&r, DSM_IOC_ALLOC, ref);
		ASSERT_EQ(1, pwrite(fails, "0", 1, 0));
		ASSERT_TRUE(pages_come());
		EXPECT_EQ(-ENOMEM, err);
		c = counters_since(NODE_HOME, 0, &before);
		TH_LOG("after %s pages: %lu chunks populated, %lu released",
		       after[i], COUNT(c, CHUNKS_POPULATED),
		       COUNT(c, CHUNKS_RELEASED));
		/* What it had got was given back, and was not enough. */
		EXPECT_EQ(COUNT(c, CHUNKS_POPULATED),
			  COUNT(c, CHUNKS_RELEASED));
		EXPECT_GE(4, COUNT(c, CHUNKS_POPULATED));
		EXPECT_EQ(0, object(&r, DSM_IOC_ALLOC, ref));
		round_close(&r);
		EXPECT_EQ(0, dsm_region_remove(NODE_HOME, r.region));
		EXPECT_TRUE(wait_until(has_no_chunk, NULL, WAIT_MS));
	}
	EXPECT_TRUE(knobs_restore(saved));
	close(fails);
}

TEST_HARNESS_MAIN
