/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that dsm builds on, 6.1 and 6.12. */
#ifndef DSM_COMPAT_H
#define DSM_COMPAT_H

#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
static inline void release_fault_lock(struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
/* The shrinker grew private data and its own allocation in 6.7. */
struct dsm_shrinker {
	struct shrinker shrinker;
	void *private_data;
};

static inline void *dsm_shrinker_data(struct shrinker *shrinker)
{
	return container_of(shrinker, struct dsm_shrinker, shrinker)->private_data;
}

static inline struct dsm_shrinker *
dsm_shrinker_register(const char *name, u32 id, void *private_data,
		      unsigned long (*count)(struct shrinker *,
					     struct shrink_control *),
		      unsigned long (*scan)(struct shrinker *,
					    struct shrink_control *))
{
	struct dsm_shrinker *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	s->private_data = private_data;
	s->shrinker.count_objects = count;
	s->shrinker.scan_objects = scan;
	s->shrinker.seeks = DEFAULT_SEEKS;
	if (register_shrinker(&s->shrinker, "%s-%u", name, id)) {
		kfree(s);
		return NULL;
	}
	return s;
}

static inline void dsm_shrinker_unregister(struct dsm_shrinker *s)
{
	unregister_shrinker(&s->shrinker);
	kfree(s);
}
#else
#define dsm_shrinker shrinker

static inline void *dsm_shrinker_data(struct shrinker *shrinker)
{
	return shrinker->private_data;
}

static inline struct shrinker *
dsm_shrinker_register(const char *name, u32 id, void *private_data,
		      unsigned long (*count)(struct shrinker *,
					     struct shrink_control *),
		      unsigned long (*scan)(struct shrinker *,
					    struct shrink_control *))
{
	struct shrinker *s = shrinker_alloc(0, "%s-%u", name, id);

	if (!s)
		return NULL;
	s->private_data = private_data;
	s->count_objects = count;
	s->scan_objects = scan;
	shrinker_register(s);
	return s;
}

static inline void dsm_shrinker_unregister(struct shrinker *s)
{
	shrinker_free(s);
}
#endif

/* __assign_str() lost its second argument in 6.10. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define dsm_assign_str(dst, src)	__assign_str(dst, src)
#else
#define dsm_assign_str(dst, src)	__assign_str(dst)
#endif

#endif /* DSM_COMPAT_H */
