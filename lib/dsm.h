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

/**
 * dsm_alloc() - allocate a large object in this node's partition
 * @dsm: the attachment
 * @size: bytes, at least 1; rounded up to whole pages
 * @ref: the new handle
 *
 * The object is zeroed, begins at a page boundary and may be read and written
 * by all processes of this node that are attached to the region until it is
 * frozen.
 *
 * Return: its address, or NULL: EINVAL, EACCES, ENOSPC, ENOMEM, EIDRM.
 */
void *dsm_alloc(struct dsm *dsm, size_t size, struct dsm_ref *ref);

/**
 * dsm_free() - free a large object that was not frozen
 *
 * Return: 0, or -1: ESTALE, EROFS (frozen), EXDEV, ERANGE, EACCES, EIDRM.
 */
int dsm_free(struct dsm *dsm, struct dsm_ref *ref);

/**
 * dsm_freeze() - make a large object read-only for ever, on every node
 * @dsm: the attachment
 * @ref: its handle; on success the handle of the frozen object
 *
 * From then on every node may read it through plain pointers.  A store to it is
 * SIGSEGV.  Its memory is given back when the region is removed.
 *
 * Return: 0, or -1: ESTALE, EROFS (frozen already), EXDEV, ERANGE, EACCES, EIDRM.
 */
int dsm_freeze(struct dsm *dsm, struct dsm_ref *ref);

/**
 * dsm_publish() - give a frozen object a name in the region
 *
 * Return: 0, or -1: EEXIST, EINVAL, ESTALE, EACCES, ENOSPC, EHOSTDOWN, EIDRM.
 */
int dsm_publish(struct dsm *dsm, const char *name, const struct dsm_ref *ref);

/**
 * dsm_lookup() - find an object by name
 * @dsm: the attachment
 * @name: as published by any node
 * @timeout_ms: how long to wait for it to be published; 0: not at all
 * @ref: its handle, may be NULL
 *
 * Return: its address, or NULL: ENOENT (@timeout_ms was 0), ETIMEDOUT, EINTR,
 * EINVAL, EHOSTDOWN, EIDRM.
 */
const void *dsm_lookup(struct dsm *dsm, const char *name,
		       unsigned int timeout_ms, struct dsm_ref *ref);

/** dsm_region_create() - create a region; @node as in DSM_IOC_REGION_CREATE */
int dsm_region_create(unsigned int node, const char *name, mode_t mode);

/** dsm_region_remove() - end a region on all nodes */
int dsm_region_remove(unsigned int node, const char *name);

#ifdef __cplusplus
}
#endif

#endif /* DSM_H */
