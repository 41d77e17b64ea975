/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites about ownership share: objects that hold a pattern, and jobs for
 * workers on other nodes.
 */
#ifndef BORROW_H
#define BORROW_H

#include <errno.h>
#include <string.h>

#include "helper.h"

#define SMALL_MAX_BYTES (DSM_MAX_LINES * DSM_LINE_SIZE)
#define EXCHANGE_REFS 1024

/* What a test and its worker tell each other. */
struct exchange {
	struct dsm_ref ref;
	size_t bytes;
	unsigned int flags;
	unsigned int node;
	uint32_t seed;
	char name[DSM_NAME_BYTES];
	void *ptr;
	volatile int entered, go;
	unsigned int n;
	unsigned int counts[4];
	struct dsm_ref refs[EXCHANGE_REFS];
};

static inline unsigned int state_of(uint64_t word)
{
	return (unsigned int)(word >> DSM_WORD_STATE_SHIFT);
}

static inline unsigned int lines_of(uint64_t word)
{
	return (unsigned int)((word >> DSM_WORD_LINES_SHIFT) &
			      DSM_WORD_LINES_MASK);
}

static inline uint64_t version_of(const struct dsm_ref *ref)
{
	return ref->version & DSM_WORD_VERSION_MASK;
}

static inline void *address_of(const struct dsm_ref *ref)
{
	return (void *)(uintptr_t)ref->addr;
}

/* An object of @bytes that holds the pattern. */
static inline bool make(struct dsm *dsm, size_t bytes, uint32_t seed,
			struct dsm_ref *ref)
{
	void *p = dsm_alloc(dsm, bytes, ref);

	if (!p)
		return false;
	pattern_fill(p, ref->size, seed);
	return dsm_return_mut(dsm, ref) == 0;
}

/* 0: it holds the pattern; a negative errno; else 1 + where it is wrong. */
static inline long check(struct dsm *dsm, const struct dsm_ref *ref,
			 uint32_t seed)
{
	const void *p = dsm_borrow(dsm, ref);
	ssize_t wrong;

	if (!p)
		return -errno;
	wrong = pattern_check(p, ref->size, seed);
	if (dsm_return(dsm, ref))
		return -errno;
	return wrong == -1 ? 0 : 1 + wrong;
}

/* Write the pattern anew.  0 or a negative errno. */
static inline long rewrite(struct dsm *dsm, struct dsm_ref *ref,
			   unsigned int flags, uint32_t seed)
{
	void *p = dsm_borrow_mut(dsm, ref, flags);

	if (!p)
		return -errno;
	pattern_fill(p, ref->size, seed);
	return dsm_return_mut(dsm, ref) ? -errno : 0;
}

/* Once nobody is about to take it. */
static inline long rewrite_calmly(struct dsm *dsm, struct dsm_ref *ref,
				  uint32_t seed)
{
	uint64_t end = now_ms() + WAIT_MS;
	long err;

	do
		err = rewrite(dsm, ref, 0, seed);
	while (err == -EBUSY && now_ms() < end);
	return err;
}

static inline long drop(struct dsm *dsm, struct dsm_ref *ref)
{
	return dsm_drop(dsm, ref) ? -errno : 0;
}

static inline long drop_calmly(struct dsm *dsm, struct dsm_ref *ref)
{
	uint64_t end = now_ms() + WAIT_MS;
	long err;

	do
		err = drop(dsm, ref);
	while (err == -EBUSY && now_ms() < end);
	return err;
}

/* ---- the same as jobs ---- */

static inline long make_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return make(dsm, x->bytes, x->seed, &x->ref) ? 0 : -errno;
}

static inline long check_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return check(dsm, &x->ref, x->seed);
}

static inline long write_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return rewrite(dsm, &x->ref, x->flags, x->seed);
}

static inline long drop_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return drop(dsm, &x->ref);
}

static inline long borrow_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	x->ptr = (void *)(uintptr_t)dsm_borrow(dsm, &x->ref);
	return x->ptr ? 0 : -errno;
}

static inline long return_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_return(dsm, &x->ref) ? -errno : 0;
}

static inline long borrow_mut_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	x->ptr = dsm_borrow_mut(dsm, &x->ref, x->flags);
	return x->ptr ? 0 : -errno;
}

static inline long return_mut_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_return_mut(dsm, &x->ref) ? -errno : 0;
}

static inline long probe_read_there(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	(void)dsm;
	return probe_read(x->ptr);
}

static inline long probe_write_there(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	(void)dsm;
	return probe_write(x->ptr, 1);
}

/* ---- a worker's answer to a question about one handle ---- */

static inline long ask(struct worker *w, job_fn job, const struct dsm_ref *ref,
		       uint32_t seed)
{
	struct exchange *x = w->arg;

	x->ref = *ref;
	x->seed = seed;
	x->flags = 0;
	return worker_run(w, job);
}

/*
 * The same, once nobody is about to take the object: what the worker's own node began
 * before may not have ended yet.
 */
static inline long ask_calmly(struct worker *w, job_fn job,
			      const struct dsm_ref *ref, uint32_t seed)
{
	uint64_t end = now_ms() + WAIT_MS;
	long got;

	do
		got = ask(w, job, ref, seed);
	while (got == -EBUSY && now_ms() < end);
	return got;
}

/* Counts in a claim's end or a drop, which nobody waits for. */
struct atomics {
	unsigned int node;
	uint64_t until;
};

static inline bool atomics_came(void *arg)
{
	const struct atomics *a = arg;

	return counter_now(a->node, DSM_COUNTER_ATOMICS) >= a->until;
}

/* Until @node has done that many since @before. */
static inline bool atomics_wait(unsigned int node, uint64_t before,
				unsigned int how_many)
{
	struct atomics a = { .node = node, .until = before + how_many };

	return wait_until(atomics_came, &a, WAIT_MS);
}

#endif /* BORROW_H */
