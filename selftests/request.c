// SPDX-License-Identifier: GPL-2.0-only
/*
 * The requests of an attached file: what each makes of handles that name nothing,
 * of memory that is not there, and of values out of bounds.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "harness.h"

/*
 * Handles that name nothing.  All requests check what can be seen from the handle
 * itself alike; then it depends on the request which errno tells the rest.
 */

#define UNPOPULATED (PARTITION_BYTES - DSM_CHUNK_SIZE) /* in any partition */
#define NODE_NONE 40

enum nothing { OLD_VERSION, OTHER_SIZE, NO_CHUNK, NO_NODE, STRANGERS, KINDS };

FIXTURE(handle)
{
	int fd;
	char region[DSM_NAME_BYTES];
	char second[DSM_NAME_BYTES];
	struct worker stranger; /* of another region */
	struct dsm_ref good;
	uint64_t to; /* for a move */
};

FIXTURE_VARIANT(handle)
{
	unsigned int cmd;
	__u32 flags;
	unsigned int node; /* home of the handle */
	unsigned int bytes;
	bool held; /* the handle is borrowed exclusively */
	int err[KINDS];
};

#define HANDLE(id, request, on, size, ...)                               \
	FIXTURE_VARIANT_ADD(handle, id)                                  \
	{                                                                \
		.cmd = DSM_IOC_##request, .node = (on), .bytes = (size), \
		__VA_ARGS__                                              \
	}

HANDLE(BORROW, BORROW, NODE_HOME, 2 * PAGE_BYTES,
       .err = { ESTALE, ESTALE, ESTALE, EACCES, EACCES });
HANDLE(BORROW_EXCL, BORROW, NODE_HOME, 2 * PAGE_BYTES, .flags = DSM_BORROW_EXCL,
       .err = { ESTALE, ESTALE, ESTALE, EACCES, EACCES });
HANDLE(BORROW_ACCEPT, BORROW, NODE_HOME, 2 * PAGE_BYTES,
       .flags = DSM_BORROW_EXCL | DSM_BORROW_ACCEPT,
       .err = { ESTALE, ESTALE, ESTALE, EACCES, EACCES });
HANDLE(RETURN, RETURN, NODE_HOME, 2 * PAGE_BYTES, .held = true,
       .flags = DSM_BORROW_EXCL, .err = { EPERM, EPERM, EPERM, EPERM, EPERM });
HANDLE(FREEZE, FREEZE, NODE_HOME, 2 * PAGE_BYTES, .held = true,
       .err = { EPERM, EPERM, EPERM, EPERM, EPERM });
HANDLE(DROP, DROP, NODE_HOME, 2 * PAGE_BYTES,
       .err = { ESTALE, ESTALE, ESTALE, EACCES, EACCES });
HANDLE(PUBLISH, PUBLISH, NODE_HOME, 2 * PAGE_BYTES,
       .err = { ESTALE, ESTALE, ESTALE, EACCES, EACCES });
HANDLE(PUBLISH_small, PUBLISH, NODE_HOME, 128,
       .err = { ESTALE, ESTALE, EACCES, EACCES, EACCES });
HANDLE(FETCH_own, FETCH, NODE_HOME, 128,
       .err = { ESTALE, ESTALE, EACCES, EACCES, EACCES });
HANDLE(BORROW_far, BORROW, NODE_PEER, 2 * PAGE_BYTES,
       .err = { ESTALE, ESTALE, EACCES, EACCES, EACCES });
HANDLE(BORROW_EXCL_far, BORROW, NODE_PEER, 2 * PAGE_BYTES,
       .flags = DSM_BORROW_EXCL,
       .err = { ESTALE, ESTALE, EACCES, EACCES, EACCES });
HANDLE(FETCH, FETCH, NODE_PEER, 128,
       .err = { ESTALE, ESTALE, EACCES, EACCES, EACCES });
/* Of another size it does not fit where it is to go. */
HANDLE(MOVE, MOVE, NODE_PEER, 128,
       .err = { ESTALE, EINVAL, EACCES, EACCES, EACCES });
/* Not awaited: what owns nothing has no effect. */
HANDLE(DROP_far, DROP, NODE_PEER, 128, .err = { 0, 0, 0, EACCES, 0 });
HANDLE(DROP_far_large, DROP, NODE_PEER, 2 * PAGE_BYTES,
       .err = { 0, 0, 0, EACCES, 0 });

static uint64_t home_of(const FIXTURE_VARIANT(handle) * v)
{
	return RANGE_BASE + v->node * PARTITION_BYTES;
}

/* Allocates on the node that the test says at the start of its argument. */
static long alloc_there(struct dsm *dsm, void *arg)
{
	struct dsm_ref *ref = arg;

	return dsm_alloc_on(dsm, (unsigned int)ref->addr, ref->size, ref)
		       ? -errno
		       : 0;
}

/* An exclusive borrow shows that it is there and owned by its handle. */
static long borrow_there(struct dsm *dsm, void *arg)
{
	struct dsm_ref *ref = arg;

	return dsm_borrow_mut(dsm, ref, 0) ? 0 : -errno;
}

FIXTURE_SETUP(handle)
{
	struct dsm_ref *theirs;

	regions_clear();
	region_name(self->region);
	region_name(self->second);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->second, 0600));
	ASSERT_EQ(0, worker_start(&self->stranger, NODE_HOME, self->second,
				  O_RDWR));
	theirs = self->stranger.arg;
	*theirs = (struct dsm_ref){ .addr = variant->node,
				    .size = variant->bytes };
	ASSERT_EQ(0, worker_run(&self->stranger, alloc_there));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	ASSERT_EQ(0, request_alloc_on(self->fd, variant->node, variant->bytes,
				      &self->good));
	if (variant->held)
		ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW,
					    &self->good, DSM_BORROW_EXCL));
	if (variant->cmd == DSM_IOC_MOVE) {
		self->to = small_excl(self->fd, variant->bytes / DSM_LINE_SIZE);
		ASSERT_NE(0, self->to);
	}
}

/* The variant's request, with another handle: 0 or the errno, as a positive number. */
static int use(const FIXTURE_DATA(handle) * self,
	       const FIXTURE_VARIANT(handle) * v, const struct dsm_ref *ref)
{
	struct dsm_fetch_args fetch = { .size = sizeof(fetch), .nr = 1 };
	struct dsm_move_args move = { .size = sizeof(move),
				      .ref = *ref,
				      .to = self->to };
	struct dsm_ref copy = *ref;
	__s32 error = 1;
	int err;

	switch (v->cmd) {
	case DSM_IOC_PUBLISH:
		return -request_publish(self->fd, "name", ref);
	case DSM_IOC_MOVE:
		return -request(self->fd, DSM_IOC_MOVE, &move);
	case DSM_IOC_FETCH:
		fetch.refs = (uintptr_t)ref;
		fetch.errors = (uintptr_t)&error;
		err = request(self->fd, DSM_IOC_FETCH, &fetch);
		return err ? 1000 - err : -error;
	default:
		return -request_object(self->fd, v->cmd, &copy, v->flags);
	}
}

/* A claim of ours is pending until its home has been told. */
static int use_settled(const FIXTURE_DATA(handle) * self,
		       const FIXTURE_VARIANT(handle) * v,
		       const struct dsm_ref *ref)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	uint64_t end = now_ms() + WAIT_MS;
	int err;

	while ((err = use(self, v, ref)) == EBUSY && now_ms() < end)
		nanosleep(&pause, NULL);
	return err;
}

FIXTURE_TEARDOWN(handle)
{
	/* Nothing that was refused has changed anything. */
	EXPECT_EQ(0, use_settled(self, variant, &self->good));
	worker_stop(&self->stranger);
	close(self->fd);
	regions_clear();
}

TEST_F(handle, address_outside_the_range_is_ERANGE)
{
	static const uint64_t addr[] = { 0, RANGE_BASE - PAGE_BYTES,
					 RANGE_BASE + RANGE_BYTES, -PAGE_BYTES,
					 1UL << 63 };
	struct dsm_ref bad = self->good;

	for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++) {
		bad.addr = addr[i];
		EXPECT_EQ(ERANGE, use(self, variant, &bad))
		TH_LOG("address %#lx", (unsigned long)addr[i]);
	}
	/* Begins inside and leaves it. */
	bad = self->good;
	bad.size = -PAGE_BYTES;
	EXPECT_EQ(ERANGE, use(self, variant, &bad));
	bad.addr = RANGE_BASE + RANGE_BYTES - DSM_LINE_SIZE;
	bad.size = self->good.size;
	EXPECT_EQ(ERANGE, use(self, variant, &bad));
}

TEST_F(handle, what_no_handle_can_be_is_EINVAL)
{
	const uint64_t version = self->good.version & DSM_WORD_VERSION_MASK;
	const unsigned int lines = self->good.version >> DSM_WORD_LINES_SHIFT &
				   DSM_WORD_LINES_MASK;
	const struct dsm_ref bad[] = {
		{ 1, 0, 0 },
		{ 8, 0, 0 },
		{ DSM_LINE_SIZE / 2, 0, 0 },
		{ 0, 1, 0 }, /* these versions are whole words */
		{ 0, UINT64_MAX, 0 },
		{ 0, DSM_WORD(DSM_STATE_FREE, lines, version), 0 },
		{ 0, DSM_WORD(DSM_STATE_CONT, lines, version), 0 },
		{ 0, DSM_WORD(DSM_STATE_EXCL, lines, version), 0 },
		{ 0, DSM_WORD(DSM_STATE_POISON, lines, version), 0 },
		{ 0, DSM_WORD(6, lines, version), 0 },
		{ 0, DSM_WORD(7, lines, version), 0 },
		{ 0, DSM_WORD(DSM_STATE_LIVE, 0, version), 0 },
		{ 0, DSM_WORD(DSM_STATE_LIVE, 65, version), 0 },
		{ 0, DSM_WORD(DSM_STATE_LIVE, 127, version), 0 },
		{ 0, 0, 1 },
		{ 0, 0, -1UL },
		{ 0, 0, -self->good.size }, /* none at all */
	};
	struct dsm_ref ref;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		ref = self->good;
		ref.addr += bad[i].addr;
		ref.version = bad[i].version ?: ref.version;
		ref.size += bad[i].size;
		EXPECT_EQ(EINVAL, use(self, variant, &ref)) TH_LOG("no. %u", i);
	}
	/* A large one not at a page, a small one across two; out of its partition. */
	ref = self->good;
	ref.addr |= PAGE_BYTES - DSM_LINE_SIZE;
	EXPECT_EQ(EINVAL, use(self, variant, &ref));
	ref.addr = home_of(variant) + PARTITION_BYTES - DSM_LINE_SIZE;
	EXPECT_EQ(EINVAL, use(self, variant, &ref));
	if (variant->bytes > PAGE_BYTES) {
		ref.addr = home_of(variant) + PARTITION_BYTES - PAGE_BYTES;
		EXPECT_EQ(EINVAL, use(self, variant, &ref));
	}
}

TEST_F(handle, what_names_nothing_is_refused)
{
	const struct dsm_ref *theirs = self->stranger.arg;
	struct dsm_ref bad[KINDS];

	for (unsigned int i = 0; i < KINDS; i++)
		bad[i] = self->good;
	bad[OLD_VERSION].version--;
	if (variant->bytes > PAGE_BYTES) {
		bad[OTHER_SIZE].size += PAGE_BYTES;
	} else {
		bad[OTHER_SIZE].size -= DSM_LINE_SIZE;
		bad[OTHER_SIZE].version -= DSM_WORD(0, 1, 0);
	}
	bad[NO_CHUNK].addr = home_of(variant) + UNPOPULATED;
	bad[NO_NODE].addr = RANGE_BASE + NODE_NONE * PARTITION_BYTES;
	bad[STRANGERS] = *theirs;
	for (unsigned int i = 0; i < KINDS; i++) {
		EXPECT_EQ(variant->err[i], use_settled(self, variant, &bad[i]))
		TH_LOG("no. %u", i);
	}
	/* A version that is yet to come. */
	bad[OLD_VERSION].version += 2;
	EXPECT_EQ(variant->err[OLD_VERSION],
		  use_settled(self, variant, &bad[OLD_VERSION]));
	/* Nor has it anything of the others. */
	EXPECT_EQ(0, worker_run(&self->stranger, borrow_there));
}

FIXTURE(attached)
{
	int fd;
	char region[DSM_NAME_BYTES];
	struct dsm_ref near, far; /* small, of both nodes */
	struct dsm_ref large; /* of this node */
};

FIXTURE_SETUP(attached)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	ASSERT_EQ(0, request_alloc_on(self->fd, NODE_HOME, 64, &self->near));
	ASSERT_EQ(0, request_alloc_on(self->fd, NODE_PEER, 64, &self->far));
	ASSERT_EQ(0, request_alloc_on(self->fd, NODE_HOME, PAGE_BYTES,
				      &self->large));
}

FIXTURE_TEARDOWN(attached)
{
	close(self->fd);
	regions_clear();
}

TEST_F(attached, alloc_on_any_node_gives_what_nobody_has_borrowed)
{
	static const unsigned int node[] = { NODE_HOME, NODE_PEER, NODE_LAST };
	static const uint64_t size[] = { 1, 63 * 64, 63 * 64 + 1, 4096,
					 3UL << 20 };

	for (unsigned int i = 0; i < ARRAY_SIZE(node); i++) {
		for (unsigned int k = 0; k < ARRAY_SIZE(size); k++) {
			bool small = size[k] <= DSM_MAX_LINES * DSM_LINE_SIZE;
			uint64_t unit = small ? DSM_LINE_SIZE : PAGE_BYTES;
			struct dsm_ref ref;

			ASSERT_EQ(0, request_alloc_on(self->fd, node[i],
						      size[k], &ref))
			TH_LOG("%lu bytes", (unsigned long)size[k]);
			EXPECT_EQ(node[i],
				  (ref.addr - RANGE_BASE) / PARTITION_BYTES);
			EXPECT_EQ(0, ref.addr % unit);
			EXPECT_EQ((size[k] + unit - 1) / unit * unit, ref.size);
			EXPECT_EQ(DSM_STATE_LIVE,
				  ref.version >> DSM_WORD_STATE_SHIFT);
			if (small)
				continue;
			EXPECT_EQ(0, request_object(self->fd, DSM_IOC_BORROW,
						    &ref, DSM_BORROW_EXCL));
			EXPECT_EQ(0, request_object(self->fd, DSM_IOC_RETURN,
						    &ref, DSM_BORROW_EXCL));
		}
	}
}

TEST_F(attached, alloc_on_refuses_bad_sizes_and_nodes)
{
	static const unsigned int node[] = { NODE_HOME, NODE_PEER };
	struct dsm_ref ref;

	for (unsigned int i = 0; i < ARRAY_SIZE(node); i++) {
		EXPECT_EQ(-EINVAL,
			  request_alloc_on(self->fd, node[i], 0, &ref));
		EXPECT_EQ(-EINVAL, request_alloc_on(self->fd, node[i],
						    RANGE_BYTES + 1, &ref));
		EXPECT_EQ(-EINVAL, request_alloc_on(self->fd, node[i],
						    UINT64_MAX, &ref));
		EXPECT_EQ(-ENOSPC,
			  request_alloc_on(self->fd, node[i],
					   NODE_MEMORY_BYTES + 1, &ref));
		EXPECT_EQ(-ENOSPC, request_alloc_on(self->fd, node[i],
						    RANGE_BYTES, &ref));
	}
	EXPECT_EQ(-ENOENT, request_alloc_on(self->fd, NODE_UNKNOWN, 64, &ref));
	EXPECT_EQ(-ENOENT, request_alloc_on(self->fd, DSM_MAX_NODES, 64, &ref));
	EXPECT_EQ(-ENOENT, request_alloc_on(self->fd, DSM_NODE_ANY, 64, &ref));
}

TEST_F(attached, alloc_on_with_anything_but_a_size_is_EINVAL)
{
	struct dsm_alloc_args args = { .size = sizeof(args),
				       .node = NODE_PEER,
				       .ref.size = 64,
				       .ref.addr = self->far.addr };

	EXPECT_EQ(-EINVAL, request(self->fd, DSM_IOC_ALLOC_ON, &args));
	args.ref.addr = 0;
	args.ref.version = 1;
	EXPECT_EQ(-EINVAL, request(self->fd, DSM_IOC_ALLOC_ON, &args));
}

TEST_F(attached, slab_of_any_size_has_the_shape_that_was_asked_for)
{
	struct dsm_slab_args args = { .size = sizeof(args) };
	uint64_t *words = ledger_map(self->fd);

	ASSERT_NE(NULL, words);
	for (args.lines = 1; args.lines <= DSM_MAX_LINES; args.lines++) {
		const uint64_t *word;
		unsigned int wrong = 0;

		ASSERT_EQ(0, request(self->fd, DSM_IOC_SLAB, &args));
		ASSERT_EQ(0, args.addr % PAGE_BYTES);
		ASSERT_EQ(NODE_HOME,
			  (args.addr - RANGE_BASE) / PARTITION_BYTES);
		word = &words[ledger_index(args.addr)];
		for (unsigned int i = 0; i < 64; i++) {
			bool first = i % args.lines == 0 &&
				     i + args.lines <= 64;

			/* Of one line there is an object already. */
			if (args.addr + i * DSM_LINE_SIZE == self->near.addr)
				continue;
			wrong += word[i] >> DSM_WORD_LINES_SHIFT !=
				 DSM_WORD(first ? DSM_STATE_FREE
						: DSM_STATE_CONT,
					  first ? args.lines : 0, 0) >>
					 DSM_WORD_LINES_SHIFT;
		}
		EXPECT_EQ(0, wrong) TH_LOG("%u lines", args.lines);
	}
	args.lines = 0;
	EXPECT_EQ(-EINVAL, request(self->fd, DSM_IOC_SLAB, &args));
	args.lines = DSM_MAX_LINES + 1;
	EXPECT_EQ(-EINVAL, request(self->fd, DSM_IOC_SLAB, &args));
	args.lines = UINT32_MAX;
	EXPECT_EQ(-EINVAL, request(self->fd, DSM_IOC_SLAB, &args));
	ledger_unmap(words);
}

static int fetch(int fd, const void *refs, void *errors, __u32 nr, __u32 flags)
{
	struct dsm_fetch_args args = { .size = sizeof(args),
				       .flags = flags,
				       .nr = nr,
				       .refs = (uintptr_t)refs,
				       .errors = (uintptr_t)errors };

	return request(fd, DSM_IOC_FETCH, &args);
}

TEST_F(attached, fetch_of_none_or_too_many_is_EINVAL)
{
	static struct dsm_ref refs[DSM_FETCH_MAX + 1];
	static __s32 errors[DSM_FETCH_MAX + 1];

	for (unsigned int i = 0; i < ARRAY_SIZE(refs); i++)
		refs[i] = self->far;
	EXPECT_EQ(-EINVAL, fetch(self->fd, refs, errors, 0, 0));
	EXPECT_EQ(-EINVAL, fetch(self->fd, refs, errors, DSM_FETCH_MAX + 1, 0));
	EXPECT_EQ(-EINVAL, fetch(self->fd, refs, errors, UINT32_MAX, 0));
	EXPECT_EQ(-EINVAL,
		  fetch(self->fd, refs, NULL, UINT32_MAX, DSM_FETCH_NOWAIT));
	/* All of one object. */
	memset(errors, 0xa5, sizeof(errors));
	ASSERT_EQ(0, fetch(self->fd, refs, errors, DSM_FETCH_MAX, 0));
	for (unsigned int i = 0; i < DSM_FETCH_MAX; i++) {
		ASSERT_EQ(0, errors[i]) TH_LOG("no. %u", i);
	}
	EXPECT_EQ((__s32)0xa5a5a5a5, errors[DSM_FETCH_MAX]);
}

TEST_F(attached, fetch_with_bad_memory_is_EFAULT)
{
	unsigned char *pages = mmap(NULL, 2 * PAGE_BYTES,
				    PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct dsm_ref refs[2] = { self->far, self->near };
	__s32 errors[2] = { 1, 1 };
	void *kernel = (void *)(uintptr_t)0xffff888000000000UL;
	unsigned char *edge = pages + PAGE_BYTES;

	ASSERT_NE(MAP_FAILED, (void *)pages);
	/* Up to the edge there is one handle, and room for one result. */
	memcpy(edge - sizeof(refs[0]), refs, sizeof(refs[0]));
	ASSERT_EQ(0, mprotect(edge, PAGE_BYTES, PROT_NONE));
	for (unsigned int nr = 1; nr <= 2; nr++) {
		EXPECT_EQ(-EFAULT, fetch(self->fd, NULL, errors, nr, 0));
		EXPECT_EQ(-EFAULT, fetch(self->fd, kernel, errors, nr, 0));
		EXPECT_EQ(-EFAULT,
			  fetch(self->fd, (void *)-8UL, errors, nr, 0));
		EXPECT_EQ(-EFAULT, fetch(self->fd, refs, NULL, nr, 0));
		EXPECT_EQ(-EFAULT, fetch(self->fd, refs, kernel, nr, 0));
		EXPECT_EQ(-EFAULT, fetch(self->fd, refs, (void *)-4UL, nr, 0));
		EXPECT_EQ(-EFAULT,
			  fetch(self->fd, kernel, NULL, nr, DSM_FETCH_NOWAIT));
		EXPECT_EQ(0, fetch(self->fd, refs, NULL, nr, DSM_FETCH_NOWAIT));
	}
	EXPECT_EQ(1, errors[0]);
	EXPECT_EQ(0, fetch(self->fd, edge - sizeof(refs[0]),
			   edge - sizeof(errors[0]), 1, 0));
	memcpy(edge - sizeof(refs[0]), refs, sizeof(refs[0]));
	EXPECT_EQ(-EFAULT,
		  fetch(self->fd, edge - sizeof(refs[0]), errors, 2, 0));
	EXPECT_EQ(-EFAULT,
		  fetch(self->fd, refs, edge - sizeof(errors[0]), 2, 0));
	ASSERT_EQ(0, mprotect(pages, PAGE_BYTES, PROT_READ));
	EXPECT_EQ(-EFAULT, fetch(self->fd, refs, pages, 1, 0));
	EXPECT_EQ(0, fetch(self->fd, refs, errors, 2, 0));
	EXPECT_EQ(0, errors[0]);
	EXPECT_EQ(0, errors[1]);
	munmap(pages, 2 * PAGE_BYTES);
}

TEST_F(attached, fetch_tells_of_each_handle)
{
	struct dsm_ref stale = self->far, none = self->far;
	uint64_t addr = small_excl(self->fd, 3), *words = ledger_map(self->fd);
	struct dsm_ref excl = { .addr = addr, .size = 3 * DSM_LINE_SIZE };
	const int want[] = { 0, -ESTALE, -ERANGE, 0, -EINVAL, -EBUSY, 0 };
	__s32 errors[ARRAY_SIZE(want)];

	ASSERT_TRUE(addr && words);
	excl.version = words[ledger_index(addr)] +
		       DSM_WORD(DSM_STATE_LIVE - DSM_STATE_EXCL, 0, 0);
	stale.version--;
	none.addr = 0;
	const struct dsm_ref refs[] = { self->far,  stale,	 none,
					self->near, self->large, excl,
					self->far };

	ASSERT_EQ(0, fetch(self->fd, refs, errors, ARRAY_SIZE(want), 0));
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++) {
		EXPECT_EQ(want[i], errors[i]) TH_LOG("no. %u", i);
	}
	EXPECT_EQ(self->far.version, words[ledger_index(self->far.addr)]);
	/* Hints report nothing. */
	EXPECT_EQ(0, fetch(self->fd, refs, NULL, ARRAY_SIZE(want),
			   DSM_FETCH_NOWAIT));
	ledger_unmap(words);
}

static int move(int fd, const struct dsm_ref *ref, uint64_t to, __u32 flags)
{
	struct dsm_move_args args = {
		.size = sizeof(args), .flags = flags, .ref = *ref, .to = to
	};

	return request(fd, DSM_IOC_MOVE, &args);
}

TEST_F(attached, move_to_what_is_not_ours_to_write_is_refused)
{
	uint64_t one = small_excl(self->fd, 1), two = small_excl(self->fd, 2);
	const struct {
		uint64_t to;
		int err;
	} bad[] = {
		{ 0, -ERANGE },
		{ RANGE_BASE - DSM_LINE_SIZE, -ERANGE },
		{ RANGE_BASE + RANGE_BYTES, -ERANGE },
		{ UINT64_MAX, -ERANGE },
		{ one + 1, -EINVAL },
		{ one + DSM_LINE_SIZE / 2, -EINVAL },
		{ two, -EINVAL }, /* other lines */
		{ self->near.addr, -EINVAL }, /* nobody has it in EXCL */
		{ self->far.addr, -EXDEV },
		{ self->far.addr + DSM_LINE_SIZE, -EXDEV },
		{ RANGE_BASE + NODE_NONE * PARTITION_BYTES, -EXDEV },
		{ self->large.addr, -EXDEV }, /* not a page of small ones */
		{ RANGE_BASE + NODE_HOME * PARTITION_BYTES + UNPOPULATED,
		  -EXDEV },
	};

	ASSERT_TRUE(one && two);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(bad[i].err, move(self->fd, &self->far, bad[i].to, 0))
		TH_LOG("no. %u", i);
	}
	EXPECT_EQ(-EINVAL, move(self->fd, &self->near, one, 0))
	TH_LOG("from here");
	EXPECT_EQ(-EINVAL, move(self->fd, &self->large, one, 0));
	EXPECT_EQ(-EINVAL, move(self->fd, &self->far, one, DSM_BORROW_EXCL));
	EXPECT_EQ(0, move(self->fd, &self->far, one, 0));
}

TEST_F(attached, take_gives_a_name_once)
{
	struct dsm_name_args args = { .size = sizeof(args), .name = "it" };

	EXPECT_EQ(-ENOENT, request(self->fd, DSM_IOC_TAKE, &args));
	args.timeout_ms = 20;
	EXPECT_EQ(-ETIMEDOUT, request(self->fd, DSM_IOC_TAKE, &args));
	args.timeout_ms = 0;
	ASSERT_EQ(0, request_publish(self->fd, "it", &self->large));
	ASSERT_EQ(0, request(self->fd, DSM_IOC_LOOKUP, &args));
	ASSERT_EQ(0, request(self->fd, DSM_IOC_TAKE, &args));
	EXPECT_EQ(0, memcmp(&self->large, &args.ref, sizeof(args.ref)));
	EXPECT_EQ(-ENOENT, request(self->fd, DSM_IOC_TAKE, &args));
	EXPECT_EQ(-ENOENT, request(self->fd, DSM_IOC_LOOKUP, &args));
	/* The name is free again. */
	EXPECT_EQ(0, request_publish(self->fd, "it", &self->large));
}

TEST_F(attached, publish_anew_replaces_the_handle)
{
	struct dsm_name_args args = { .size = sizeof(args), .name = "it" };

	ASSERT_EQ(0, request_publish(self->fd, "it", &self->large));
	args.ref = self->near;
	EXPECT_EQ(-EEXIST, request(self->fd, DSM_IOC_PUBLISH, &args));
	args.flags = DSM_PUBLISH_ANEW;
	EXPECT_EQ(0, request(self->fd, DSM_IOC_PUBLISH, &args));
	args.flags = 0;
	ASSERT_EQ(0, request(self->fd, DSM_IOC_LOOKUP, &args));
	EXPECT_EQ(0, memcmp(&self->near, &args.ref, sizeof(args.ref)));
	/* Also where there is none. */
	name_copy(args.name, "new");
	args.flags = DSM_PUBLISH_ANEW;
	EXPECT_EQ(0, request(self->fd, DSM_IOC_PUBLISH, &args));
}

TEST_F(attached, borrow_flags_that_need_an_exclusive_borrow_are_EINVAL)
{
	struct dsm_ref ref = self->large;

	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_BORROW, &ref,
					  DSM_BORROW_DISCARD));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_BORROW, &ref,
					  DSM_BORROW_ACCEPT));
	EXPECT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &ref,
				    DSM_BORROW_EXCL | DSM_BORROW_DISCARD |
					    DSM_BORROW_ACCEPT));
}

TEST_F(attached, return_of_the_other_kind_of_borrow_is_EPERM)
{
	struct dsm_ref ref = self->large;

	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &ref, 0));
	EXPECT_EQ(-EPERM, request_object(self->fd, DSM_IOC_RETURN, &ref,
					 DSM_BORROW_EXCL));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &ref, 0));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &ref,
				    DSM_BORROW_EXCL));
	EXPECT_EQ(-EPERM, request_object(self->fd, DSM_IOC_RETURN, &ref, 0));
	EXPECT_EQ(self->large.version, ref.version);
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_FREEZE, &ref, 0));
	/* Of a frozen object there is nothing to return. */
	EXPECT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &ref, 0));
	EXPECT_EQ(-EPERM, request_object(self->fd, DSM_IOC_RETURN, &ref,
					 DSM_BORROW_EXCL));
}

TEST_F(attached, small_objects_are_not_the_kernels_to_grant)
{
	struct dsm_ref ref = self->near;

	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_BORROW, &ref, 0));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_BORROW, &ref,
					  DSM_BORROW_EXCL));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_RETURN, &ref, 0));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_FREEZE, &ref, 0));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_DROP, &ref, 0));
	ref = self->far;
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_BORROW, &ref, 0));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_RETURN, &ref, 0));
	EXPECT_EQ(0, request_object(self->fd, DSM_IOC_DROP, &ref, 0));
}

TEST_HARNESS_MAIN
