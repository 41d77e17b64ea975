/* SPDX-License-Identifier: GPL-2.0-only */
/* What stress.c and stress-tree.c share: the threads, their objects, the counts. */
#ifndef STRESS_H
#define STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "helper.h"

enum {
	NODES = 3,
	PER_NODE = 3, /* threads */
	THREADS = NODES * PER_NODE,
	ROGUES = 2, /* violators of a node */
	OPS = 800,
	ROOTS = 24, /* trees of a thread; more come by message */
	ROOTS_MAX = 4 * ROOTS,
	KIDS = 4,
	DEPTH = 5,
	LARGE_PAGES = 17, /* at most */
	LENDS = 4, /* of a thread at a time */
	KNOWN = 1024, /* handles that violators choose from */
	POST = 256, /* messages on their way to a thread */
	KILLS = 12,
	VICTIM_ROOTS = 32,
	TEST_SECONDS = 14400,
};

/* stress.sh configures as much for each node. */
#define MEMORY_BYTES (24UL << 20)
#define PATIENCE_MS 20000

struct object {
	uint64_t addr, version; /* of the handle that these bytes are for */
	uint64_t id;
	uint64_t kids;
	uint64_t sum; /* of all but the filling */
	struct dsm_ref kid[];
};

struct message {
	struct dsm_ref ref;
	uint64_t lend; /* 0: it is yours; else read it, then say so there */
};

/* Many put in, one takes out. */
struct post {
	atomic_uint lock; /* of who puts in */
	atomic_uint in, out; /* how many */
	struct message message[POST];
};

/* A handle that is or was good. */
struct known {
	atomic_uint lock;
	bool over; /* it owns nothing any more */
	struct dsm_ref ref;
};

struct shared {
	uint32_t seed;
	unsigned int ops;
	bool rogues;
	struct post post[THREADS];
	atomic_uint done; /* threads that send no more */
	atomic_uint stop;
	atomic_uint lend[THREADS * LENDS];
	struct known known[KNOWN];
	atomic_uint next_known;
	struct dsm_ref victim[NODES + 1][VICTIM_ROOTS];
	/* What is counted. */
	atomic_uint made, dropped, reads, changes, sent, lent, no_space, busy;
	atomic_uint rogue_exact, rogue_refused, rogue_late, rogue_signals;
	atomic_uint lost, dead, left;
	atomic_uint errors;
	char what[512]; /* of the first error */
};

static struct shared *const shared = (struct shared *)SHARED_ADDR;

struct root {
	struct dsm_ref ref;
	unsigned int lend; /* 1 + index of where readers are counted */
};

struct thread {
	struct dsm *dsm;
	unsigned int id;
	uint32_t random;
	struct root root[ROOTS_MAX];
	unsigned int nr;
};

/* A random number below @n. */
uint32_t choose(struct thread *t, uint32_t n);
void seed_thread(struct thread *t);
/* Counts an error, notes the first one and stops all threads. */
void failed(const struct thread *t, const char *what, int error,
	    const struct dsm_ref *ref);

/* Do the contents say that they are for this handle? */
bool is_exact(const volatile struct object *o, const struct dsm_ref *ref);
void check(const struct thread *t, const struct object *o,
	   const struct dsm_ref *ref, const char *what);
/* Makes them say so for the version that the end of the borrow makes. */
void seal(struct object *o, const struct dsm_ref *ref);
/* For violators.  @over: the handle owns nothing any more. */
void know(const struct dsm_ref *ref, bool over);

/* Calls that must succeed. */
void give_back(struct thread *t, const struct dsm_ref *ref);
/* NULL without a failure: there is no room here. */
struct object *borrow_mut(struct thread *t, struct dsm_ref *ref,
			  unsigned int flags);
void give_back_mut(struct thread *t, struct dsm_ref *ref);
void drop(struct thread *t, struct dsm_ref *ref);
/* A new object without kids.  Returns false if there is no room. */
bool make(struct thread *t, struct dsm_ref *ref);
void read_tree(struct thread *t, const struct dsm_ref *ref);

/* A thread that obeys; @arg is its struct thread. */
void *thread_main(void *arg);

#endif /* STRESS_H */
