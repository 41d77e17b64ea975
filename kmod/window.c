// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an attached process sees of words: the ledger window, the claims of this node,
 * and its own list of objects that it holds exclusively.
 *
 * Where there are no words the page of zeroes is mapped: nothing can be borrowed there.
 * It is taken away when there are some, under dsm_region.window.  A process may be about
 * to compare and swap a word of a chunk that is being given back: it then finds another
 * page, whose words are no object's.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "dev.h"
#include "node.h"
#include "shadow.h"
#include "window.h"

/* Waits for others, and questions to them, of one dead process. */
enum { DSM_HELD_PATIENCE = 1024 };

static vm_fault_t dsm_window_insert(struct vm_fault *vmf, struct page *page, bool write)
{
	struct vm_area_struct *vma = vmf->vma;

	if (vmf->flags & FAULT_FLAG_WRITE && !write)
		return VM_FAULT_SIGSEGV;
	/* Without write access by default, as there is pfn_mkwrite. */
	return vmf_insert_pfn_prot(vma, vmf->address, page_to_pfn(page),
				   write ? vm_get_page_prot(vma->vm_flags) :
					   vma->vm_page_prot);
}

/* There are no words.  @stores: but there may have been some a moment ago. */
static vm_fault_t dsm_window_blank(struct vm_fault *vmf, struct dsm_region *region,
				   bool stores)
{
	bool write = stores && vmf->flags & FAULT_FLAG_WRITE &&
		     vmf->vma->vm_flags & VM_WRITE;

	return dsm_window_insert(vmf, write ? region->blank : ZERO_PAGE(0), write);
}

/* Words of this node: page @index of those of the partition. */
static vm_fault_t dsm_window_own(struct vm_fault *vmf, struct dsm_region *region,
				 unsigned long index, bool claims)
{
	unsigned int per_chunk = DSM_SMALL_WORD_PAGES;
	struct dsm_chunk *chunk = dsm_chunk_get(region->node, index / per_chunk);
	vm_fault_t ret;

	if (!chunk)
		return dsm_window_blank(vmf, region, !claims && index / per_chunk <
						     region->node->chunks.nr);
	down_read(&chunk->lock);
	if (chunk->dead && READ_ONCE(region->gone))
		ret = VM_FAULT_SIGBUS;
	else if (chunk->region != region || chunk->kind != DSM_CHUNK_SMALL || chunk->dead)
		ret = dsm_window_blank(vmf, region, !claims);
	else if (claims)
		ret = dsm_window_insert(vmf, chunk->claims[index % per_chunk], false);
	else
		ret = dsm_window_insert(vmf, chunk->ledger[index % per_chunk],
					vmf->vma->vm_flags & VM_WRITE);
	up_read(&chunk->lock);
	dsm_chunk_put(chunk);
	return ret;
}

static vm_fault_t dsm_window_held(struct vm_fault *vmf, struct dsm_file *file,
				  unsigned long index)
{
	struct page *page = READ_ONCE(file->held[index]), *old;

	if (!page) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return VM_FAULT_OOM;
		old = cmpxchg(&file->held[index], NULL, page);
		if (old) {
			__free_page(page);
			page = old;
		}
	}
	return dsm_window_insert(vmf, page, vmf->vma->vm_flags & VM_WRITE);
}

static vm_fault_t dsm_window_words(struct vm_fault *vmf, struct dsm_region *region)
{
	struct dsm_node *node = region->node;
	unsigned long index, own;
	struct dsm_shadow *s;
	vm_fault_t ret;

	down_read(&region->window);
	if (vmf->pgoff >= DSM_CLAIMS_PGOFF) {
		ret = dsm_window_own(vmf, region, vmf->pgoff - DSM_CLAIMS_PGOFF, true);
	} else {
		index = vmf->pgoff - DSM_LEDGER_PGOFF;
		own = dsm_partition(node, node->id) >> DSM_WINDOW_SHIFT;
		if (dsm_home(node, index << DSM_WINDOW_SHIFT) == node->id) {
			ret = dsm_window_own(vmf, region, index - own, false);
		} else {
			s = xa_load(&region->shadows, index);
			ret = dsm_window_insert(vmf, s ? s->page : ZERO_PAGE(0), false);
		}
	}
	up_read(&region->window);
	return ret;
}

static vm_fault_t dsm_window_fault(struct vm_fault *vmf)
{
	struct dsm_file *file = vmf->vma->vm_file->private_data;
	struct dsm_region *region = file->region;
	vm_fault_t ret;

	if (vmf->pgoff >= DSM_HELD_PGOFF)
		return dsm_window_held(vmf, file, vmf->pgoff - DSM_HELD_PGOFF);
	/* While the node is entered its chunks stay. */
	if (!dsm_node_enter(region->node))
		return VM_FAULT_SIGBUS;
	if (READ_ONCE(region->gone))
		ret = VM_FAULT_SIGBUS;
	else
		ret = dsm_window_words(vmf, region);
	dsm_node_leave(region->node);
	return ret;
}

static int dsm_window_may_split(struct vm_area_struct *vma, unsigned long address)
{
	return -EINVAL;
}

static int dsm_window_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static const struct vm_operations_struct dsm_window_vm_ops = {
	.fault = dsm_window_fault,
	.pfn_mkwrite = dsm_vm_pfn_mkwrite,
	.map_pages = dsm_vm_map_pages,
	.may_split = dsm_window_may_split,
	.mremap = dsm_window_mremap,
};

/**
 * dsm_window_mmap() - map one of the windows
 * @file: attached
 * @vma: with the offset of a window and its whole length
 *
 * Return: 0, -EINVAL, -EACCES (claims are read-only).
 */
int dsm_window_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct dsm_file *f = file->private_data;
	const struct dsm_geometry *geometry = &f->region->node->config.geometry;
	u64 len = vma->vm_end - vma->vm_start;
	u64 want;

	switch (vma->vm_pgoff) {
	case DSM_LEDGER_PGOFF:
		want = geometry->span >> DSM_WINDOW_SHIFT;
		break;
	case DSM_CLAIMS_PGOFF:
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
		want = BIT_ULL(geometry->partition_shift) >> DSM_WINDOW_SHIFT;
		break;
	case DSM_HELD_PGOFF:
		want = DSM_HELD_SLOTS * sizeof(u64);
		break;
	default:
		return -EINVAL;
	}
	if (len != want)
		return -EINVAL;
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP |
			  VM_DONTCOPY | VM_NORESERVE);
	vma->vm_ops = &dsm_window_vm_ops;
	return 0;
}

/* ---- what a process holds ---- */

/* Who is about to take an object, or to let it go, has done so in a moment. */
static bool dsm_slot_holds(const u64 *slot, u64 addr, unsigned int *patience)
{
	/* It may need the CPU that we are on. */
	for (; READ_ONCE(*slot) == (addr | 1) && *patience; --*patience)
		usleep_range(500, 1000);
	return (READ_ONCE(*slot) & ~1ULL) == addr;
}

/**
 * dsm_held_has() - does a process say that it holds an object?
 * @file: its own
 * @addr: of the object
 * @patience: waits that are left
 */
bool dsm_held_has(const struct dsm_file *file, u64 addr, unsigned int *patience)
{
	unsigned int i, k;

	for (i = 0; i < DSM_HELD_PAGES; i++) {
		const u64 *slots;

		cond_resched();
		if (!READ_ONCE(file->held[i]))
			continue;
		slots = page_address(file->held[i]);
		for (k = 0; k < DSM_PAGE_WORDS; k++)
			if ((READ_ONCE(slots[k]) & ~1ULL) == addr &&
			    dsm_slot_holds(&slots[k], addr, patience))
				return true;
	}
	return false;
}

/* The chunk and word of an address, if it can be one of a small object of ours. */
static struct dsm_chunk *dsm_held_chunk(struct dsm_region *region, u64 addr,
					unsigned int *line)
{
	const struct dsm_geometry *geometry = &region->node->config.geometry;
	u64 offset = addr - geometry->base;
	struct dsm_chunk *chunk;
	pgoff_t page;

	if (offset >= geometry->span || offset % DSM_LINE_SIZE ||
	    dsm_home(region->node, offset >> PAGE_SHIFT) != region->node->id)
		return NULL;
	page = (offset >> PAGE_SHIFT) - dsm_partition(region->node, region->node->id);
	chunk = dsm_chunk_get(region->node, page / DSM_CHUNK_PAGES);
	if (!chunk)
		return NULL;
	*line = page % DSM_CHUNK_PAGES * DSM_PAGE_LINES +
		((offset % PAGE_SIZE) >> DSM_LINE_SHIFT);
	if (chunk->region == region && chunk->kind == DSM_CHUNK_SMALL)
		return chunk;
	dsm_chunk_put(chunk);
	return NULL;
}

/*
 * EXCL -> POISON, if nobody else has it.  The word is sampled before others are asked:
 * who takes the object after that takes another version.
 */
static void dsm_held_poison(struct dsm_file *file, u64 slot, dsm_held_other *other,
			    unsigned int *patience)
{
	u64 addr = slot & ~1ULL;
	struct dsm_chunk *chunk;
	unsigned int line;
	u64 word;

	chunk = dsm_held_chunk(file->region, addr, &line);
	if (!chunk)
		return;
	word = READ_ONCE(*dsm_chunk_word(chunk, line));
	if (dsm_word_state(word) == DSM_STATE_EXCL &&
	    !(slot & 1 && other(file, addr, patience)))
		dsm_word_change(chunk, line, word,
				DSM_WORD(DSM_STATE_POISON, dsm_word_lines(word),
					 dsm_word_version(word)));
	dsm_chunk_put(chunk);
}

/**
 * dsm_held_end() - a process is gone: what it held is half written
 * @file: its own
 * @other: does another process of the region say that it holds an object?
 *
 * Of what it was just about to take it may be another that has it.
 */
void dsm_held_end(struct dsm_file *file, dsm_held_other *other)
{
	unsigned int patience = DSM_HELD_PATIENCE;
	unsigned int i, k;

	for (i = 0; i < DSM_HELD_PAGES; i++) {
		u64 *slots;

		if (!file->held[i])
			continue;
		slots = page_address(file->held[i]);
		for (k = 0; k < DSM_PAGE_WORDS; k++) {
			u64 slot = xchg(&slots[k], 0);

			if (slot)
				dsm_held_poison(file, slot, other, &patience);
		}
	}
}

/**
 * dsm_held_abandon() - a process is dying in a call that was to fill an object
 * @file: its own
 * @addr: of the object, just allocated: nobody else will ever have its handle
 *
 * Poisoned it would be lost, so it is freed.  Context: process.
 */
void dsm_held_abandon(struct dsm_file *file, u64 addr)
{
	struct dsm_chunk *chunk;
	unsigned int i, k, line;
	bool held = false;
	u64 word;

	for (i = 0; i < DSM_HELD_PAGES && !held; i++) {
		struct page *page = READ_ONCE(file->held[i]);	/* others may set it */
		u64 *slots = page ? page_address(page) : NULL;

		for (k = 0; slots && k < DSM_PAGE_WORDS && !held; k++)
			held = cmpxchg(&slots[k], addr, 0) == addr;
	}
	chunk = held ? dsm_held_chunk(file->region, addr, &line) : NULL;
	if (!chunk)
		return;
	word = READ_ONCE(*dsm_chunk_word(chunk, line));
	if (dsm_word_state(word) == DSM_STATE_EXCL)
		dsm_word_change(chunk, line, word,
				DSM_WORD(DSM_STATE_FREE, dsm_word_lines(word),
					 dsm_word_version(word)));
	dsm_chunk_put(chunk);
}

void dsm_held_free(struct dsm_file *file)
{
	unsigned int i;

	for (i = 0; i < DSM_HELD_PAGES; i++)
		if (file->held[i])
			__free_page(file->held[i]);
}
