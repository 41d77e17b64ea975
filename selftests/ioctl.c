// SPDX-License-Identifier: GPL-2.0-only
/*
 * The argument checks that all requests of /dev/dsm share, once for every
 * request, and what belongs to one request alone: names, nodes, counters, ping.
 */
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"

#define NONE SIZE_MAX

/* Large enough for any argument and a tail that the kernel does not know. */
union argument {
	__u32 size;
	struct dsm_info info;
	struct dsm_stat_args stat;
	struct dsm_ping_args ping;
	struct dsm_region_args region;
	struct dsm_attach_args attach;
	struct dsm_object_args object;
	struct dsm_alloc_args alloc;
	struct dsm_slab_args slab;
	struct dsm_fetch_args fetch;
	struct dsm_move_args move;
	struct dsm_name_args name;
	unsigned char bytes[512];
};

FIXTURE(request)
{
	int fd;
	char region[DSM_NAME_BYTES];
	struct dsm_ref held; /* large, borrowed exclusively */
	struct dsm_ref live; /* large, not borrowed */
	struct dsm_ref far; /* small, of the peer */
	__s32 error;
	union argument arg;
	__u64 values[DSM_COUNTER_NR];
};

FIXTURE_VARIANT(request)
{
	unsigned int cmd;
	size_t bytes;
	size_t flags; /* offsets of what must be zero */
	size_t reserved;
	size_t name;
	__u32 known; /* flags that it may have */
	bool attached; /* needs an attached file */
	bool writer; /* that was opened for writing */
};

#define REQUEST(id, type, ...)                                                 \
	FIXTURE_VARIANT_ADD(request, id)                                       \
	{                                                                      \
		.cmd = DSM_IOC_##id, .bytes = sizeof(struct type), __VA_ARGS__ \
	}

REQUEST(INFO, dsm_info, .flags = NONE, .reserved = NONE, .name = NONE);
REQUEST(STAT, dsm_stat_args, .flags = NONE,
	.reserved = offsetof(struct dsm_stat_args, reserved), .name = NONE);
REQUEST(PING, dsm_ping_args, .flags = NONE, .reserved = NONE, .name = NONE);
REQUEST(REGION_CREATE, dsm_region_args,
	.flags = offsetof(struct dsm_region_args, flags), .reserved = NONE,
	.name = offsetof(struct dsm_region_args, name));
REQUEST(REGION_REMOVE, dsm_region_args,
	.flags = offsetof(struct dsm_region_args, flags), .reserved = NONE,
	.name = offsetof(struct dsm_region_args, name));
REQUEST(REGION_NEXT, dsm_region_args,
	.flags = offsetof(struct dsm_region_args, flags), .reserved = NONE,
	.name = NONE);
REQUEST(ATTACH, dsm_attach_args,
	.flags = offsetof(struct dsm_attach_args, flags),
	.reserved = offsetof(struct dsm_attach_args, reserved),
	.name = offsetof(struct dsm_attach_args, name));
REQUEST(ALLOC, dsm_object_args,
	.flags = offsetof(struct dsm_object_args, flags), .reserved = NONE,
	.name = NONE, .attached = true, .writer = true);
REQUEST(ALLOC_ON, dsm_alloc_args,
	.flags = offsetof(struct dsm_alloc_args, flags),
	.reserved = offsetof(struct dsm_alloc_args, reserved), .name = NONE,
	.attached = true, .writer = true);
REQUEST(BORROW, dsm_object_args,
	.flags = offsetof(struct dsm_object_args, flags), .reserved = NONE,
	.name = NONE, .known = DSM_BORROW_EXCL, .attached = true);
REQUEST(RETURN, dsm_object_args,
	.flags = offsetof(struct dsm_object_args, flags), .reserved = NONE,
	.name = NONE, .known = DSM_BORROW_EXCL, .attached = true);
REQUEST(DROP, dsm_object_args, .flags = offsetof(struct dsm_object_args, flags),
	.reserved = NONE, .name = NONE, .attached = true, .writer = true);
REQUEST(FREEZE, dsm_object_args,
	.flags = offsetof(struct dsm_object_args, flags), .reserved = NONE,
	.name = NONE, .attached = true, .writer = true);
REQUEST(SLAB, dsm_slab_args, .flags = NONE, .reserved = NONE, .name = NONE,
	.attached = true, .writer = true);
REQUEST(FETCH, dsm_fetch_args, .flags = offsetof(struct dsm_fetch_args, flags),
	.reserved = offsetof(struct dsm_fetch_args, reserved), .name = NONE,
	.known = DSM_FETCH_NOWAIT, .attached = true);
REQUEST(MOVE, dsm_move_args, .flags = offsetof(struct dsm_move_args, flags),
	.reserved = NONE, .name = NONE,
	.known = DSM_BORROW_DISCARD | DSM_BORROW_ACCEPT, .attached = true,
	.writer = true);
REQUEST(PUBLISH, dsm_name_args, .flags = offsetof(struct dsm_name_args, flags),
	.reserved = offsetof(struct dsm_name_args, reserved),
	.name = offsetof(struct dsm_name_args, name), .known = DSM_PUBLISH_ANEW,
	.attached = true, .writer = true);
REQUEST(LOOKUP, dsm_name_args, .flags = offsetof(struct dsm_name_args, flags),
	.reserved = offsetof(struct dsm_name_args, reserved),
	.name = offsetof(struct dsm_name_args, name), .attached = true);
REQUEST(TAKE, dsm_name_args, .flags = offsetof(struct dsm_name_args, flags),
	.reserved = offsetof(struct dsm_name_args, reserved),
	.name = offsetof(struct dsm_name_args, name), .attached = true,
	.writer = true);

/* An argument with which the variant's request succeeds. */
FIXTURE_SETUP(request)
{
	union argument *arg = &self->arg;

	regions_clear();
	region_name(self->region);
	if (variant->cmd != DSM_IOC_REGION_CREATE)
		ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	arg->size = variant->bytes;

	if (variant->attached) {
		struct dsm_ref frozen = { .size = PAGE_BYTES };

		ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
		ASSERT_EQ(0,
			  request_object(self->fd, DSM_IOC_ALLOC, &frozen, 0));
		ASSERT_EQ(0,
			  request_object(self->fd, DSM_IOC_FREEZE, &frozen, 0));
		ASSERT_EQ(0, request_publish(self->fd, "there", &frozen));
		self->held.size = PAGE_BYTES;
		ASSERT_EQ(0, request_object(self->fd, DSM_IOC_ALLOC,
					    &self->held, 0));
		ASSERT_EQ(0, request_alloc_on(self->fd, NODE_HOME,
					      2 * PAGE_BYTES, &self->live));
		ASSERT_EQ(0, request_alloc_on(self->fd, NODE_PEER, 128,
					      &self->far));
		if (variant->cmd == DSM_IOC_PUBLISH)
			arg->name.ref = frozen;
	}

	switch (variant->cmd) {
	case DSM_IOC_STAT:
		arg->stat.node = NODE_HOME;
		arg->stat.nr = DSM_COUNTER_NR;
		arg->stat.values = (uintptr_t)self->values;
		break;
	case DSM_IOC_PING:
		arg->ping.node = NODE_HOME;
		arg->ping.peer = NODE_PEER;
		arg->ping.bytes = 64;
		arg->ping.depth = 1;
		arg->ping.count = 4;
		break;
	case DSM_IOC_REGION_CREATE:
	case DSM_IOC_REGION_REMOVE:
		arg->region.node = NODE_HOME;
		arg->region.mode = variant->cmd == DSM_IOC_REGION_CREATE ? 0600
									 : 0;
		name_copy(arg->region.name, self->region);
		break;
	case DSM_IOC_REGION_NEXT: {
		struct dsm_region_args found;

		ASSERT_EQ(0, region_find(self->region, &found));
		arg->region.node = NODE_HOME;
		arg->region.registrar = found.registrar;
		break;
	}
	case DSM_IOC_ATTACH:
		arg->attach.node = NODE_HOME;
		name_copy(arg->attach.name, self->region);
		break;
	case DSM_IOC_ALLOC:
		arg->object.ref.size = PAGE_BYTES;
		break;
	case DSM_IOC_ALLOC_ON:
		arg->alloc.node = NODE_PEER;
		arg->alloc.ref.size = 64;
		break;
	case DSM_IOC_BORROW:
	case DSM_IOC_DROP:
		arg->object.ref = self->live;
		break;
	case DSM_IOC_RETURN:
		arg->object.flags = DSM_BORROW_EXCL;
		arg->object.ref = self->held;
		break;
	case DSM_IOC_FREEZE:
		arg->object.ref = self->held;
		break;
	case DSM_IOC_SLAB:
		arg->slab.lines = 2;
		break;
	case DSM_IOC_FETCH:
		arg->fetch.nr = 1;
		arg->fetch.refs = (uintptr_t)&self->far;
		arg->fetch.errors = (uintptr_t)&self->error;
		break;
	case DSM_IOC_MOVE:
		arg->move.ref = self->far;
		arg->move.to = small_excl(self->fd, 2);
		ASSERT_NE(0, arg->move.to);
		break;
	case DSM_IOC_PUBLISH:
		name_copy(arg->name.name, "new");
		break;
	case DSM_IOC_TAKE:
	case DSM_IOC_LOOKUP:
		name_copy(arg->name.name, "there");
		break;
	}
}

FIXTURE_TEARDOWN(request)
{
	close(self->fd);
	regions_clear();
}

TEST_F(request, exact_size_is_accepted)
{
	EXPECT_EQ(0, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, size_zero_is_EINVAL)
{
	self->arg.size = 0;
	EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, size_too_small_is_EINVAL)
{
	self->arg.size = sizeof(__u32);
	EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg));
	self->arg.size = variant->bytes - 1;
	EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, larger_with_zero_tail_is_accepted)
{
	self->arg.size = variant->bytes + 64;
	EXPECT_EQ(0, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, larger_with_nonzero_tail_is_E2BIG)
{
	self->arg.size = variant->bytes + 64;
	self->arg.bytes[variant->bytes + 63] = 1;
	EXPECT_EQ(-E2BIG, request(self->fd, variant->cmd, &self->arg));
	self->arg.bytes[variant->bytes + 63] = 0;
	/* It was refused before anything happened. */
	EXPECT_EQ(0, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, absurd_size_is_refused)
{
	int err;

	self->arg.size = UINT32_MAX;
	err = request(self->fd, variant->cmd, &self->arg);
	EXPECT_TRUE(err == -E2BIG || err == -EFAULT || err == -EINVAL)
	TH_LOG("%s", strerror(-err));
}

TEST_F(request, bad_pointer_is_EFAULT)
{
	unsigned char *pages = mmap(NULL, 2 * PAGE_BYTES,
				    PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *edge = pages + PAGE_BYTES - variant->bytes / 2;

	ASSERT_NE(MAP_FAILED, (void *)pages);
	EXPECT_EQ(-EFAULT, request(self->fd, variant->cmd, NULL));
	EXPECT_EQ(-EFAULT, request(self->fd, variant->cmd, (void *)-1UL));
	/* The first half is readable. */
	ASSERT_EQ(0, mprotect(pages + PAGE_BYTES, PAGE_BYTES, PROT_NONE));
	memcpy(edge, self->arg.bytes, variant->bytes / 2);
	EXPECT_EQ(-EFAULT, request(self->fd, variant->cmd, edge));
	/* It was refused before anything happened. */
	EXPECT_EQ(0, request(self->fd, variant->cmd, &self->arg));
	munmap(pages, 2 * PAGE_BYTES);
}

TEST_F(request, unknown_flag_is_EINVAL)
{
	if (variant->flags == NONE)
		SKIP(return, "has no flags");
	for (unsigned int bit = 0; bit < 32; bit++) {
		__u32 flags = 1U << bit;

		if (flags & variant->known)
			continue;
		memcpy(self->arg.bytes + variant->flags, &flags, sizeof(flags));
		EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg));
	}
}

TEST_F(request, reserved_not_zero_is_EINVAL)
{
	if (variant->reserved == NONE)
		SKIP(return, "has nothing reserved");
	self->arg.bytes[variant->reserved + 3] = 0x80;
	EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, bad_name_is_EINVAL)
{
	unsigned char *name = self->arg.bytes + variant->name;

	if (variant->name == NONE)
		SKIP(return, "has no name");
	memset(name, 0, DSM_NAME_BYTES);
	EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg))
	TH_LOG("empty");
	memset(name, 'a', DSM_NAME_BYTES);
	EXPECT_EQ(-EINVAL, request(self->fd, variant->cmd, &self->arg))
	TH_LOG("without NUL");
}

TEST_F(request, file_not_attached_is_ENOTCONN)
{
	int fd;

	if (!variant->attached)
		SKIP(return, "needs no attachment");
	fd = device_open(O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTCONN, request(fd, variant->cmd, &self->arg));
	close(fd);
}

struct forked {
	int fd;
	unsigned int cmd;
	union argument *arg;
};

static int forked_request(void *p)
{
	struct forked *f = p;

	return -request(f->fd, f->cmd, f->arg);
}

TEST_F(request, attached_file_in_forked_child_is_EPERM)
{
	struct forked f = { self->fd, variant->cmd, &self->arg };

	if (!variant->attached)
		SKIP(return, "needs no attachment");
	EXPECT_EQ(EPERM, in_child(forked_request, &f));
	/* The owner still can. */
	EXPECT_EQ(0, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, read_only_file_is_EACCES)
{
	if (!variant->writer)
		SKIP(return, "does not need write permission");
	close(self->fd);
	self->fd = device_open(O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	EXPECT_EQ(-EACCES, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, removed_region_is_EIDRM)
{
	if (!variant->attached)
		SKIP(return, "needs no attachment");
	ASSERT_EQ(0, dsm_region_remove(NODE_PEER, self->region));
	EXPECT_EQ(-EIDRM, request(self->fd, variant->cmd, &self->arg));
}

TEST_F(request, node_that_is_not_up_is_ENODEV)
{
	switch (variant->cmd) {
	case DSM_IOC_STAT:
	case DSM_IOC_PING:
	case DSM_IOC_REGION_CREATE:
	case DSM_IOC_REGION_REMOVE:
	case DSM_IOC_REGION_NEXT:
	case DSM_IOC_ATTACH:
		break;
	default:
		SKIP(return, "names no local node");
	}
	/* In all of them the node follows the size. */
	self->arg.stat.node = NODE_UNKNOWN;
	EXPECT_EQ(-ENODEV, request(self->fd, variant->cmd, &self->arg));
	self->arg.stat.node = DSM_MAX_NODES;
	EXPECT_EQ(-ENODEV, request(self->fd, variant->cmd, &self->arg));
	self->arg.stat.node = UINT32_MAX - 1;
	EXPECT_EQ(-ENODEV, request(self->fd, variant->cmd, &self->arg));
	/* Three are up: "the only local node" names none. */
	self->arg.stat.node = DSM_NODE_ANY;
	EXPECT_EQ(-ENODEV, request(self->fd, variant->cmd, &self->arg));
}

FIXTURE(device)
{
	int fd;
	char region[DSM_NAME_BYTES];
};

FIXTURE_SETUP(device)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
	regions_clear();
}

TEST_F(device, unknown_request_is_ENOTTY)
{
	union argument arg = { .size = 64 };

	EXPECT_EQ(-ENOTTY, request(self->fd, _IO(DSM_IOC_TYPE, 0x83), &arg));
	EXPECT_EQ(-ENOTTY, request(self->fd, _IO(DSM_IOC_TYPE, 0xff), &arg));
	EXPECT_EQ(-ENOTTY, request(self->fd, _IO(DSM_IOC_TYPE, 0), &arg));
	EXPECT_EQ(-ENOTTY, request(self->fd, _IO('T', 0x80), &arg));
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	EXPECT_EQ(-ENOTTY, request(self->fd, _IO(DSM_IOC_TYPE, 0x9d), &arg));
}

TEST_F(device, info_tells_the_cluster)
{
	struct dsm_info info = { .size = sizeof(info) };

	ASSERT_EQ(0, request(self->fd, DSM_IOC_INFO, &info));
	EXPECT_EQ(DSM_ABI_VERSION, info.abi);
	EXPECT_EQ(0x200000000000UL, info.base);
	EXPECT_EQ(32UL << 40, info.span);
	EXPECT_EQ(64, info.max_nodes);
	EXPECT_EQ(39, info.partition_shift);
	EXPECT_EQ(0xe, info.nodes);
	EXPECT_EQ(0xe, info.local);
	EXPECT_LT(0, strnlen(info.name, sizeof(info.name)));
	EXPECT_GT(sizeof(info.name), strnlen(info.name, sizeof(info.name)));
}

TEST_F(device, attach_tells_where_to_map)
{
	struct dsm_attach_args args = { .size = sizeof(args),
					.node = NODE_PEER };
	struct dsm_info info = { .size = sizeof(info) };
	struct dsm_region_args region;

	name_copy(args.name, self->region);
	ASSERT_EQ(0, request(self->fd, DSM_IOC_INFO, &info));
	ASSERT_EQ(0, request(self->fd, DSM_IOC_ATTACH, &args));
	ASSERT_EQ(0, region_find(self->region, &region));
	EXPECT_EQ(info.base, args.base);
	EXPECT_EQ(info.span, args.span);
	EXPECT_EQ(NODE_PEER, args.node);
	EXPECT_EQ(region.id, args.region);
}

TEST_F(device, attach_to_unknown_region_is_ENOENT)
{
	EXPECT_EQ(-ENOENT, request_attach(self->fd, NODE_HOME, "nobody"));
	EXPECT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
}

TEST_F(device, attach_twice_is_EBUSY)
{
	int second = device_open(O_RDWR);

	ASSERT_LE(0, second);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	EXPECT_EQ(-EBUSY, request_attach(self->fd, NODE_HOME, self->region));
	EXPECT_EQ(-EBUSY, request_attach(self->fd, NODE_PEER, self->region));
	EXPECT_EQ(-EBUSY, request_attach(second, NODE_HOME, self->region))
	TH_LOG("second file of one process");
	EXPECT_EQ(-EBUSY, request_attach(second, NODE_PEER, self->region));
	/* Closing the first one makes room. */
	close(self->fd);
	self->fd = second;
	EXPECT_EQ(0, request_attach(second, NODE_PEER, self->region));
}

TEST_F(device, longest_name_works)
{
	struct dsm_region_args args = { .size = sizeof(args),
					.node = NODE_HOME,
					.mode = 0600 };

	memset(args.name, 'n', DSM_NAME_BYTES - 1);
	ASSERT_EQ(0, request(self->fd, DSM_IOC_REGION_CREATE, &args));
	EXPECT_EQ(0, request_attach(self->fd, NODE_PEER, args.name));
}

TEST_F(device, alloc_with_anything_but_a_size_is_EINVAL)
{
	struct dsm_ref addr = { .addr = 0x200000000000UL, .size = 64 };
	struct dsm_ref version = { .version = 1, .size = 64 };

	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	EXPECT_EQ(-EINVAL, request_object(self->fd, DSM_IOC_ALLOC, &addr, 0));
	EXPECT_EQ(-EINVAL,
		  request_object(self->fd, DSM_IOC_ALLOC, &version, 0));
}

static int stat_request(int fd, uint32_t nr, uint64_t region, void *values,
			uint32_t *has)
{
	struct dsm_stat_args args = { .size = sizeof(args),
				      .node = NODE_HOME,
				      .nr = nr,
				      .region = region,
				      .values = (uintptr_t)values };
	int err = request(fd, DSM_IOC_STAT, &args);

	*has = args.nr;
	return err;
}

TEST_F(device, stat_writes_as_many_values_as_there_is_room_for)
{
	__u64 values[DSM_COUNTER_NR + 2];
	uint32_t has;

	memset(values, 0xa5, sizeof(values));
	ASSERT_EQ(0, stat_request(self->fd, 0, 0, NULL, &has));
	EXPECT_EQ(DSM_COUNTER_NR, has);
	ASSERT_EQ(0, stat_request(self->fd, 3, 0, values, &has));
	EXPECT_EQ(DSM_COUNTER_NR, has);
	EXPECT_NE(0xa5a5a5a5a5a5a5a5UL, values[2]);
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5UL, values[3]);
	ASSERT_EQ(0,
		  stat_request(self->fd, ARRAY_SIZE(values), 0, values, &has));
	EXPECT_EQ(DSM_COUNTER_NR, has);
	EXPECT_EQ(NODE_LAST, values[DSM_COUNTER_GAUGE_LINKS]);
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5UL, values[DSM_COUNTER_NR + 1]);
}

TEST_F(device, stat_refuses_bad_memory_and_unknown_regions)
{
	__u64 values[DSM_COUNTER_NR];
	uint32_t has;

	EXPECT_EQ(-EFAULT,
		  stat_request(self->fd, DSM_COUNTER_NR, 0, NULL, &has));
	EXPECT_EQ(-ENOENT, stat_request(self->fd, DSM_COUNTER_NR, UINT64_MAX,
					values, &has));
}

static int ping_request(int fd, uint32_t peer, uint32_t bytes, uint32_t depth,
			uint32_t count, struct dsm_ping_args *out)
{
	struct dsm_ping_args args = { .size = sizeof(args),
				      .node = NODE_HOME,
				      .peer = peer,
				      .bytes = bytes,
				      .depth = depth,
				      .count = count };
	int err = request(fd, DSM_IOC_PING, &args);

	if (out)
		*out = args;
	return err;
}

TEST_F(device, ping_out_of_bounds_is_EINVAL)
{
	EXPECT_EQ(-EINVAL, ping_request(self->fd, NODE_PEER, 0, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, ping_request(self->fd, NODE_PEER,
					DSM_PING_MAX_BYTES + 1, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, ping_request(self->fd, NODE_PEER, 64, 0, 1, NULL));
	EXPECT_EQ(-EINVAL, ping_request(self->fd, NODE_PEER, 64,
					DSM_PING_MAX_DEPTH + 1, 1, NULL));
	EXPECT_EQ(-EINVAL, ping_request(self->fd, NODE_PEER, 64, 1, 0, NULL));
	EXPECT_EQ(-EINVAL, ping_request(self->fd, NODE_PEER, 64, 1,
					DSM_PING_MAX_COUNT + 1, NULL));
	EXPECT_EQ(-ENOENT,
		  ping_request(self->fd, NODE_UNKNOWN, 64, 1, 1, NULL));
	EXPECT_EQ(-ENOENT, ping_request(self->fd, UINT32_MAX, 64, 1, 1, NULL));
}

TEST_F(device, ping_times_one_sided_reads_and_nothing_else)
{
	static const struct {
		uint32_t bytes, depth, count;
	} shape[] = { { 1, 1, 1 },
		      { 64, 1, 100 },
		      { 4096, 16, 200 },
		      { DSM_PING_MAX_BYTES, DSM_PING_MAX_DEPTH, 80 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(shape); i++) {
		struct counters before, home, c;
		struct dsm_ping_args out;

		ASSERT_EQ(0, counters_read(NODE_HOME, 0, &before));
		ASSERT_EQ(0, counters_read(NODE_PEER, 0, &home));
		ASSERT_EQ(0,
			  ping_request(self->fd, NODE_PEER, shape[i].bytes,
				       shape[i].depth, shape[i].count, &out));
		c = counters_since(NODE_HOME, 0, &before);
		home = counters_since(NODE_PEER, 0, &home);
		EXPECT_EQ(shape[i].count, COUNT(c, READS_PING));
		EXPECT_EQ(0, COUNT(c, READS));
		EXPECT_EQ(0, COUNT(c, MESSAGES_SENT));
		EXPECT_EQ(0, COUNT(home, MESSAGES_RECEIVED));
		EXPECT_LT(0, out.min_ns);
		EXPECT_LE(out.min_ns, out.median_ns);
		EXPECT_LE(out.median_ns, out.p99_ns);
		EXPECT_LE(out.p99_ns, out.max_ns);
		EXPECT_LE(out.max_ns, out.total_ns);
	}
}

static int ping_unprivileged(void *p)
{
	int *fd = p;

	if (setresuid(1000, 1000, 1000))
		return 255;
	return -ping_request(*fd, NODE_PEER, 64, 1, 1, NULL);
}

TEST_F(device, ping_without_CAP_SYS_ADMIN_is_EPERM)
{
	EXPECT_EQ(EPERM, in_child(ping_unprivileged, &self->fd));
}

TEST_HARNESS_MAIN
