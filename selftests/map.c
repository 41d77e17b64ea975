// SPDX-License-Identifier: GPL-2.0-only
/* Mapping the range: what mmap and its relatives may do, and what they may not. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "harness.h"

#define SHARED (MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE)
#define RW (PROT_READ | PROT_WRITE)

FIXTURE(map)
{
	int fd;
	char region[DSM_NAME_BYTES];
	char *base;
	size_t span;
	unsigned char *page; /* an object of one page */
	struct dsm_ref ref;
};

static int attach_fd(int fd, const char *region, struct dsm_attach_args *args)
{
	*args = (struct dsm_attach_args){ .size = sizeof(*args),
					  .node = NODE_HOME };
	name_copy(args->name, region);
	return request(fd, DSM_IOC_ATTACH, args);
}

static unsigned char *alloc(int fd, size_t bytes, struct dsm_ref *ref)
{
	struct dsm_object_args args = { .size = sizeof(args),
					.ref.size = bytes };

	if (request(fd, DSM_IOC_ALLOC, &args))
		return NULL;
	*ref = args.ref;
	return (unsigned char *)(uintptr_t)args.ref.addr;
}

FIXTURE_SETUP(map)
{
	struct dsm_attach_args args;

	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, attach_fd(self->fd, self->region, &args));
	self->base = (char *)(uintptr_t)args.base;
	self->span = args.span;
	self->page = alloc(self->fd, PAGE_BYTES, &self->ref);
	ASSERT_NE(NULL, self->page);
}

FIXTURE_TEARDOWN(map)
{
	munmap(self->base, self->span);
	close(self->fd);
	regions_clear();
}

static int map(int fd, void *addr, size_t bytes, int prot, int flags, off_t off)
{
	void *p = mmap(addr, bytes, prot, flags, fd, off);

	if (p == MAP_FAILED)
		return -errno;
	if (p != addr) {
		munmap(p, bytes);
		return 1;
	}
	return 0;
}

/* The whole range, as programs map it, with a value in the object. */
static void map_it(struct __test_metadata *_metadata, FIXTURE_DATA(map) * self)
{
	ASSERT_EQ(0, map(self->fd, self->base, self->span, RW, SHARED, 0));
	ASSERT_EQ(0, probe_write(self->page, 0x42));
}

#define EXPECT_STILL_WORKS()                                 \
	do {                                                 \
		EXPECT_EQ(0, probe_read(self->page));        \
		EXPECT_EQ(0x42, *self->page);                \
		EXPECT_EQ(0, probe_write(self->page, 0x42)); \
	} while (0)

TEST_F(map, range_maps_at_its_address)
{
	map_it(_metadata, self);
	EXPECT_STILL_WORKS();
}

TEST_F(map, private_is_EINVAL)
{
	EXPECT_EQ(-EINVAL,
		  map(self->fd, self->base, self->span, RW,
		      MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_NORESERVE, 0));
	EXPECT_EQ(-EINVAL,
		  map(self->fd, self->base, self->span, PROT_READ,
		      MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_NORESERVE, 0));
}

TEST_F(map, wrong_address_is_EINVAL)
{
	EXPECT_EQ(-EINVAL, map(self->fd, self->base + PAGE_BYTES, self->span,
			       RW, SHARED, 0));
	EXPECT_EQ(-EINVAL, map(self->fd, self->base - DSM_CHUNK_SIZE,
			       self->span, RW, SHARED, 0));
	/* The kernel's choice is never the range. */
	EXPECT_EQ(-EINVAL, map(self->fd, NULL, self->span, RW,
			       MAP_SHARED | MAP_NORESERVE, 0));
}

TEST_F(map, wrong_length_is_EINVAL)
{
	static const long delta[] = { -(1L << 44), -4096, 4096 };

	EXPECT_EQ(-EINVAL,
		  map(self->fd, self->base, PAGE_BYTES, RW, SHARED, 0));
	for (unsigned int i = 0; i < ARRAY_SIZE(delta); i++)
		EXPECT_EQ(-EINVAL, map(self->fd, self->base,
				       self->span + delta[i], RW, SHARED, 0));
}

TEST_F(map, wrong_offset_is_EINVAL)
{
	EXPECT_EQ(-EINVAL,
		  map(self->fd, self->base, self->span, RW, SHARED, 4096));
	EXPECT_EQ(-EINVAL,
		  map(self->fd, self->base, self->span, RW, SHARED, 1L << 44));
}

TEST_F(map, file_not_attached_is_ENOTCONN)
{
	int fd = device_open(O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTCONN, map(fd, self->base, self->span, RW, SHARED, 0));
	close(fd);
}

TEST_F(map, second_mapping_is_refused)
{
	map_it(_metadata, self);
	EXPECT_EQ(-EEXIST,
		  map(self->fd, self->base, self->span, RW, SHARED, 0));
	EXPECT_STILL_WORKS();
}

TEST_F(map, mapping_again_after_munmap_works)
{
	for (unsigned int i = 0; i < rounds(10); i++) {
		map_it(_metadata, self);
		ASSERT_EQ(0, request_object(self->fd, DSM_IOC_RETURN,
					    &self->ref, DSM_BORROW_EXCL));
		ASSERT_EQ(0, munmap(self->base, self->span));
		ASSERT_EQ(SIGSEGV, probe_read(self->page));
		ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW,
					    &self->ref, DSM_BORROW_EXCL));
	}
	ASSERT_EQ(0, map(self->fd, self->base, self->span, RW, SHARED, 0));
	EXPECT_STILL_WORKS();
}

TEST_F(map, munmap_ends_the_borrows_as_death_does)
{
	struct dsm_ref shared;
	unsigned char *read;

	map_it(_metadata, self);
	read = alloc(self->fd, PAGE_BYTES, &shared);
	ASSERT_NE(NULL, read);
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &shared,
				    DSM_BORROW_EXCL));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &shared, 0));
	ASSERT_EQ(0, probe_read(read));
	ASSERT_EQ(0, munmap(self->base, self->span));

	EXPECT_EQ(-EPERM, request_object(self->fd, DSM_IOC_RETURN, &self->ref,
					 DSM_BORROW_EXCL));
	EXPECT_EQ(-EPERM, request_object(self->fd, DSM_IOC_RETURN, &shared, 0));
	EXPECT_EQ(-EOWNERDEAD, request_object(self->fd, DSM_IOC_BORROW,
					      &self->ref, DSM_BORROW_EXCL));
	EXPECT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &shared,
				    DSM_BORROW_EXCL));
	EXPECT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &self->ref,
				    DSM_BORROW_EXCL | DSM_BORROW_ACCEPT));
	ASSERT_EQ(0, map(self->fd, self->base, self->span, RW, SHARED, 0));
	EXPECT_STILL_WORKS();
	EXPECT_EQ(0, probe_write(read, 1));
}

TEST_F(map, mapping_outlives_the_file_descriptor)
{
	int copy = dup(self->fd);

	map_it(_metadata, self);
	close(self->fd);
	close(copy);
	EXPECT_STILL_WORKS();
	self->fd = -1;
}

TEST_F(map, read_only_file_cannot_map_writable)
{
	struct dsm_attach_args args;

	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &self->ref,
				    DSM_BORROW_EXCL));
	close(self->fd);
	self->fd = device_open(O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, attach_fd(self->fd, self->region, &args));
	EXPECT_EQ(-EACCES,
		  map(self->fd, self->base, self->span, RW, SHARED, 0));
	ASSERT_EQ(0,
		  map(self->fd, self->base, self->span, PROT_READ, SHARED, 0));
	EXPECT_EQ(-EACCES, request_object(self->fd, DSM_IOC_BORROW, &self->ref,
					  DSM_BORROW_EXCL));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &self->ref, 0));
	EXPECT_EQ(0, probe_read(self->page));
	EXPECT_EQ(SIGSEGV, probe_write(self->page, 1));
	EXPECT_EQ(-1, mprotect(self->base, self->span, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, probe_write(self->page, 1));
}

TEST_F(map, partial_munmap_is_EINVAL)
{
	map_it(_metadata, self);
	EXPECT_EQ(-1, munmap(self->base, PAGE_BYTES));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(self->page, PAGE_BYTES));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(self->base + self->span - DSM_CHUNK_SIZE,
			     DSM_CHUNK_SIZE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STILL_WORKS();
}

TEST_F(map, partial_mprotect_is_EINVAL)
{
	map_it(_metadata, self);
	EXPECT_EQ(-1, mprotect(self->page, PAGE_BYTES, PROT_READ));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, mprotect(self->base, DSM_CHUNK_SIZE, PROT_NONE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STILL_WORKS();
}

TEST_F(map, mapping_over_a_part_is_refused)
{
	map_it(_metadata, self);
	/* The kernel reports whatever keeps it from unmapping as ENOMEM in 6.1. */
	EXPECT_GT(0, map(-1, self->page, PAGE_BYTES, RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0));
	EXPECT_STILL_WORKS();
}

TEST_F(map, mremap_is_refused)
{
	void *elsewhere = self->base + self->span + DSM_CHUNK_SIZE;

	map_it(_metadata, self);
	EXPECT_EQ(MAP_FAILED, mremap(self->base, self->span,
				     self->span - DSM_CHUNK_SIZE, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STILL_WORKS();
	EXPECT_EQ(MAP_FAILED,
		  mremap(self->base, self->span, self->span + DSM_CHUNK_SIZE,
			 MREMAP_MAYMOVE));
	EXPECT_STILL_WORKS();
	EXPECT_EQ(MAP_FAILED, mremap(self->page, PAGE_BYTES, PAGE_BYTES,
				     MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere));
	EXPECT_STILL_WORKS();
	/* Old size 0 asks for a second mapping of the same pages. */
	EXPECT_EQ(MAP_FAILED,
		  mremap(self->base, 0, DSM_CHUNK_SIZE, MREMAP_MAYMOVE));
	EXPECT_STILL_WORKS();
}

TEST_F(map, protecting_and_unprotecting_the_range_does_not_thaw_a_page)
{
	struct dsm_object_args args = { .size = sizeof(args) };
	unsigned char *live;
	struct dsm_ref ref;

	map_it(_metadata, self);
	live = alloc(self->fd, PAGE_BYTES, &ref);
	ASSERT_NE(NULL, live);
	ASSERT_EQ(0, probe_write(live, 1));
	args.ref = self->ref;
	ASSERT_EQ(0, request(self->fd, DSM_IOC_FREEZE, &args));

	ASSERT_EQ(0, mprotect(self->base, self->span, PROT_READ));
	EXPECT_EQ(0, probe_read(self->page));
	EXPECT_EQ(SIGSEGV, probe_write(live, 2));
	ASSERT_EQ(0, mprotect(self->base, self->span, RW));
	EXPECT_EQ(SIGSEGV, probe_write(self->page, 2));
	EXPECT_EQ(0x42, *self->page);
	EXPECT_EQ(0, probe_write(live, 2));
}

static int child_reads(void *arg)
{
	return probe_read(arg);
}

static int child_attaches(void *arg)
{
	FIXTURE_DATA(map) *self = arg;
	struct dsm_attach_args args;
	int fd = device_open(O_RDWR);

	if (attach_fd(fd, self->region, &args) ||
	    map(fd, self->base, self->span, RW, SHARED, 0))
		return 1;
	/* The parent's borrow is not the child's. */
	if (probe_read(self->page) != SIGSEGV ||
	    request_object(fd, DSM_IOC_BORROW, &self->ref, 0))
		return 2;
	return *self->page == 0x42 ? 0 : 3;
}

TEST_F(map, forked_child_does_not_inherit_the_range)
{
	map_it(_metadata, self);
	EXPECT_EQ(SIGSEGV, in_child(child_reads, self->page));
	EXPECT_STILL_WORKS();
}

TEST_F(map, forked_child_attaches_for_itself)
{
	map_it(_metadata, self);
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &self->ref,
				    DSM_BORROW_EXCL));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &self->ref, 0));
	EXPECT_EQ(0, in_child(child_attaches, self));
	EXPECT_EQ(0, probe_read(self->page));
	/* Of the child's borrow nothing is left. */
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &self->ref, 0));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_BORROW, &self->ref,
				    DSM_BORROW_EXCL));
	EXPECT_STILL_WORKS();
}

static int child_maps_parents_file(void *arg)
{
	const FIXTURE_DATA(map) *self = arg;

	return -map(self->fd, self->base, self->span, RW, SHARED, 0);
}

TEST_F(map, forked_child_cannot_map_the_parents_file)
{
	map_it(_metadata, self);
	EXPECT_EQ(EPERM, in_child(child_maps_parents_file, self));
	EXPECT_STILL_WORKS();
}

TEST_F(map, MADV_DOFORK_is_refused)
{
	map_it(_metadata, self);
	EXPECT_EQ(-1, madvise(self->base, self->span, MADV_DOFORK));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SIGSEGV, in_child(child_reads, self->page));
}

TEST_F(map, unallocated_address_is_SIGSEGV)
{
	size_t partition = self->span / DSM_MAX_NODES;
	const char *const addr[] = {
		self->base, /* of a node that is not configured */
		self->base + 40 * partition,
		self->base + self->span - 1,
		(char *)self->page + PAGE_BYTES, /* beyond the only object */
		self->base + NODE_HOME * partition + NODE_MEMORY_BYTES / 2,
		self->base + (NODE_HOME + 1) * partition - 1,
		self->base + NODE_PEER * partition, /* remote */
		self->base + NODE_PEER * partition + NODE_MEMORY_BYTES / 2,
		self->base + (NODE_PEER + 1) * partition - 1,
	};

	map_it(_metadata, self);
	for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++) {
		EXPECT_EQ(SIGSEGV, probe_read(addr[i]))
		TH_LOG("address %u: %p", i, addr[i]);
		EXPECT_EQ(SIGSEGV, probe_write((char *)addr[i], 1));
	}
	EXPECT_STILL_WORKS();
}

static long alloc_frozen(struct dsm *dsm, void *arg)
{
	struct dsm_ref *ref = arg;

	if (!dsm_alloc(dsm, PAGE_BYTES, ref) || dsm_freeze(dsm, ref))
		return -errno;
	return 0;
}

TEST_F(map, object_of_another_region_is_SIGSEGV)
{
	char region[DSM_NAME_BYTES];

	region_name(region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	map_it(_metadata, self);
	for (unsigned int node = NODE_HOME; node <= NODE_PEER; node++) {
		struct worker stranger;
		const struct dsm_ref *ref;

		ASSERT_EQ(0, worker_start(&stranger, node, region, O_RDWR));
		ref = stranger.arg;
		ASSERT_EQ(0, worker_run(&stranger, alloc_frozen));
		EXPECT_EQ(SIGSEGV, probe_read((void *)(uintptr_t)ref->addr));
		EXPECT_EQ(SIGSEGV,
			  probe_write((void *)(uintptr_t)ref->addr, 1));
		worker_stop(&stranger);
	}
	EXPECT_STILL_WORKS();
}

TEST_F(map, read_and_write_take_buffers_in_the_range)
{
	char there[64] = "";
	int pipes[2];

	map_it(_metadata, self);
	ASSERT_EQ(0, pipe(pipes));
	memcpy(self->page, "from the range", 15);
	ASSERT_EQ(15, write(pipes[1], self->page, 15));
	ASSERT_EQ(15, read(pipes[0], there, sizeof(there)));
	EXPECT_STREQ("from the range", there);
	ASSERT_EQ(9, write(pipes[1], "into it\n", 9));
	ASSERT_EQ(9, read(pipes[0], self->page + 100, 100));
	EXPECT_STREQ("into it\n", (char *)self->page + 100);
}

TEST_F(map, read_and_write_outside_an_object_are_EFAULT)
{
	struct dsm_object_args args = { .size = sizeof(args),
					.ref = self->ref };
	int pipes[2];

	map_it(_metadata, self);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, write(pipes[1], self->page + PAGE_BYTES, 8));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, request(self->fd, DSM_IOC_FREEZE, &args));
	ASSERT_EQ(8, write(pipes[1], self->page, 8));
	EXPECT_EQ(-1, read(pipes[0], self->page, 8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0x42, *self->page);
}

TEST_F(map, page_pinning_is_EFAULT)
{
	struct iovec iov = { .iov_base = self->page, .iov_len = PAGE_BYTES };
	char buffer[64];
	struct iovec local = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	struct iovec remote = { .iov_base = self->page,
				.iov_len = sizeof(buffer) };
	int pipes[2];

	map_it(_metadata, self);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, vmsplice(pipes[1], &iov, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_STILL_WORKS();
}

TEST_F(map, direct_io_is_EFAULT)
{
	char path[] = "/var/tmp/dsm-direct-XXXXXX";
	int fd = mkstemp(path);
	int direct;

	if (fd < 0)
		SKIP(return, "no file on /var/tmp");
	close(fd);
	direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	unlink(path);
	if (direct < 0)
		SKIP(return, "its file system has no O_DIRECT");
	map_it(_metadata, self);
	EXPECT_EQ(-1, pwrite(direct, self->page, PAGE_BYTES, 0));
	EXPECT_EQ(EFAULT, errno);
	close(direct);
}

TEST_HARNESS_MAIN
