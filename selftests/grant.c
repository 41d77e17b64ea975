// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grants: what a borrow of a large object lets a process do, which borrows exclude
 * each other, and what is left of them when the process ends.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "harness.h"

#define GRANT_PAGES 3UL
#define MIB (1UL << 20)

struct exchange {
	struct dsm_ref ref;
	unsigned int flags;
};

FIXTURE(grant)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker other; /* a second process of the same node */
	struct worker peer; /* of another node */
	struct exchange *there, *far; /* their arguments */
	struct dsm_ref ref; /* nobody has borrowed it */
	unsigned char *p;
};

FIXTURE_SETUP(grant)
{
	regions_clear();
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->other, NODE_HOME, self->region, O_RDWR));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->there = self->other.arg;
	self->far = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	self->p = dsm_alloc(self->dsm, GRANT_PAGES * PAGE_BYTES, &self->ref);
	ASSERT_NE(NULL, self->p);
	pattern_fill(self->p, GRANT_PAGES * PAGE_BYTES, 6);
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->ref));
	self->there->ref = self->ref;
	self->far->ref = self->ref;
}

FIXTURE_TEARDOWN(grant)
{
	worker_stop(&self->other);
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	regions_clear();
}

static long borrow(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_borrow(dsm, &x->ref) ? 0 : -errno;
}

static long give_back(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_return(dsm, &x->ref) ? -errno : 0;
}

static long borrow_mut(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_borrow_mut(dsm, &x->ref, x->flags) ? 0 : -errno;
}

static long give_back_mut(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_return_mut(dsm, &x->ref) ? -errno : 0;
}

static long drop(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_drop(dsm, &x->ref) ? -errno : 0;
}

static long freeze(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_freeze(dsm, &x->ref) ? -errno : 0;
}

static long publish(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_publish(dsm, "name", &x->ref) ? -errno : 0;
}

/* How many pages of the object cannot be read. */
static long count_signals(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;
	long n = 0;

	(void)dsm;
	for (size_t at = 0; at < x->ref.size; at += PAGE_BYTES)
		n += probe_read((void *)(uintptr_t)(x->ref.addr + at)) != 0;
	return n;
}

/* What the process may do with the object's pages, if that is the same for all. */
enum access { NOTHING, READ, WRITE, MIXED };

static long access_to(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;
	unsigned int readable = 0, writable = 0;

	(void)dsm;
	for (size_t i = 0; i < GRANT_PAGES; i++) {
		unsigned char *p = (void *)(uintptr_t)x->ref.addr;
		int sig = probe_read(p + i * PAGE_BYTES);

		readable += !sig;
		sig = probe_write(p + i * PAGE_BYTES,
				  sig ? 0 : p[i * PAGE_BYTES]);
		writable += !sig;
	}
	if (writable == GRANT_PAGES && readable == GRANT_PAGES)
		return WRITE;
	if (writable)
		return MIXED;
	return readable == GRANT_PAGES ? READ : readable ? MIXED : NOTHING;
}

static long access_here(const FIXTURE_DATA(grant) * self)
{
	struct exchange x = { .ref = self->ref };

	return access_to(self->dsm, &x);
}

static long content(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	(void)dsm;
	return pattern_check((void *)(uintptr_t)x->ref.addr, x->ref.size, 6);
}

TEST_F(grant, without_a_borrow_nothing_can_be_touched)
{
	EXPECT_EQ(NOTHING, access_here(self));
	EXPECT_EQ(NOTHING, worker_run(&self->other, access_to));
	EXPECT_EQ(NOTHING, worker_run(&self->peer, access_to));
}

TEST_F(grant, shared_borrow_reads_until_it_is_returned)
{
	struct worker *w[] = { &self->other, &self->peer };

	ASSERT_NE(NULL, dsm_borrow(self->dsm, &self->ref));
	EXPECT_EQ(READ, access_here(self));
	EXPECT_EQ(-1, pattern_check(self->p, self->ref.size, 6));
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++) {
		/* What one process has borrowed is nothing to the others. */
		EXPECT_EQ(NOTHING, worker_run(w[i], access_to));
		EXPECT_EQ(0, worker_run(w[i], borrow));
		EXPECT_EQ(READ, worker_run(w[i], access_to));
		EXPECT_EQ(-1, worker_run(w[i], content));
		EXPECT_EQ(0, worker_run(w[i], give_back));
		EXPECT_EQ(NOTHING, worker_run(w[i], access_to));
		EXPECT_EQ(READ, access_here(self));
	}
	EXPECT_EQ(0, dsm_return(self->dsm, &self->ref));
	EXPECT_EQ(NOTHING, access_here(self));
}

TEST_F(grant, exclusive_borrow_writes_until_it_is_returned)
{
	const struct dsm_ref old = self->ref;

	ASSERT_EQ(self->p, dsm_borrow_mut(self->dsm, &self->ref, 0));
	EXPECT_EQ(WRITE, access_here(self));
	EXPECT_EQ(NOTHING, worker_run(&self->other, access_to));
	EXPECT_EQ(NOTHING, worker_run(&self->peer, access_to));
	EXPECT_EQ(-1, pattern_check(self->p, self->ref.size, 6));
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->ref));
	EXPECT_EQ(NOTHING, access_here(self));
	/* A new version, though nothing has changed. */
	EXPECT_EQ(old.addr, self->ref.addr);
	EXPECT_LT(old.version, self->ref.version);
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, &old));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(-ESTALE, worker_run(&self->other, borrow_mut));
	EXPECT_EQ(-ESTALE, worker_run(&self->peer, borrow));
}

TEST_F(grant, second_process_of_a_peer_needs_its_own_borrow)
{
	struct worker second;
	struct exchange *x;

	ASSERT_EQ(0, worker_start(&second, NODE_PEER, self->region, O_RDONLY));
	x = second.arg;
	x->ref = self->ref;
	ASSERT_EQ(0, worker_run(&self->peer, borrow));
	ASSERT_EQ(-1, worker_run(&self->peer, content));
	/* That there is a copy changes nothing. */
	EXPECT_EQ(NOTHING, worker_run(&second, access_to));
	EXPECT_EQ(0, worker_run(&second, borrow));
	EXPECT_EQ(0, worker_run(&self->peer, give_back));
	EXPECT_EQ(READ, worker_run(&second, access_to));
	EXPECT_EQ(NOTHING, worker_run(&self->peer, access_to));
	EXPECT_EQ(-EACCES, worker_run(&second, borrow_mut))
	TH_LOG("of a read-only attachment");
	worker_stop(&second);
}

TEST_F(grant, shared_borrows_of_a_process_are_counted)
{
	for (unsigned int i = 0; i < 3; i++) {
		ASSERT_NE(NULL, dsm_borrow(self->dsm, &self->ref));
		ASSERT_EQ(0, worker_run(&self->peer, borrow));
	}
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(READ, access_here(self));
		EXPECT_EQ(READ, worker_run(&self->peer, access_to));
		EXPECT_EQ(-EBUSY, worker_run(&self->other, borrow_mut));
		EXPECT_EQ(0, dsm_return(self->dsm, &self->ref));
		EXPECT_EQ(0, worker_run(&self->peer, give_back));
	}
	EXPECT_EQ(NOTHING, access_here(self));
	EXPECT_EQ(NOTHING, worker_run(&self->peer, access_to));
	EXPECT_EQ(-1, dsm_return(self->dsm, &self->ref));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-EPERM, worker_run(&self->peer, give_back));
	EXPECT_EQ(0, worker_run(&self->other, borrow_mut));
}

struct borrower {
	struct dsm *dsm;
	struct dsm_ref ref;
	unsigned int wrong;
};

static void *borrow_again_and_again(void *arg)
{
	struct borrower *b = arg;
	const void *p;

	for (unsigned int i = 0; i < rounds(200); i++) {
		p = dsm_borrow(b->dsm, &b->ref);
		if (!p) {
			b->wrong++;
			continue;
		}
		b->wrong += pattern_check(p, b->ref.size, 6) >= 0;
		b->wrong += dsm_return(b->dsm, &b->ref) != 0;
	}
	return NULL;
}

static long borrow_in_threads(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	struct borrower b[4];
	pthread_t thread[ARRAY_SIZE(b)];
	long wrong = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(b); i++) {
		b[i] = (struct borrower){ dsm, x->ref, 0 };
		if (pthread_create(&thread[i], NULL, borrow_again_and_again,
				   &b[i]))
			return -EAGAIN;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(b); i++) {
		pthread_join(thread[i], NULL);
		wrong += b[i].wrong;
	}
	return wrong;
}

TEST_F(grant, threads_share_a_grant)
{
	ASSERT_EQ(0, worker_post(&self->peer, borrow_in_threads));
	EXPECT_EQ(0, worker_run(&self->other, borrow_in_threads));
	EXPECT_EQ(0, worker_wait(&self->peer, WAIT_MS));
	/* None is left. */
	EXPECT_EQ(NOTHING, worker_run(&self->peer, access_to));
	EXPECT_EQ(NOTHING, worker_run(&self->other, access_to));
	EXPECT_NE(NULL, dsm_borrow_mut(self->dsm, &self->ref, 0));
}

TEST_F(grant, exclusive_while_shared_is_EBUSY)
{
	struct dsm_ref copy = self->ref;

	ASSERT_NE(NULL, dsm_borrow(self->dsm, &self->ref));
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &copy, 0));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(NULL,
		  dsm_borrow_mut(self->dsm, &copy, DSM_ACCEPT | DSM_DISCARD));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-EBUSY, worker_run(&self->other, borrow_mut));
	EXPECT_EQ(-EBUSY, worker_run(&self->other, drop));
	EXPECT_EQ(-EPERM, worker_run(&self->other, freeze));
	EXPECT_EQ(-1, dsm_freeze(self->dsm, &copy));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, dsm_drop(self->dsm, &copy));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(READ, access_here(self));
	ASSERT_EQ(0, dsm_return(self->dsm, &self->ref));
	EXPECT_EQ(0, worker_run(&self->other, borrow_mut));
}

TEST_F(grant, all_else_while_exclusive_is_EBUSY)
{
	struct dsm_ref copy = self->ref;

	ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &self->ref, 0));
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, &copy));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &copy, DSM_ACCEPT));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, dsm_drop(self->dsm, &copy));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, dsm_publish(self->dsm, "name", &copy));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-EBUSY, worker_run(&self->other, borrow));
	EXPECT_EQ(-EBUSY, worker_run(&self->other, borrow_mut));
	EXPECT_EQ(-EBUSY, worker_run(&self->other, drop));
	EXPECT_EQ(-EBUSY, worker_run(&self->other, publish));
	EXPECT_EQ(-EPERM, worker_run(&self->other, freeze));
	EXPECT_EQ(-EBUSY, worker_run(&self->peer, borrow));
	EXPECT_EQ(-EBUSY, worker_run(&self->peer, borrow_mut));
	EXPECT_EQ(WRITE, access_here(self));
	EXPECT_EQ(0, dsm_return_mut(self->dsm, &self->ref));
}

TEST_F(grant, return_without_a_borrow_is_EPERM)
{
	struct dsm_ref other;

	EXPECT_EQ(-1, dsm_return(self->dsm, &self->ref));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, dsm_return_mut(self->dsm, &self->ref));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-EPERM, worker_run(&self->peer, give_back));
	EXPECT_EQ(-EPERM, worker_run(&self->peer, give_back_mut));
	/* What another process has borrowed, */
	ASSERT_EQ(0, worker_run(&self->other, borrow));
	EXPECT_EQ(-1, dsm_return(self->dsm, &self->ref));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, worker_run(&self->other, give_back));
	ASSERT_EQ(0, worker_run(&self->other, borrow_mut));
	EXPECT_EQ(-1, dsm_return_mut(self->dsm, &self->ref));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(WRITE, worker_run(&self->other, access_to));
	ASSERT_EQ(0, worker_run(&self->other, give_back_mut));
	/* or a part of what this one has. */
	self->ref = self->there->ref;
	ASSERT_NE(NULL, dsm_borrow(self->dsm, &self->ref));
	other = self->ref;
	other.size -= PAGE_BYTES;
	EXPECT_EQ(-1, dsm_return(self->dsm, &other));
	EXPECT_EQ(EPERM, errno);
	other.addr += PAGE_BYTES;
	EXPECT_EQ(-1, dsm_return(self->dsm, &other));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(READ, access_here(self));
	EXPECT_EQ(0, dsm_return(self->dsm, &self->ref));
}

/* What is allocated is borrowed exclusively. */
static long alloc_one(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_alloc(dsm, GRANT_PAGES * PAGE_BYTES, &x->ref) ? 0 : -errno;
}

/* Number of pages whose read raises SIGBUS. */
static long count_sigbus(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;
	long n = 0;

	(void)dsm;
	for (size_t i = 0; i < GRANT_PAGES; i++)
		n += probe_read((char *)(uintptr_t)x->ref.addr +
				i * PAGE_BYTES) == SIGBUS;
	return n;
}

/* Half a write. */
static long borrow_mut_and_scribble(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	unsigned char *p = dsm_borrow_mut(dsm, &x->ref, 0);

	if (!p)
		return -errno;
	memset(p, 0x5a, PAGE_BYTES);
	return 0;
}

/* After the death of what had it. */
static void expect_poisoned(struct __test_metadata *_metadata,
			    FIXTURE_DATA(grant) * self, struct dsm_ref *ref)
{
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, ref));
	EXPECT_EQ(EOWNERDEAD, errno);
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, ref, 0));
	EXPECT_EQ(EOWNERDEAD, errno);
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, ref, DSM_DISCARD));
	EXPECT_EQ(EOWNERDEAD, errno);
	EXPECT_EQ(-1, dsm_publish(self->dsm, "name", ref));
	EXPECT_EQ(EOWNERDEAD, errno);
	EXPECT_EQ(-1, dsm_freeze(self->dsm, ref));
	EXPECT_EQ(EPERM, errno);
	self->far->ref = *ref;
	EXPECT_EQ(-EOWNERDEAD, worker_run(&self->peer, borrow));
	EXPECT_EQ(-EOWNERDEAD, worker_run(&self->peer, borrow_mut));
	EXPECT_EQ(NOTHING, access_here(self));
}

/* Once a peer's claim that was refused is back. */
static void *accept_calmly(struct dsm *dsm, struct dsm_ref *ref)
{
	uint64_t end = now_ms() + WAIT_MS;
	void *p;

	do
		p = dsm_borrow_mut(dsm, ref, DSM_ACCEPT);
	while (!p && errno == EBUSY && now_ms() < end);
	return p;
}

TEST_F(grant, death_inside_an_exclusive_borrow_is_EOWNERDEAD_until_accepted)
{
	ASSERT_EQ(0, worker_run(&self->other, borrow_mut_and_scribble));
	ASSERT_EQ(0, worker_kill(&self->other));
	expect_poisoned(_metadata, self, &self->ref);
	ASSERT_NE(NULL, accept_calmly(self->dsm, &self->ref));
	EXPECT_EQ(0x5a, self->p[PAGE_BYTES - 1]);
	EXPECT_EQ(pattern_word(PAGE_BYTES / 8, 6),
		  *(uint64_t *)(self->p + PAGE_BYTES));
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->ref));
	EXPECT_NE(NULL, dsm_borrow(self->dsm, &self->ref));
	EXPECT_EQ(0, dsm_return(self->dsm, &self->ref));
}

TEST_F(grant, peer_accepts_what_a_dead_process_left)
{
	ASSERT_EQ(0, worker_run(&self->other, borrow_mut_and_scribble));
	ASSERT_EQ(0, worker_kill(&self->other));
	expect_poisoned(_metadata, self, &self->ref);
	self->far->flags = DSM_ACCEPT;
	/* The claim that was refused may still be on its way back. */
	ASSERT_EQ(0, worker_run(&self->peer, borrow_mut));
	EXPECT_EQ(WRITE, worker_run(&self->peer, access_to));
	EXPECT_EQ(0, worker_run(&self->peer, give_back_mut));
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &self->ref, DSM_ACCEPT));
	EXPECT_EQ(ESTALE, errno);
	ASSERT_NE(NULL, dsm_borrow(self->dsm, &self->far->ref));
	self->p = (void *)(uintptr_t)self->far->ref.addr;
	EXPECT_EQ(0x5a, self->p[PAGE_BYTES - 1]);
	EXPECT_EQ(pattern_word(PAGE_BYTES / 8, 6),
		  *(uint64_t *)(self->p + PAGE_BYTES));
	EXPECT_EQ(0, dsm_return(self->dsm, &self->far->ref));
}

TEST_F(grant, what_a_dead_process_left_can_be_dropped)
{
	ASSERT_EQ(0, worker_run(&self->other, borrow_mut_and_scribble));
	ASSERT_EQ(0, worker_kill(&self->other));
	EXPECT_EQ(0, dsm_drop(self->dsm, &self->ref));
	EXPECT_EQ(-ESTALE, worker_run(&self->peer, borrow));
}

TEST_F(grant, newborn_object_of_a_dead_process_is_EOWNERDEAD)
{
	struct dsm_ref *ref = &self->there->ref;

	ASSERT_EQ(0, worker_run(&self->other, alloc_one));
	ASSERT_EQ(0, worker_kill(&self->other));
	expect_poisoned(_metadata, self, ref);
	EXPECT_NE(NULL, accept_calmly(self->dsm, ref));
}

TEST_F(grant, what_a_dead_process_had_moved_here_is_EOWNERDEAD)
{
	struct dsm_ref *ref = &self->far->ref;
	struct worker next;

	ASSERT_EQ(0, worker_run(&self->peer, borrow_mut_and_scribble));
	ASSERT_EQ(0, worker_kill(&self->peer));
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, ref));
	EXPECT_EQ(EOWNERDEAD, errno);
	ASSERT_EQ(0, worker_start(&next, NODE_PEER, self->region, O_RDWR));
	*(struct exchange *)next.arg =
		(struct exchange){ .ref = *ref, .flags = DSM_ACCEPT };
	EXPECT_EQ(-EOWNERDEAD, worker_run(&next, borrow));
	EXPECT_EQ(0, worker_run(&next, borrow_mut));
	EXPECT_EQ(WRITE, worker_run(&next, access_to));
	worker_stop(&next);
}

TEST_F(grant, detaching_inside_an_exclusive_borrow_is_like_dying)
{
	ASSERT_EQ(0, worker_run(&self->other, borrow_mut));
	worker_stop(&self->other);
	expect_poisoned(_metadata, self, &self->ref);
	EXPECT_NE(NULL, dsm_borrow_mut(self->dsm, &self->ref, DSM_ACCEPT));
	EXPECT_EQ(-1, pattern_check(self->p, self->ref.size, 6));
}

TEST_F(grant, shared_borrows_end_with_their_process)
{
	struct worker next;

	/* Killed, and detached. */
	ASSERT_EQ(0, worker_start(&next, NODE_HOME, self->region, O_RDONLY));
	*(struct exchange *)next.arg = *self->there;
	ASSERT_EQ(0, worker_run(&next, borrow));
	ASSERT_EQ(0, worker_run(&self->other, borrow));
	ASSERT_EQ(0, worker_run(&self->other, borrow));
	ASSERT_EQ(-1, worker_run(&self->other, content));
	ASSERT_EQ(0, worker_kill(&self->other));
	EXPECT_EQ(NULL, dsm_borrow_mut(self->dsm, &self->ref, 0));
	EXPECT_EQ(EBUSY, errno);
	worker_stop(&next);
	EXPECT_NE(NULL, dsm_borrow_mut(self->dsm, &self->ref, 0));
}

TEST_F(grant, newer_version_is_SIGBUS_where_the_old_one_is_not_cached)
{
	ASSERT_EQ(0, worker_run(&self->peer, borrow));
	ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &self->ref, 0));
	pattern_fill(self->p, self->ref.size, 7);
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->ref));
	EXPECT_EQ(GRANT_PAGES, worker_run(&self->peer, count_sigbus));
	EXPECT_EQ(0, worker_run(&self->peer, give_back));
	EXPECT_EQ(-ESTALE, worker_run(&self->peer, borrow));
}

/* Against the rules, but never other bytes: they stay as long as the grant. */
TEST_F(grant,
       what_a_peer_took_under_a_reader_is_not_used_again_before_he_is_done)
{
	static const job_fn take[] = { borrow_mut, drop };

	for (unsigned int i = 0; i < ARRAY_SIZE(take); i++) {
		const struct dsm_ref read = self->ref;
		struct dsm_ref ref[4];

		self->far->ref = read;
		ASSERT_NE(NULL, dsm_borrow(self->dsm, &read));
		ASSERT_EQ(0, worker_run(&self->peer, take[i]));
		/* There is no room for the second: what peers took is reclaimed. */
		for (unsigned int k = 0; k < ARRAY_SIZE(ref); k++) {
			size_t bytes = k < 3 ? MIB : GRANT_PAGES * PAGE_BYTES;
			void *p = dsm_alloc(self->dsm, bytes, &ref[k]);

			ASSERT_NE(NULL, p);
			EXPECT_NE((void *)self->p, p);
			memset(p, 0xff, bytes);
		}
		EXPECT_EQ(-1, pattern_check(self->p, read.size, 6));
		EXPECT_EQ(0, dsm_return(self->dsm, &read));
		for (unsigned int k = 0; k < ARRAY_SIZE(ref); k++)
			ASSERT_EQ(0, object_drop(self->dsm, &ref[k]));
		self->p = dsm_alloc(self->dsm, GRANT_PAGES * PAGE_BYTES,
				    &self->ref);
		ASSERT_NE(NULL, self->p);
		pattern_fill(self->p, self->ref.size, 6);
		ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->ref));
	}
}

/* Two processes of a node fetch the same pages in versions of their own. */
TEST_F(grant, who_wants_another_version_gets_an_answer_of_his_own)
{
	const size_t pages = 64;
	struct worker late;
	struct exchange *x;

	ASSERT_EQ(0, worker_start(&late, NODE_PEER, self->region, O_RDWR));
	x = late.arg;
	ASSERT_NE(NULL,
		  dsm_alloc(self->dsm, pages * PAGE_BYTES, &self->far->ref));
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &self->far->ref));
	x->ref = self->far->ref;
	ASSERT_EQ(0, worker_run(&self->peer, borrow));
	for (unsigned int i = 0; i < rounds(20); i++) {
		ASSERT_NE(NULL, dsm_borrow_mut(self->dsm, &x->ref, 0));
		ASSERT_EQ(0, dsm_return_mut(self->dsm, &x->ref));
		ASSERT_EQ(0, worker_run(&late, borrow));
		ASSERT_EQ(0, worker_post(&self->peer, count_signals));
		EXPECT_EQ(0, worker_run(&late, count_signals));
		EXPECT_EQ(pages, worker_wait(&self->peer, WAIT_MS));
		ASSERT_EQ(0, worker_run(&late, give_back));
	}
	worker_stop(&late);
}

TEST_HARNESS_MAIN
