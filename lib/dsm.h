/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * libdsm: shared memory of a cluster as ordinary memory.
 *
 * All calls return NULL or -1 on failure and set errno; the values are those of
 * <linux/dsm.h>.  Nothing prints, exits or aborts.  All calls may be used from
 * any thread.
 */
#ifndef DSM_H
#define DSM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * clang -Wthread-safety checks borrows at compile time; to other compilers the
 * annotations are nothing.  What is borrowed is known by how its handle is
 * spelled: dsm_return(dsm, &n->left) ends dsm_borrow(dsm, &n->left).  Programs
 * annotate functions of their own, after the parameters of a declaration:
 *
 *	int node_sum(const struct node *n, const struct dsm_ref *ref)
 *		DSM_REQUIRES(ref);
 *
 * REQUIRES: the caller has borrowed the object, for _MUT exclusively.
 * EXCLUDES: the caller has not borrowed it.
 * BORROWS: it is borrowed for the caller, if what is returned is not NULL.
 * RETURNS: the caller has borrowed it; afterwards it is not borrowed.
 * UNCHECKED: what the function does is not checked, only its callers are.
 *
 * A borrow is known from where its result is tested, with `if (p)` or `if (!p)`:
 * not with `p == NULL` in C, and not if the call is cast or is assigned within a
 * condition.
 */
#if defined(__clang__)
#define DSM_TS(...) __attribute__((__VA_ARGS__))
#define __dsm_capability __attribute__((capability("object")))
#else
#define DSM_TS(...)
#endif

#define DSM_REQUIRES(ref) DSM_TS(requires_shared_capability(ref))
#define DSM_REQUIRES_MUT(ref) DSM_TS(requires_capability(ref))
#define DSM_EXCLUDES(ref) DSM_TS(locks_excluded(ref))
#define DSM_BORROWS(ref) DSM_TS(try_acquire_shared_capability(1, ref))
#define DSM_BORROWS_MUT(ref) DSM_TS(try_acquire_capability(1, ref))
#define DSM_RETURNS(ref) DSM_TS(release_shared_capability(ref))
#define DSM_RETURNS_MUT(ref) DSM_TS(release_capability(ref))
#define DSM_UNCHECKED DSM_TS(no_thread_safety_analysis)

/* A borrow whose result is ignored can never be returned. */
#define __dsm_must_check __attribute__((warn_unused_result))

#include <linux/dsm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An attachment of this process to one region of one node. */
struct dsm;

/**
 * dsm_attach() - map a region into this process
 * @region: name of the region, at most DSM_NAME_BYTES - 1 bytes
 * @flags: O_RDONLY or O_RDWR; with O_CREAT the region is created if it does not
 *	   exist, with O_CREAT | O_EXCL it must not exist (EEXIST)
 * @mode: permission bits of a region that is created, less the umask
 *
 * The local node is the one that the environment variable DSM_NODE names, or
 * the only one that is up.
 *
 * Return: the attachment, or NULL: ENODEV, ENOENT, EEXIST, EACCES, EBUSY
 * (this process is attached already), EINVAL, ENOMEM, EHOSTDOWN.
 */
struct dsm *dsm_attach(const char *region, int flags, mode_t mode);

/**
 * dsm_detach() - unmap the region
 * @dsm: the attachment, invalid afterwards; NULL is ignored
 *
 * Pointers into the range must not be used afterwards.  Objects stay.
 */
void dsm_detach(struct dsm *dsm);

/** dsm_node() - the id of the local node, 0 to DSM_MAX_NODES - 1 */
unsigned int dsm_node(const struct dsm *dsm);

/** dsm_home() - the id of the node that an address is homed on, or -1 (ERANGE) */
int dsm_home(const struct dsm *dsm, const void *addr);

/* ---- objects ---- */

/**
 * dsm_alloc() - allocate an object in this node's partition
 * @dsm: the attachment
 * @size: bytes, at least 1.  Above DSM_MAX_LINES lines of DSM_LINE_SIZE the
 *	  object is a large one, of whole pages
 * @ref: the new handle
 *
 * The object is zeroed and born exclusively borrowed: dsm_return_mut() or
 * dsm_freeze() ends that.
 *
 * Return: its address, or NULL: EINVAL, EACCES, ENOSPC, ENOMEM, EIDRM, EHOSTDOWN.
 */
void *dsm_alloc(struct dsm *dsm, size_t size, struct dsm_ref *ref)
	DSM_BORROWS_MUT(ref) __dsm_must_check;

/**
 * dsm_alloc_on() - allocate an object in another node's partition
 * @dsm: the attachment
 * @node: its id; may be this node's
 * @size: as for dsm_alloc()
 * @ref: the new handle, not borrowed
 *
 * Return: 0, or -1: EINVAL, EACCES, ENOENT (no such node), ENOSPC, ENOMEM, EIDRM,
 * EHOSTDOWN.
 */
int dsm_alloc_on(struct dsm *dsm, unsigned int node, size_t size,
		 struct dsm_ref *ref) DSM_EXCLUDES(ref);

/**
 * dsm_borrow() - read an object
 * @dsm: the attachment
 * @ref: its handle, which does not change until dsm_return()
 *
 * Of a small object, where nothing has to be fetched, this is no system call.
 *
 * Return: its address, or NULL: ESTALE (the handle does not name what is there),
 * EBUSY (it is borrowed exclusively), EOWNERDEAD, EACCES (of another region),
 * ERANGE, EINVAL, EHOSTDOWN, EIDRM, ENOMEM.
 */
const void *dsm_borrow(struct dsm *dsm, const struct dsm_ref *ref)
	DSM_BORROWS(ref) __dsm_must_check;

/**
 * dsm_return() - end a shared borrow
 *
 * Return: 0, or -1: ESTALE: meanwhile the object was written or dropped, against
 * the rules: what was read may be of more than one version; EPERM: a large object
 * that the process has not borrowed, or has borrowed exclusively; EHOSTDOWN, EIDRM,
 * ENOMEM: it was evicted meanwhile, and its home cannot be asked whether it has that
 * version.
 */
int dsm_return(struct dsm *dsm, const struct dsm_ref *ref) DSM_RETURNS(ref);

#define DSM_DISCARD DSM_BORROW_DISCARD /* the contents are not needed */
#define DSM_ACCEPT DSM_BORROW_ACCEPT /* even if a borrower died in it */

/**
 * dsm_borrow_mut() - write an object
 * @dsm: the attachment
 * @ref: its handle, which nobody else uses until dsm_return_mut().  An object of
 *	 another node moves here and its address changes
 * @flags: 0, DSM_DISCARD, DSM_ACCEPT
 *
 * Return: its address, or NULL: as dsm_borrow(), and EROFS, ENOSPC (this node has
 * no room for it).
 */
void *dsm_borrow_mut(struct dsm *dsm, struct dsm_ref *ref, unsigned int flags)
	DSM_BORROWS_MUT(ref) __dsm_must_check;

/**
 * dsm_return_mut() - end an exclusive borrow: the new version can be read
 * @dsm: the attachment
 * @ref: as dsm_borrow_mut() left it; names the new version afterwards
 *
 * Return: 0, or -1: EPERM (not borrowed by this process).
 */
int dsm_return_mut(struct dsm *dsm, struct dsm_ref *ref) DSM_RETURNS_MUT(ref);

/**
 * dsm_borrow_many() - dsm_borrow() for many objects at once
 * @dsm: the attachment
 * @refs: @n handles
 * @ptrs: the addresses; NULL where it failed
 * @n: how many
 *
 * All small ones that have to be fetched are requested in one system call, up to
 * DSM_FETCH_MAX of them.
 *
 * Return: how many were borrowed, each to be returned; errno is that of the first
 * that was not.
 */
size_t dsm_borrow_many(struct dsm *dsm, const struct dsm_ref *const *refs,
		       const void **ptrs, size_t n);

/**
 * dsm_borrowed() - tell the compiler of a borrow that it cannot see
 * @ref: the handle
 * @ptr: what the borrow returned
 *
 * After dsm_borrow_many(), for each handle:
 *
 *	const struct point *p = dsm_borrowed(refs[i], ptrs[i]);
 *
 * is to the check what dsm_borrow() is.  Nothing is done at run time.
 *
 * Return: @ptr.
 */
static inline const void *dsm_borrowed(const struct dsm_ref *ref,
				       const void *ptr) DSM_BORROWS(ref)
{
	(void)ref;
	return ptr;
}

/**
 * dsm_borrowed_mut() - the same for an exclusive borrow
 *
 * As where dsm_freeze() failed, which to the check has ended the borrow.
 */
static inline void *dsm_borrowed_mut(struct dsm_ref *ref, void *ptr)
	DSM_BORROWS_MUT(ref)
{
	(void)ref;
	return ptr;
}

/**
 * dsm_prefetch() - begin to fetch small objects that will be borrowed, and large
 * ones that are
 *
 * A hint: handles that cannot be fetched are ignored.
 */
void dsm_prefetch(struct dsm *dsm, const struct dsm_ref *const *refs, size_t n);

/**
 * dsm_drop() - free an object
 * @dsm: the attachment
 * @ref: its handle, not borrowed; zeroed on success
 *
 * Return: 0, or -1: as dsm_borrow_mut().  Of an object of another node the request
 * is only begun: with a handle that owns nothing it has no effect and 0 is
 * returned.
 */
int dsm_drop(struct dsm *dsm, struct dsm_ref *ref) DSM_EXCLUDES(ref);

/**
 * dsm_freeze() - end the exclusive borrow of a large object: read-only for ever
 * @dsm: the attachment
 * @ref: its handle; on success the handle of the frozen object
 *
 * From then on every node may read it through plain pointers, without a borrow.  A
 * store to it is SIGSEGV.  Its memory is given back when the region is removed.
 *
 * Return: 0, or -1, and it is still borrowed: EPERM (not borrowed by this process),
 * EINVAL (a small object), EROFS (frozen already), ERANGE, EACCES, EIDRM.
 */
int dsm_freeze(struct dsm *dsm, struct dsm_ref *ref) DSM_RETURNS_MUT(ref);

/* ---- names ---- */

/**
 * dsm_publish() - give an object a name in the region
 * @dsm: the attachment
 * @name: unique in the region, at most DSM_NAME_BYTES - 1 bytes
 * @ref: its handle, not borrowed.  The name owns the object now
 *
 * Return: 0, or -1: EEXIST, EINVAL, ERANGE, ESTALE, EBUSY, EOWNERDEAD, EACCES,
 * ENOSPC, ENOMEM, EHOSTDOWN, EIDRM.
 */
int dsm_publish(struct dsm *dsm, const char *name, const struct dsm_ref *ref)
	DSM_EXCLUDES(ref);

/** dsm_republish() - the same; what the name stood for before is forgotten */
int dsm_republish(struct dsm *dsm, const char *name, const struct dsm_ref *ref)
	DSM_EXCLUDES(ref);

/**
 * dsm_lookup() - find an object by name, for shared borrows
 * @dsm: the attachment
 * @name: as published by any node
 * @timeout_ms: how long to wait for it to be published; 0: not at all
 * @ref: its handle, may be NULL
 *
 * Return: its address, which can be used without a borrow if the object is frozen;
 * or NULL: ENOENT (@timeout_ms was 0), ETIMEDOUT, EINTR, EINVAL, EHOSTDOWN, EIDRM.
 */
const void *dsm_lookup(struct dsm *dsm, const char *name,
		       unsigned int timeout_ms, struct dsm_ref *ref)
	DSM_EXCLUDES(ref);

/**
 * dsm_take() - remove a name and own its object
 * @dsm: the attachment
 * @name: as published by any node
 * @timeout_ms: how long to wait for it to be published; 0: not at all
 * @ref: its handle
 *
 * Just one of all callers gets it.
 *
 * Return: 0, or -1 with the errors of dsm_lookup(), EACCES.
 */
int dsm_take(struct dsm *dsm, const char *name, unsigned int timeout_ms,
	     struct dsm_ref *ref) DSM_EXCLUDES(ref);

/* ---- regions ---- */

/** dsm_region_create() - create a region; @node as in DSM_IOC_REGION_CREATE */
int dsm_region_create(unsigned int node, const char *name, mode_t mode);

/** dsm_region_remove() - end a region on all nodes */
int dsm_region_remove(unsigned int node, const char *name);

#ifdef __cplusplus
}
#endif

/* ---- typed boxes ---- */

/**
 * DSM_BOX() - a handle that knows the type of its object
 *
 *	struct node;
 *	DSM_BOX_TYPE(struct node);
 *	typedef DSM_BOX(struct node) node_box;
 *	struct node {
 *		node_box left, right;
 *	};
 *
 *	struct node *n = dsm_box_alloc(dsm, &box);
 *
 * @ref may be used with all calls.  A box is as plain as a handle.
 */
#define DSM_BOX(T)                   \
	union {                      \
		struct dsm_ref ref;  \
		__typeof__(T) *type; \
	}

#define dsm_box_alloc(dsm, box)                                 \
	dsm_typed_alloc(dsm, sizeof(*(box)->type), &(box)->ref, \
			DSM_BOX_NULL(box))
#define dsm_box_borrow(dsm, box) \
	dsm_typed_borrow(dsm, &(box)->ref, DSM_BOX_NULL(box))
#define dsm_box_borrowed(box, ptr) \
	dsm_typed_borrowed(&(box)->ref, ptr, DSM_BOX_NULL(box))
#define dsm_box_return(dsm, box) dsm_return(dsm, &(box)->ref)
#define dsm_box_borrow_mut(dsm, box, flags) \
	dsm_typed_borrow_mut(dsm, &(box)->ref, flags, DSM_BOX_NULL(box))
#define dsm_box_return_mut(dsm, box) dsm_return_mut(dsm, &(box)->ref)
#define dsm_box_drop(dsm, box) dsm_drop(dsm, &(box)->ref)

/* NULL of the type of the box, which is not evaluated. */
#define DSM_BOX_NULL(box) (1 ? NULL : (box)->type)

/**
 * DSM_BOX_TYPE() - once for each type that there are boxes of, at file scope
 *
 * The type may still be incomplete.  Only clang for C needs it: its check does
 * not look through casts, so it must see a function that returns a T *.  Without
 * this, what it sees of these boxes is void *.
 */
#if !defined(__clang__) && !defined(__cplusplus)

#define DSM_BOX_TYPE(T) struct dsm

#define dsm_typed_alloc(dsm, size, ref, type) \
	((__typeof__(type))dsm_alloc(dsm, size, ref))
#define dsm_typed_borrow(dsm, ref, type) \
	((const __typeof__(*(type)) *)dsm_borrow(dsm, ref))
#define dsm_typed_borrowed(ref, ptr, type) \
	((const __typeof__(*(type)) *)dsm_borrowed(ref, ptr))
#define dsm_typed_borrow_mut(dsm, ref, flags, type) \
	((__typeof__(type))dsm_borrow_mut(dsm, ref, flags))

#else

/* NOLINTBEGIN(bugprone-macro-parentheses): T is a type */
#define DSM_TYPED_CALLS(kind, T)                                           \
	kind T *dsm_typed_alloc(struct dsm *dsm, size_t size,              \
				struct dsm_ref *ref, T *type)              \
		DSM_BORROWS_MUT(ref) DSM_UNCHECKED                         \
	{                                                                  \
		(void)type;                                                \
		return (T *)dsm_alloc(dsm, size, ref);                     \
	}                                                                  \
	kind const T *dsm_typed_borrow(struct dsm *dsm,                    \
				       const struct dsm_ref *ref, T *type) \
		DSM_BORROWS(ref) DSM_UNCHECKED                             \
	{                                                                  \
		(void)type;                                                \
		return (const T *)dsm_borrow(dsm, ref);                    \
	}                                                                  \
	kind const T *dsm_typed_borrowed(const struct dsm_ref *ref,        \
					 const void *ptr, T *type)         \
		DSM_BORROWS(ref) DSM_UNCHECKED                             \
	{                                                                  \
		(void)type;                                                \
		return (const T *)dsm_borrowed(ref, ptr);                  \
	}                                                                  \
	kind T *dsm_typed_borrow_mut(struct dsm *dsm, struct dsm_ref *ref, \
				     unsigned int flags, T *type)          \
		DSM_BORROWS_MUT(ref) DSM_UNCHECKED                         \
	{                                                                  \
		(void)type;                                                \
		return (T *)dsm_borrow_mut(dsm, ref, flags);               \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#ifdef __cplusplus
#define DSM_BOX_TYPE(T) struct dsm
DSM_TYPED_CALLS(template <typename T> __dsm_must_check inline, T)
#else
#define DSM_BOX_TYPE(T)                                        \
	DSM_TYPED_CALLS(static inline __dsm_must_check         \
			__attribute__((overloadable, unused)), \
			T)                                     \
	struct dsm
DSM_BOX_TYPE(void);
#endif

#endif

#endif /* DSM_H */
