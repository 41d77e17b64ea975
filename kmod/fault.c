// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults in the mapped range.
 *
 * A page of a large object is mapped as the process's grant allows, under the lock of
 * its grants, or read-only where it is frozen.  Pages of small objects are always
 * mapped: the ledger says what may be used.
 *
 * A page of this node's partition is mapped under the chunk's lock.  A page of a
 * peer is mapped read-only from its copy, under the copy's lock.  If it is not here
 * the first pass lets go of mmap_lock, has it fetched and asks for the fault to be
 * done again; the second pass maps it, or reports what the fetch found, or lets the
 * instruction fault anew so that the lock can be let go again.
 */
#include <linux/hash.h>
#include <linux/mm.h>
#include "copy.h"
#include "dev.h"
#include "node.h"
#include "trace.h"

enum {
	DSM_WINDOW_MIN_PAGES = 8,
	DSM_WINDOW_MAX_PAGES = 64,
	DSM_AROUND_PAGES = 16,		/* present copies mapped with a fault's */
	DSM_FAILED_ERRNO_BITS = 12,	/* of dsm_stream.failed, below the page's */
	DSM_FAILED_PAGE_BITS = 30,	/* and the thread's */
};

static vm_fault_t dsm_fault_error(struct dsm_region *region, int err)
{
	struct dsm_stat __percpu *stat = region->node->stat;

	switch (err) {
	case 0:
	case -EAGAIN:
	case -EINTR:
		return VM_FAULT_NOPAGE;
	case -EACCES:
		dsm_stat_add(stat, DSM_COUNTER_FAULTS_SIGSEGV, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_FAULTS_SIGSEGV, 1);
		return VM_FAULT_SIGSEGV;
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		dsm_stat_add(stat, DSM_COUNTER_FAULTS_SIGBUS, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_FAULTS_SIGBUS, 1);
		return VM_FAULT_SIGBUS;
	}
}

static vm_fault_t dsm_fault_insert(struct vm_area_struct *vma, unsigned long address,
				   struct dsm_region *region, struct page *page,
				   pgprot_t prot)
{
	vm_fault_t ret = vmf_insert_pfn_prot(vma, address, page_to_pfn(page), prot);

	if (ret == VM_FAULT_NOPAGE) {
		dsm_stat_add(region->node->stat, DSM_COUNTER_PAGES_MAPPED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_PAGES_MAPPED, 1);
	}
	return ret;
}

/* ---- this node's partition ---- */

/* How a page of ours may be mapped, if at all.  @prot: in: read-only. */
static bool dsm_fault_prot(const struct vm_fault *vmf, struct dsm_file *file,
			   const struct dsm_chunk *chunk, unsigned int index,
			   pgprot_t *prot)
{
	const struct dsm_grant *grant;
	bool write;

	if (chunk->kind == DSM_CHUNK_SMALL) {
		write = true;
		if (!READ_ONCE(chunk->slabs[index].lines))
			return false;
	} else if (dsm_word_state(READ_ONCE(*dsm_chunk_word(chunk, index))) ==
		   DSM_STATE_FROZEN) {
		write = false;
	} else {
		grant = dsm_grant_find(&file->grants, vmf->pgoff);
		if (!grant)
			return false;
		write = grant->excl;
	}
	if (write)
		*prot = vm_get_page_prot(vmf->vma->vm_flags);
	return write || !(vmf->flags & FAULT_FLAG_WRITE);
}

static vm_fault_t dsm_fault_local(struct vm_fault *vmf, struct dsm_file *file,
				  struct dsm_region *region)
{
	struct dsm_node *node = region->node;
	u64 page = vmf->pgoff - dsm_partition(node, node->id);
	unsigned int index = page % DSM_CHUNK_PAGES;
	struct vm_area_struct *vma = vmf->vma;
	pgprot_t prot = vma->vm_page_prot;	/* read-only, as we have pfn_mkwrite */
	struct dsm_chunk *chunk;
	vm_fault_t ret;

	dsm_stat_add(node->stat, DSM_COUNTER_FAULTS_LOCAL, 1);
	dsm_stat_add(region->stat, DSM_COUNTER_FAULTS_LOCAL, 1);
	chunk = dsm_chunk_get(node, page / DSM_CHUNK_PAGES);
	if (!chunk)
		return dsm_fault_error(region, -EACCES);
	if (chunk->region != region) {
		ret = dsm_fault_error(region, -EACCES);
		goto put;
	}
	down_read(&file->grants.lock);
	down_read(&chunk->lock);
	if (chunk->dead) {
		ret = dsm_fault_error(region, READ_ONCE(region->gone) ? -EIDRM : -EACCES);
	} else if (dsm_fault_prot(vmf, file, chunk, index, &prot)) {
		ret = dsm_fault_insert(vma, vmf->address, region, chunk->pages[index],
				       prot);
	} else {
		ret = dsm_fault_error(region, -EACCES);
	}
	up_read(&chunk->lock);
	up_read(&file->grants.lock);
put:
	dsm_chunk_put(chunk);
	return ret;
}

/* ---- copies ---- */

/* Map the copies that follow, as far as they are here.  Returns the next page. */
static pgoff_t dsm_fault_around(struct vm_fault *vmf, struct dsm_region *region,
				const struct dsm_want *want)
{
	struct vm_area_struct *vma = vmf->vma;
	pgoff_t pgoff = vmf->pgoff + 1;
	pgoff_t end = pgoff + DSM_AROUND_PAGES - 1;

	end = min(end, round_down(vmf->pgoff, DSM_CHUNK_PAGES) + DSM_CHUNK_PAGES);
	if (want)
		end = min(end, want->end);
	for (; pgoff < end; pgoff++) {
		struct dsm_copy *copy = dsm_copy_find(region, pgoff);
		vm_fault_t ret = VM_FAULT_SIGBUS;

		if (!copy)
			break;
		/* A marked one must fault, to begin the next readahead. */
		if (!dsm_copy_test(copy, DSM_COPY_MARK) && dsm_copy_trylock(copy)) {
			if (dsm_copy_is(copy, want) &&
			    !dsm_copy_test(copy, DSM_COPY_DEAD)) {
				set_bit(DSM_COPY_REFERENCED, &copy->flags);
				ret = dsm_fault_insert(vma, vma->vm_start +
						       (pgoff << PAGE_SHIFT), region,
						       copy->page, vma->vm_page_prot);
			}
			dsm_copy_unlock(copy);
		}
		dsm_copy_put(copy);
		if (ret != VM_FAULT_NOPAGE)
			break;
	}
	return pgoff;
}

/*
 * Map a locked copy if it is present, under the lock of the grants.  Unlocks it.
 */
static bool dsm_fault_map(struct vm_fault *vmf, struct dsm_copy *copy,
			  const struct dsm_want *want, vm_fault_t *ret)
{
	bool present = dsm_copy_is(copy, want) && !dsm_copy_test(copy, DSM_COPY_DEAD);

	if (present) {
		set_bit(DSM_COPY_REFERENCED, &copy->flags);
		*ret = dsm_fault_insert(vmf->vma, vmf->address, copy->region,
					copy->page, vmf->vma->vm_page_prot);
	}
	dsm_copy_unlock(copy);
	return present;
}

static vm_fault_t dsm_fault_present(struct vm_fault *vmf, struct dsm_copy *copy,
				    const struct dsm_want *want,
				    struct dsm_stream *stream, vm_fault_t ret)
{
	struct dsm_region *region = copy->region;
	pgoff_t next = vmf->pgoff + 1;

	if (!(vmf->flags & FAULT_FLAG_TRIED)) {
		dsm_stat_add(region->node->stat, DSM_COUNTER_FAULTS_CACHED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_FAULTS_CACHED, 1);
	}
	if (test_and_clear_bit(DSM_COPY_MARK, &copy->flags)) {
		unsigned int window = clamp_t(unsigned int, 2 * READ_ONCE(stream->window),
					      DSM_WINDOW_MIN_PAGES, DSM_WINDOW_MAX_PAGES);

		WRITE_ONCE(stream->window, window);
		/* What was read ahead last is on its way; go on behind it. */
		dsm_copy_readahead(region, want, vmf->pgoff + window / 2, window);
	}
	if (vmf->pgoff == READ_ONCE(stream->next))
		next = dsm_fault_around(vmf, region, want);
	WRITE_ONCE(stream->next, next);
	return ret;
}

static unsigned int dsm_fault_wait_state(const struct vm_fault *vmf)
{
	/* In the kernel's own accesses a signal that does not kill changes nothing. */
	if (vmf->flags & FAULT_FLAG_INTERRUPTIBLE && vmf->flags & FAULT_FLAG_USER)
		return TASK_INTERRUPTIBLE;
	if (vmf->flags & FAULT_FLAG_KILLABLE)
		return TASK_KILLABLE;
	return TASK_UNINTERRUPTIBLE;
}

/* How much to read ahead for a fault that nothing is cached for. */
static unsigned int dsm_fault_window(struct dsm_stream *stream, pgoff_t pgoff)
{
	unsigned int window = 0;

	if (pgoff == READ_ONCE(stream->next))
		window = clamp_t(unsigned int, 2 * READ_ONCE(stream->window),
				 DSM_WINDOW_MIN_PAGES, DSM_WINDOW_MAX_PAGES);
	WRITE_ONCE(stream->window, window);
	return window;
}

/* What this thread's fault on a page leaves in dsm_stream.failed, without the errno. */
static u64 dsm_fault_key(pgoff_t pgoff)
{
	u64 page = pgoff & GENMASK_ULL(DSM_FAILED_PAGE_BITS - 1, 0);

	return ((u64)current->pid << DSM_FAILED_PAGE_BITS | page) <<
	       DSM_FAILED_ERRNO_BITS;
}

/* How this thread's first pass failed, once; 0: it did not, or that is lost. */
static int dsm_fault_failed(struct dsm_stream *stream, pgoff_t pgoff)
{
	u64 failed = atomic64_read(&stream->failed);
	u64 err = failed - dsm_fault_key(pgoff);

	if (err >> DSM_FAILED_ERRNO_BITS ||
	    atomic64_cmpxchg(&stream->failed, failed, 0) != failed)
		return 0;
	return -(int)err;
}

/* First pass: fetch without the lock of the address space.  Puts @copy. */
static vm_fault_t dsm_fault_unlocked(struct vm_fault *vmf, struct dsm_stream *stream,
				     struct dsm_region *region, struct dsm_copy *copy,
				     const struct dsm_want *want)
{
	unsigned int window = dsm_fault_window(stream, vmf->pgoff);
	unsigned int state = dsm_fault_wait_state(vmf);
	struct file *file = get_file(vmf->vma->vm_file);
	pgoff_t pgoff = vmf->pgoff;
	int err;

	/* The mapping may be gone afterwards; the file is held, and it the region. */
	release_fault_lock(vmf);
	if (!copy)
		copy = dsm_copy_make(region, pgoff, true);
	err = PTR_ERR_OR_ZERO(copy);
	if (!err) {
		err = dsm_copy_fetch(copy, want, state, pgoff + 1, window);
		dsm_copy_put(copy);
	}
	/* One of an earlier fault that was not done again is void. */
	dsm_fault_failed(stream, pgoff);
	if (err)
		atomic64_set(&stream->failed, dsm_fault_key(pgoff) - err);
	fput(file);
	/* MAJOR makes the next pass a second one under the VMA's lock too. */
	return VM_FAULT_RETRY | VM_FAULT_MAJOR;
}

/* Where the lock cannot be let go of. */
static vm_fault_t dsm_fault_locked(struct vm_fault *vmf, struct dsm_copy *copy,
				   const struct dsm_want *want, unsigned int window)
{
	vm_fault_t ret;
	int err;

	do {
		err = dsm_copy_fetch(copy, want, TASK_KILLABLE, vmf->pgoff + 1, window);
		if (err)
			return dsm_fault_error(copy->region, err);
		dsm_copy_lock(copy, TASK_UNINTERRUPTIBLE);
	} while (!dsm_fault_map(vmf, copy, want, &ret));
	return ret;
}

/* Map a copy that is present, under the lock of the grants. */
static bool dsm_fault_try(struct vm_fault *vmf, struct dsm_copy *copy,
			  const struct dsm_want *want, vm_fault_t *ret)
{
	/* A present copy is locked only for as long as it takes to map it. */
	if (!dsm_copy_trylock(copy) &&
	    (!dsm_copy_test(copy, DSM_COPY_PRESENT) ||
	     dsm_copy_lock(copy, TASK_UNINTERRUPTIBLE)))
		return false;
	return dsm_fault_map(vmf, copy, want, ret);
}

static vm_fault_t dsm_fault_remote(struct vm_fault *vmf, struct dsm_file *file,
				   struct dsm_region *region)
{
	struct dsm_stream *stream = &file->streams[hash_32(current->pid, DSM_STREAM_BITS)];
	bool first = fault_flag_allow_retry_first(vmf->flags) &&
		     !(vmf->flags & FAULT_FLAG_RETRY_NOWAIT);
	bool tried = vmf->flags & FAULT_FLAG_TRIED;
	struct dsm_node *node = region->node;
	const struct dsm_want *want;
	struct dsm_want version;
	struct dsm_copy *copy;
	bool mapped;
	vm_fault_t ret;

	if (vmf->flags & FAULT_FLAG_WRITE || !node->links[dsm_home(node, vmf->pgoff)])
		return dsm_fault_error(region, -EACCES);
	copy = dsm_copy_find(region, vmf->pgoff);
	if (!copy && !first && !tried)
		copy = dsm_copy_make(region, vmf->pgoff, false);
	if (IS_ERR(copy))
		return dsm_fault_error(region, PTR_ERR(copy));
	down_read(&file->grants.lock);
	want = dsm_grant_want(&file->grants, vmf->pgoff, &version) ? &version : NULL;
	mapped = copy && dsm_fault_try(vmf, copy, want, &ret);
	/* Its neighbours, too, are mapped under the lock. */
	if (mapped)
		ret = dsm_fault_present(vmf, copy, want, stream, ret);
	up_read(&file->grants.lock);
	if (!mapped && first)
		return dsm_fault_unlocked(vmf, stream, region, copy, want);
	if (!mapped && tried)
		ret = dsm_fault_error(region, dsm_fault_failed(stream, vmf->pgoff));
	else if (!mapped && vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		ret = VM_FAULT_RETRY;
	else if (!mapped)
		ret = dsm_fault_locked(vmf, copy, want,
				       dsm_fault_window(stream, vmf->pgoff));
	if (copy)
		dsm_copy_put(copy);
	return ret;
}

static vm_fault_t dsm_vm_fault(struct vm_fault *vmf)
{
	struct dsm_file *file = vmf->vma->vm_file->private_data;
	struct dsm_region *region = file->region;
	struct dsm_node *node = region->node;
	vm_fault_t ret;

	if (!(vmf->flags & FAULT_FLAG_TRIED)) {
		dsm_stat_add(node->stat, DSM_COUNTER_FAULTS, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_FAULTS, 1);
	}
	trace_dsm_fault(node->id, vmf->pgoff, vmf->flags);
	/* While the node is entered its links, chunks and copies stay. */
	if (!dsm_node_enter(node))
		return dsm_fault_error(region, -EHOSTDOWN);
	if (READ_ONCE(region->gone))
		ret = dsm_fault_error(region, -EIDRM);
	else if (dsm_home(node, vmf->pgoff) == node->id)
		ret = dsm_fault_local(vmf, file, region);
	else
		ret = dsm_fault_remote(vmf, file, region);
	dsm_node_leave(node);
	return ret;
}

/*
 * A store to a page that is mapped read-only.  Take the mapping away: the fault
 * that follows decides, in one place.
 */
vm_fault_t dsm_vm_pfn_mkwrite(struct vm_fault *vmf)
{
	zap_vma_ptes(vmf->vma, vmf->address & PAGE_MASK, PAGE_SIZE);
	return VM_FAULT_NOPAGE;
}

/* Its presence lets faults run under the lock of the VMA alone (6.4 and later). */
vm_fault_t dsm_vm_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

static int dsm_vm_may_split(struct vm_area_struct *vma, unsigned long address)
{
	return -EINVAL;
}

static int dsm_vm_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

/* A move of the range is refused only after its copy was opened. */
static void dsm_vm_open(struct vm_area_struct *vma)
{
	struct dsm_file *file = vma->vm_file->private_data;

	atomic_inc(&file->mapped);
}

static void dsm_vm_close(struct vm_area_struct *vma)
{
	struct dsm_file *file = vma->vm_file->private_data;

	/* Who maps the range no more, dead or not, has let go of all that it held. */
	if (atomic_dec_and_test(&file->mapped))
		dsm_file_end(file);
}

const struct vm_operations_struct dsm_vm_ops = {
	.fault = dsm_vm_fault,
	.pfn_mkwrite = dsm_vm_pfn_mkwrite,
	.map_pages = dsm_vm_map_pages,
	.may_split = dsm_vm_may_split,
	.mremap = dsm_vm_mremap,
	.open = dsm_vm_open,
	.close = dsm_vm_close,
};
