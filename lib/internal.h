/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* libdsm: what its files share. */
#ifndef DSM_INTERNAL_H
#define DSM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dsm.h"

/* Sizes of small objects, in lines: few enough to share pages well. */
#define SLAB_CLASSES 15

/* The page that objects of one size are allocated from. */
struct slab {
	pthread_mutex_t lock; /* the rest */
	uint64_t addr; /* 0: none yet */
	unsigned int next; /* line to look at next */
};

/*
 * Set by dsm_attach() and fixed, but for slabs and held.  What a borrow that hits
 * needs comes first.
 */
struct dsm {
	uint64_t base;
	uint64_t lines; /* of the range */
	_Atomic(uint64_t) *ledger; /* window, by line of the range */
	uint64_t own_first; /* line where this node's partition begins */
	uint64_t own_lines;
	uint64_t held_lines; /* the same; 0: nothing can be held */
	uint64_t own_base; /* address where the partition begins */
	_Atomic(uint64_t) *own_ledger; /* its part of the ledger */
	const _Atomic(uint64_t) *claims; /* window, by line of the partition */
	_Atomic(uint64_t) *held; /* see DSM_MMAP_HELD */
	atomic_uint held_reach; /* how far from its place one may be found */
	int fd;
	unsigned int node;
	unsigned int partition_shift;
	uint64_t span;
	struct slab slabs[SLAB_CLASSES];
};

static inline int dsm_fail(int error)
{
	errno = error;
	return -1;
}

void dsm_slabs_init(struct dsm *dsm);
void dsm_slabs_destroy(struct dsm *dsm);

#endif /* DSM_INTERNAL_H */
