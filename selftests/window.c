// SPDX-License-Identifier: GPL-2.0-only
/*
 * The windows on words: how the ledger, the claims and the list of what is held may
 * be mapped, which words can be seen and written, and what is left when the region,
 * the node or the process ends.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define RW (PROT_READ | PROT_WRITE)
#define CLAIMS_BYTES (PARTITION_BYTES / DSM_LINE_SIZE * sizeof(uint64_t))
#define HELD_BYTES (DSM_HELD_SLOTS * sizeof(uint64_t))
#define NODE_NONE 40

/* 0 and *@at, or -errno. */
static int map(int fd, size_t bytes, int prot, int flags, uint64_t off,
	       uint64_t **at)
{
	void *p =
		mmap(NULL, bytes, prot, flags | MAP_NORESERVE, fd, (off_t)off);

	if (p == MAP_FAILED)
		return -errno;
	if (at)
		*at = p;
	else
		munmap(p, bytes);
	return 0;
}

FIXTURE(window)
{
	int fd;
	char region[DSM_NAME_BYTES];
	uint64_t *words; /* the window as the library maps it */
};

FIXTURE_VARIANT(window)
{
	uint64_t off;
	size_t bytes;
	int prot;
};

FIXTURE_VARIANT_ADD(window, ledger){
	.off = DSM_MMAP_LEDGER,
	.bytes = LEDGER_BYTES,
	.prot = RW,
};
FIXTURE_VARIANT_ADD(window, claims){
	.off = DSM_MMAP_CLAIMS,
	.bytes = CLAIMS_BYTES,
	.prot = PROT_READ,
};
FIXTURE_VARIANT_ADD(window, held){
	.off = DSM_MMAP_HELD,
	.bytes = HELD_BYTES,
	.prot = RW,
};

FIXTURE_SETUP(window)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	ASSERT_EQ(0, map(self->fd, variant->bytes, variant->prot, MAP_SHARED,
			 variant->off, &self->words));
}

FIXTURE_TEARDOWN(window)
{
	if (self->words)
		munmap(self->words, variant->bytes);
	close(self->fd);
	regions_clear();
}

static uint64_t *last_word(const FIXTURE_DATA(window) * self,
			   const FIXTURE_VARIANT(window) * v)
{
	return self->words + v->bytes / sizeof(uint64_t) - 1;
}

#define EXPECT_READS_ZERO()                                         \
	do {                                                        \
		EXPECT_EQ(0, probe_read(self->words));              \
		EXPECT_EQ(0, probe_read(last_word(self, variant))); \
		EXPECT_EQ(0, *self->words);                         \
		EXPECT_EQ(0, *last_word(self, variant));            \
	} while (0)

TEST_F(window, reads_zero_in_a_fresh_region)
{
	EXPECT_READS_ZERO();
}

TEST_F(window, wrong_length_is_EINVAL)
{
	const size_t bytes[] = { PAGE_BYTES, variant->bytes - PAGE_BYTES,
				 variant->bytes + PAGE_BYTES,
				 variant->bytes * 2 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bytes); i++) {
		EXPECT_EQ(-EINVAL, map(self->fd, bytes[i], PROT_READ,
				       MAP_SHARED, variant->off, NULL));
	}
}

TEST_F(window, wrong_offset_is_EINVAL)
{
	const uint64_t off[] = { PAGE_BYTES, variant->off - PAGE_BYTES,
				 variant->off + PAGE_BYTES, 4ULL << 56,
				 1ULL << 62 };

	for (unsigned int i = 0; i < ARRAY_SIZE(off); i++) {
		EXPECT_EQ(-EINVAL, map(self->fd, variant->bytes, PROT_READ,
				       MAP_SHARED, off[i], NULL));
	}
}

TEST_F(window, private_is_EINVAL)
{
	EXPECT_EQ(-EINVAL, map(self->fd, variant->bytes, PROT_READ, MAP_PRIVATE,
			       variant->off, NULL));
	EXPECT_EQ(-EINVAL, map(self->fd, variant->bytes, RW, MAP_PRIVATE,
			       variant->off, NULL));
}

TEST_F(window, claims_are_never_writable)
{
	int err = variant->prot & PROT_WRITE ? 0 : -EACCES;

	EXPECT_EQ(err, map(self->fd, variant->bytes, RW, MAP_SHARED,
			   variant->off, NULL));
	EXPECT_EQ(err, mprotect(self->words, variant->bytes, RW) ? -errno : 0);
	EXPECT_EQ(variant->off == DSM_MMAP_HELD ? 0 : SIGSEGV,
		  probe_write(self->words, 0));
	EXPECT_READS_ZERO();
}

TEST_F(window, parts_of_it_cannot_be_changed)
{
	char *page = (char *)self->words + PAGE_BYTES;
	uint64_t *elsewhere = NULL;

	EXPECT_EQ(-1, munmap(page, PAGE_BYTES));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(self->words, PAGE_BYTES));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, mprotect(page, PAGE_BYTES, PROT_NONE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED,
		  mmap(page, PAGE_BYTES, RW,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_READS_ZERO();
	EXPECT_EQ(MAP_FAILED, mremap(self->words, variant->bytes,
				     variant->bytes - PAGE_BYTES, 0));
	EXPECT_EQ(MAP_FAILED,
		  mremap(self->words, variant->bytes,
			 variant->bytes + PAGE_BYTES, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED,
		  mremap(self->words, 0, PAGE_BYTES, MREMAP_MAYMOVE));
	/* Nor can it be moved, to where there is room. */
	ASSERT_EQ(0, map(-1, variant->bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, 0, &elsewhere));
	EXPECT_EQ(MAP_FAILED,
		  mremap(self->words, variant->bytes, variant->bytes,
			 MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere));
	munmap(elsewhere, variant->bytes);
	EXPECT_READS_ZERO();
}

static int child_reads(void *arg)
{
	return probe_read(arg);
}

struct forked {
	int fd;
	size_t bytes;
	uint64_t off;
};

static int child_maps(void *arg)
{
	const struct forked *f = arg;

	return -map(f->fd, f->bytes, PROT_READ, MAP_SHARED, f->off, NULL);
}

TEST_F(window, forked_child_has_none)
{
	struct forked f = { self->fd, variant->bytes, variant->off };

	EXPECT_EQ(0, probe_read(self->words));
	EXPECT_EQ(SIGSEGV, in_child(child_reads, self->words));
	EXPECT_EQ(EPERM, in_child(child_maps, &f));
	EXPECT_EQ(-1, madvise(self->words, variant->bytes, MADV_DOFORK));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SIGSEGV, in_child(child_reads, self->words));
	EXPECT_READS_ZERO();
}

TEST_F(window, needs_an_attached_file)
{
	int fd = device_open(O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTCONN, map(fd, variant->bytes, PROT_READ, MAP_SHARED,
				 variant->off, NULL));
	close(fd);
}

TEST_F(window, outlives_the_file_descriptor)
{
	close(self->fd);
	self->fd = -1;
	EXPECT_READS_ZERO();
}

TEST_F(window, read_only_file_maps_it_read_only)
{
	munmap(self->words, variant->bytes);
	close(self->fd);
	self->fd = device_open(O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	EXPECT_EQ(-EACCES, map(self->fd, variant->bytes, RW, MAP_SHARED,
			       variant->off, NULL));
	ASSERT_EQ(0, map(self->fd, variant->bytes, PROT_READ, MAP_SHARED,
			 variant->off, &self->words));
	EXPECT_READS_ZERO();
	EXPECT_EQ(SIGSEGV, probe_write(self->words, 1));
	EXPECT_EQ(-1, mprotect(self->words, variant->bytes, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, probe_write(self->words, 1));
}

/* The list is the process's own, and stays. */
static void expect_ended(struct __test_metadata *_metadata,
			 FIXTURE_DATA(window) * self,
			 const FIXTURE_VARIANT(window) * variant)
{
	bool held = variant->off == DSM_MMAP_HELD;
	int want = held ? 0 : SIGBUS;

	EXPECT_EQ(want, probe_read(self->words));
	EXPECT_EQ(want, probe_read(self->words + PAGE_BYTES / 8));
	EXPECT_EQ(want, probe_read(last_word(self, variant)));
	if (held) {
		EXPECT_EQ(0x77, *(unsigned char *)self->words);
	} else {
		EXPECT_NE(0, probe_write(self->words, 1));
	}
}

TEST_F(window, words_are_SIGBUS_when_the_region_is_removed)
{
	EXPECT_READS_ZERO();
	if (variant->off == DSM_MMAP_HELD)
		EXPECT_EQ(0, probe_write(self->words, 0x77));
	ASSERT_EQ(0, dsm_region_remove(NODE_PEER, self->region));
	expect_ended(_metadata, self, variant);
	EXPECT_EQ(-EIDRM, map(self->fd, variant->bytes, PROT_READ, MAP_SHARED,
			      variant->off, NULL));
}

#define CONFIGFS "/sys/kernel/config/dsm"

/* The path of a node's configuration. */
static bool node_path(char *path, size_t size, unsigned int node)
{
	DIR *dir = opendir(CONFIGFS);
	const struct dirent *e;

	if (!dir)
		return false;
	do {
		e = readdir(dir);
	} while (e && e->d_name[0] == '.');
	if (e)
		snprintf(path, size, CONFIGFS "/%s/nodes/%u", e->d_name, node);
	closedir(dir);
	return e;
}

/* With the file of common.sh. */
static bool cluster_again(void)
{
	return !system("dsmctl down && dsmctl up /tmp/dsm.conf --node 1 "
		       "--node 2 --node 3 --wait 60");
}

/* Removing its configuration takes a node down, whoever uses it. */
TEST_F(window, words_are_SIGBUS_when_the_node_goes_down_by_force)
{
	char path[512];
	struct dsm_ref ref;

	munmap(self->words, variant->bytes);
	close(self->fd);
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_LAST, self->region));
	ASSERT_EQ(0, map(self->fd, variant->bytes, variant->prot, MAP_SHARED,
			 variant->off, &self->words));
	/* Both kinds of chunk, and a borrow that is left open. */
	ref = (struct dsm_ref){ .size = PAGE_BYTES };
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_ALLOC, &ref, 0));
	ASSERT_NE(0, small_excl(self->fd, 1));
	EXPECT_EQ(0, probe_read(self->words));
	EXPECT_EQ(0, probe_read(last_word(self, variant)));
	if (variant->off == DSM_MMAP_HELD)
		EXPECT_EQ(0, probe_write(self->words, 0x77));

	ASSERT_TRUE(node_path(path, sizeof(path), NODE_LAST));
	EXPECT_EQ(0, rmdir(path));
	expect_ended(_metadata, self, variant);
	EXPECT_EQ(-ENODEV, request_object(self->fd, DSM_IOC_RETURN, &ref, 0));
	/* Its file ends after its node. */
	munmap(self->words, variant->bytes);
	close(self->fd);
	self->fd = -1;
	self->words = NULL;

	EXPECT_TRUE(cluster_again());
}

FIXTURE(words)
{
	int fd;
	char region[DSM_NAME_BYTES];
	uint64_t *ledger;
};

FIXTURE_SETUP(words)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, request_attach(self->fd, NODE_HOME, self->region));
	self->ledger = ledger_map(self->fd);
	ASSERT_NE(NULL, self->ledger);
}

FIXTURE_TEARDOWN(words)
{
	ledger_unmap(self->ledger);
	close(self->fd);
	regions_clear();
}

/*
 * A word that says nothing, and is not this process's to change.  A store to one of the
 * node's own memory goes nowhere: of an honest program it is a swap that fails, of a
 * word that was there a moment ago.
 */
static void expect_nothing(struct __test_metadata *_metadata, uint64_t *word,
			   bool own)
{
	ASSERT_EQ(0, probe_read(word));
	EXPECT_EQ(0, *word);
	EXPECT_EQ(own ? 0 : SIGSEGV, probe_write(word, own ? 0 : 1));
	EXPECT_EQ(0, *word);
}

TEST_F(words, where_nothing_is_there_is_zero_and_no_object_s_word)
{
	const uint64_t own = RANGE_BASE + NODE_HOME * PARTITION_BYTES;
	const uint64_t peer = RANGE_BASE + NODE_PEER * PARTITION_BYTES;
	const uint64_t none = RANGE_BASE + NODE_NONE * PARTITION_BYTES;
	const uint64_t addr[] = {
		RANGE_BASE,
		own,
		own + NODE_MEMORY_BYTES / 2,
		own + PARTITION_BYTES / 2,
		own + PARTITION_BYTES - DSM_LINE_SIZE,
		peer,
		peer + NODE_MEMORY_BYTES / 2,
		peer + PARTITION_BYTES - DSM_LINE_SIZE,
		none,
		RANGE_BASE + RANGE_BYTES - DSM_LINE_SIZE,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(addr); i++)
		expect_nothing(_metadata, self->ledger + ledger_index(addr[i]),
			       addr[i] - own < NODE_MEMORY_BYTES);
}

TEST_F(words, of_large_objects_are_not_shown)
{
	struct dsm_ref ref = { .size = PAGE_BYTES };

	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_ALLOC, &ref, 0));
	expect_nothing(_metadata, self->ledger + ledger_index(ref.addr), true);
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_FREEZE, &ref, 0));
	expect_nothing(_metadata, self->ledger + ledger_index(ref.addr), true);
}

static long alloc_small(struct dsm *dsm, void *arg)
{
	return dsm_alloc(dsm, 64, arg) ? 0 : -errno;
}

static long return_small(struct dsm *dsm, void *arg)
{
	return dsm_return_mut(dsm, arg) ? -errno : 0;
}

TEST_F(words, of_another_region_are_not_shown)
{
	char region[DSM_NAME_BYTES];
	struct worker stranger;
	struct dsm_ref *theirs;

	region_name(region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	for (unsigned int node = NODE_HOME; node <= NODE_PEER; node++) {
		ASSERT_EQ(0, worker_start(&stranger, node, region, O_RDWR));
		theirs = stranger.arg;
		ASSERT_EQ(0, worker_run(&stranger, alloc_small));
		expect_nothing(_metadata,
			       self->ledger + ledger_index(theirs->addr),
			       node == NODE_HOME);
		worker_stop(&stranger);
	}
}

TEST_F(words, of_a_new_slab_can_be_seen_and_written_at_once)
{
	const uint64_t own = RANGE_BASE + NODE_HOME * PARTITION_BYTES;
	struct dsm_slab_args args = { .size = sizeof(args), .lines = 4 };
	uint64_t *word;

	/* That there was nothing before has been seen, wherever it will be. */
	for (uint64_t at = 0; at < NODE_MEMORY_BYTES; at += 8 * PAGE_BYTES)
		ASSERT_EQ(0, self->ledger[ledger_index(own + at)]);
	/* What is stored there by then is never in a ledger. */
	for (uint64_t at = 0; at < NODE_MEMORY_BYTES; at += 8 * PAGE_BYTES)
		self->ledger[ledger_index(own + at)] = ~0ULL;
	ASSERT_EQ(0, request(self->fd, DSM_IOC_SLAB, &args));
	word = self->ledger + ledger_index(args.addr);
	EXPECT_EQ(DSM_STATE_FREE << 7 | 4, *word >> DSM_WORD_LINES_SHIFT);
	EXPECT_EQ(DSM_STATE_CONT << 7, word[1] >> DSM_WORD_LINES_SHIFT);
	EXPECT_EQ(0, probe_write(word, *(unsigned char *)word));
	/* Also after it has been protected. */
	ASSERT_EQ(0, mprotect(self->ledger, LEDGER_BYTES, PROT_READ));
	EXPECT_EQ(SIGSEGV, probe_write(word, *(unsigned char *)word));
	ASSERT_EQ(0, mprotect(self->ledger, LEDGER_BYTES, RW));
	EXPECT_EQ(0, probe_write(word, *(unsigned char *)word));
}

TEST_F(words, of_a_copy_can_be_seen_and_not_written)
{
	struct dsm_ref ref;
	__s32 error;
	struct dsm_fetch_args args = { .size = sizeof(args),
				       .nr = 1,
				       .refs = (uintptr_t)&ref,
				       .errors = (uintptr_t)&error };
	uint64_t *word;
	int pipes[2];

	ASSERT_EQ(0, request_alloc_on(self->fd, NODE_PEER, 64, &ref));
	word = self->ledger + ledger_index(ref.addr);
	expect_nothing(_metadata, word, false);
	ASSERT_EQ(0, request(self->fd, DSM_IOC_FETCH, &args));
	ASSERT_EQ(0, error);
	EXPECT_EQ(ref.version, *word);
	EXPECT_EQ(SIGSEGV, probe_write(word, 0));
	ASSERT_EQ(0, mprotect(self->ledger, LEDGER_BYTES, PROT_READ));
	ASSERT_EQ(0, mprotect(self->ledger, LEDGER_BYTES, RW));
	EXPECT_EQ(SIGSEGV, probe_write(word, 0));
	/* Nor does the kernel write it for a process. */
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(8, write(pipes[1], &ref, 8));
	EXPECT_EQ(-1, read(pipes[0], word, 8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(ref.version, *word);
}

/* What the worker has written to its list before it dies. */
struct list {
	char region[DSM_NAME_BYTES];
	uint64_t slot[32];
	unsigned int nr;
};

/* In a process of its own: attaches, takes objects and says that it holds them. */
static int dies_with_a_list(void *arg)
{
	struct list *l = arg;
	int fd = device_open(O_RDWR);
	uint64_t *held = NULL;

	if (request_attach(fd, NODE_HOME, l->region) ||
	    map(fd, HELD_BYTES, RW, MAP_SHARED, DSM_MMAP_HELD, &held) || !held)
		return 1;
	/* From both ends. */
	for (unsigned int i = 0; i < l->nr; i++)
		held[i % 2 ? DSM_HELD_SLOTS - i : i] = l->slot[i];
	kill(getpid(), SIGKILL);
	return 2;
}

TEST_F(words, of_what_a_dead_process_held_are_POISON_and_no_others)
{
	char region[DSM_NAME_BYTES];
	uint64_t held = small_excl(self->fd, 2), was, stranger_was;
	uint64_t taking = small_excl(self->fd, 2);
	uint64_t mine = small_excl(self->fd, 2);
	uint64_t other = small_excl(self->fd, 2);
	struct dsm_ref live, large = { .size = PAGE_BYTES }, *theirs;
	struct worker stranger;
	struct list *list;
	uint64_t *own = NULL;

	region_name(region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	ASSERT_EQ(0, worker_start(&stranger, NODE_HOME, region, O_RDWR));
	theirs = stranger.arg;
	ASSERT_EQ(0, worker_run(&stranger, alloc_small));
	ASSERT_TRUE(held && taking && mine && other);
	ASSERT_EQ(0, request_alloc_on(self->fd, NODE_HOME, 64, &live));
	ASSERT_EQ(0, request_object(self->fd, DSM_IOC_ALLOC, &large, 0));
	/* This process holds one that the dead one was about to take. */
	ASSERT_EQ(0, map(self->fd, HELD_BYTES, RW, MAP_SHARED, DSM_MMAP_HELD,
			 &own));
	ASSERT_NE(NULL, own);
	own[77] = mine;
	was = self->ledger[ledger_index(mine)];
	stranger_was = theirs->version;

	list = mmap(NULL, sizeof(*list), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)list);
	*list = (struct list){
		.slot = { held,
			  taking | 1,
			  mine | 1,
			  live.addr,
			  large.addr,
			  theirs->addr,
			  theirs->addr | 1,
			  held,
			  1,
			  2,
			  63,
			  RANGE_BASE,
			  RANGE_BASE - 64,
			  RANGE_BASE + RANGE_BYTES,
			  UINT64_MAX,
			  UINT64_MAX - 1,
			  1ULL << 63,
			  RANGE_BASE + NODE_PEER * PARTITION_BYTES,
			  RANGE_BASE + NODE_NONE * PARTITION_BYTES,
			  RANGE_BASE + (NODE_HOME + 1) * PARTITION_BYTES - 64,
			  other + 8,
			  other + 32 },
		.nr = 22,
	};
	name_copy(list->region, self->region);
	EXPECT_EQ(-1, in_child(dies_with_a_list, list));

	EXPECT_EQ(DSM_STATE_POISON,
		  self->ledger[ledger_index(held)] >> DSM_WORD_STATE_SHIFT);
	EXPECT_EQ(DSM_STATE_POISON,
		  self->ledger[ledger_index(taking)] >> DSM_WORD_STATE_SHIFT);
	EXPECT_EQ(was, self->ledger[ledger_index(mine)]);
	EXPECT_EQ(was >> DSM_WORD_LINES_SHIFT,
		  self->ledger[ledger_index(other)] >> DSM_WORD_LINES_SHIFT);
	EXPECT_EQ(live.version, self->ledger[ledger_index(live.addr)]);
	EXPECT_EQ(0, request_object(self->fd, DSM_IOC_RETURN, &large,
				    DSM_BORROW_EXCL));
	/* The stranger can end its borrow. */
	EXPECT_EQ(0, worker_run(&stranger, return_small));
	EXPECT_LT(stranger_was, theirs->version);
	worker_stop(&stranger);
}

TEST_HARNESS_MAIN
