/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dsm-bench: what its files share.
 *
 * Node 1 is where data comes from, node 2 measures, and all others keep copies.
 */
#ifndef DSM_BENCH_H
#define DSM_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <dsm.h>

#define SOURCE 1
#define SINK 2
#define WAIT_MS 120000
#define PAGE_BYTES 4096UL
#define MAX_PAGES 4096

struct bench {
	struct dsm *dsm;
	int fd;
	/* Order of touching that no readahead takes for a stream. */
	uint32_t order[MAX_PAGES];
};

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
double now_us(void);
double median(double *values, size_t nr);
/* One line: what was measured, the result, its goal or NULL, and what it is made of. */
void report(const char *what, double value, const char *goal, const char *fmt,
	    ...) __attribute__((format(printf, 4, 5)));

void attach(struct bench *b);
const char *lookup(const struct bench *b, const char *name);
/* Gives the object a name and makes it readable for ever. */
void publish_frozen(const struct bench *b, const char *name,
		    struct dsm_ref *ref);
/* READs of node 1's memory by node 2, @depth of them in flight at once. */
struct dsm_ping_args ping(const struct bench *b, uint32_t bytes, uint32_t depth,
			  uint32_t count);

/* Ownership: node 1 makes the objects and measures what is done at home, ... */
void own_source(struct bench *b);
/* ... the others have copies of some, ... */
void own_share(struct bench *b);
/* ... and node 2 fetches and moves them. */
void own_sink(struct bench *b);

/* Instructions of the calls that make no system call, of this node's objects. */
void step_count(void);

#endif /* DSM_BENCH_H */
