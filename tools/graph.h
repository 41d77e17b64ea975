/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dsm-graph: Debian's packages and what they depend on, as a graph.
 *
 * The graph is made of plain C pointers.  It is built once, in arenas: large
 * objects that are filled from the bottom and then frozen, or private memory
 * where there is no dsm.
 */
#ifndef DSM_GRAPH_H
#define DSM_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dsm.h>

#define ARENA_BYTES (4UL << 20)
#define MAX_ARENAS 64

struct package {
	const struct package *next; /* in the order of the index */
	const char *name;
	const char *version;
	const struct package *const *needs;
	uint32_t nr_needs;
	uint32_t id; /* 0 to nr_packages - 1 */
};

/* The root, at the start of the first arena. */
struct graph {
	const struct package *first;
	uint32_t nr_packages;
	uint32_t nr_edges;
	uint32_t nr_unresolved; /* needs that nothing in the index satisfies */
	uint32_t nr_arenas;
	const char *arenas[MAX_ARENAS];
	size_t arena_used[MAX_ARENAS];
};

struct arenas {
	struct dsm *dsm; /* NULL: private memory */
	unsigned int nr;
	size_t used; /* of the last one */
	char *base[MAX_ARENAS];
	struct dsm_ref refs[MAX_ARENAS];
};

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void *xcalloc(size_t nmemb, size_t size);

/* Reads a package index into arenas; the root is arenas->base[0]. */
struct graph *graph_build(struct arenas *arenas, const char *path);

/*
 * How many packages need each package, directly or not, by package id.  Counts
 * those needed by the packages of ids @from to @to - 1 only.  @progress is told
 * how many of them are done.
 */
void graph_count(const struct graph *graph, uint32_t from, uint32_t to,
		 uint32_t *counts, void (*progress)(uint32_t done));

/* The same for all packages, one search at a time: slow and simple. */
void graph_count_simply(const struct graph *graph, uint32_t *counts);

#endif /* DSM_GRAPH_H */
