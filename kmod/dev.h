/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_DEV_H
#define DSM_DEV_H

#include <linux/fs.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include "grant.h"

struct dsm_region;

enum {
	DSM_STREAM_BITS = 4,
	DSM_HELD_PAGES = DSM_HELD_SLOTS * sizeof(u64) / PAGE_SIZE,
};

/**
 * struct dsm_stream - where a thread's page faults seem to be going
 * @next: the page after the last one it got
 * @window: pages of the last readahead
 * @failed: a page fault whose first pass failed: thread, page, errno
 *
 * Written without a lock by whichever threads hash here: the first two are hints, and
 * the last is lost if another fails at the same time.
 */
struct dsm_stream {
	pgoff_t next;
	unsigned int window;
	atomic64_t failed;
};

/**
 * struct dsm_file - an open /dev/dsm
 * @lock: serialises attaching
 * @region: NULL until it is attached, then fixed; the file holds a reference.
 *	    Set with release semantics after the others
 * @mm: process that attached it
 * @mapped: the range is mapped; at most once at a time
 * @list: of attached files, see dev.c
 * @grants: large objects that the process has borrowed
 * @held: pages of the list of small objects that it has borrowed exclusively; set
 *	  once each, by a compare-and-swap
 * @streams: by thread
 */
struct dsm_file {
	struct mutex lock;	/* attaching */
	struct dsm_region *region;
	struct mm_struct *mm;
	atomic_t mapped;
	struct list_head list;
	struct dsm_grants grants;
	struct page *held[DSM_HELD_PAGES];
	struct dsm_stream streams[1 << DSM_STREAM_BITS];
};

int dsm_dev_init(void);
void dsm_dev_exit(void);

extern const struct vm_operations_struct dsm_vm_ops;
vm_fault_t dsm_vm_pfn_mkwrite(struct vm_fault *vmf);
vm_fault_t dsm_vm_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end);
void dsm_file_end(struct dsm_file *file);

#endif /* DSM_DEV_H */
