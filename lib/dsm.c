// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/* libdsm: attachments, regions and names, over the requests of /dev/dsm. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define DSM_DEVICE "/dev/dsm"

static int device_open(int flags)
{
	int fd = open(DSM_DEVICE, flags | O_CLOEXEC);

	/* ENOENT would look like a region that does not exist. */
	if (fd < 0 && (errno == ENOENT || errno == ENXIO))
		errno = ENODEV;
	return fd;
}

static void close_keep_errno(int fd)
{
	int err = errno;

	close(fd);
	errno = err;
}

static int name_copy(char dst[DSM_NAME_BYTES], const char *src)
{
	size_t len = strnlen(src, DSM_NAME_BYTES);

	if (len == 0 || len == DSM_NAME_BYTES) {
		errno = EINVAL;
		return -1;
	}
	memcpy(dst, src, len + 1);
	return 0;
}

/* A decimal number as configfs spells it: no sign, blank or leading zero. */
static int node_from_env(uint32_t *node)
{
	const char *env = getenv("DSM_NODE");
	unsigned int value = 0;
	const char *p;

	*node = DSM_NODE_ANY;
	if (!env)
		return 0;
	for (p = env; *p >= '0' && *p <= '9' && value < DSM_MAX_NODES; p++)
		value = value * 10 + (unsigned int)(*p - '0');
	if (p == env || *p || value >= DSM_MAX_NODES ||
	    (env[0] == '0' && env[1])) {
		errno = EINVAL;
		return -1;
	}
	*node = value;
	return 0;
}

static int region_ioctl(int fd, unsigned long request, uint32_t node,
			const char *name, mode_t mode)
{
	struct dsm_region_args args = {
		.size = sizeof(args),
		.node = node,
		.mode = mode,
	};

	if (name_copy(args.name, name))
		return -1;
	return ioctl(fd, request, &args);
}

static int region_call(unsigned long request, unsigned int node,
		       const char *name, mode_t mode)
{
	int fd = device_open(O_RDWR);
	int ret;

	if (fd < 0)
		return -1;
	ret = region_ioctl(fd, request, node, name, mode);
	close_keep_errno(fd);
	return ret;
}

int dsm_region_create(unsigned int node, const char *name, mode_t mode)
{
	return region_call(DSM_IOC_REGION_CREATE, node, name, mode);
}

int dsm_region_remove(unsigned int node, const char *name)
{
	return region_call(DSM_IOC_REGION_REMOVE, node, name, 0);
}

static int range_map(int fd, int accmode, uint64_t base, uint64_t span)
{
	int prot = PROT_READ | (accmode == O_RDWR ? PROT_WRITE : 0);
	void *want = (void *)(uintptr_t)base;

	if (mmap(want, span, prot,
		 MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd,
		 0) == want)
		return 0;
	if (errno == EEXIST)
		errno = EBUSY;
	return -1;
}

static void *window_map(int fd, int prot, uint64_t offset, uint64_t bytes)
{
	void *window = mmap(NULL, bytes, prot, MAP_SHARED | MAP_NORESERVE, fd,
			    (off_t)offset);

	return window == MAP_FAILED ? NULL : window;
}

static uint64_t ledger_bytes(const struct dsm *dsm)
{
	return dsm->lines * sizeof(uint64_t);
}

static uint64_t claims_bytes(const struct dsm *dsm)
{
	return dsm->own_lines * sizeof(uint64_t);
}

static void windows_unmap(struct dsm *dsm)
{
	int err = errno;

	if (dsm->held)
		munmap((void *)dsm->held, DSM_HELD_SLOTS * sizeof(uint64_t));
	if (dsm->claims)
		munmap((void *)(uintptr_t)dsm->claims, claims_bytes(dsm));
	if (dsm->ledger)
		munmap((void *)dsm->ledger, ledger_bytes(dsm));
	errno = err;
}

/* Who only reads holds nothing exclusively. */
static int windows_map(struct dsm *dsm, int accmode)
{
	int write = accmode == O_RDWR ? PROT_WRITE : 0;

	dsm->ledger = window_map(dsm->fd, PROT_READ | write, DSM_MMAP_LEDGER,
				 ledger_bytes(dsm));
	if (!dsm->ledger)
		return -1;
	dsm->own_ledger = dsm->ledger + dsm->own_first;
	if (!write)
		return 0;
	dsm->claims = window_map(dsm->fd, PROT_READ, DSM_MMAP_CLAIMS,
				 claims_bytes(dsm));
	dsm->held = window_map(dsm->fd, PROT_READ | PROT_WRITE, DSM_MMAP_HELD,
			       DSM_HELD_SLOTS * sizeof(uint64_t));
	dsm->held_lines = dsm->own_lines;
	return dsm->claims && dsm->held ? 0 : -1;
}

struct dsm *dsm_attach(const char *region, int flags, mode_t mode)
{
	struct dsm_attach_args args = { .size = sizeof(args) };
	struct dsm_info info = { .size = sizeof(info) };
	int accmode = flags & O_ACCMODE;
	struct dsm *dsm;

	if ((flags & ~(O_ACCMODE | O_CREAT | O_EXCL)) ||
	    (accmode != O_RDONLY && accmode != O_RDWR) ||
	    ((flags & O_EXCL) && !(flags & O_CREAT))) {
		errno = EINVAL;
		return NULL;
	}
	if (name_copy(args.name, region) || node_from_env(&args.node))
		return NULL;

	dsm = calloc(1, sizeof(*dsm));
	if (!dsm)
		return NULL;
	dsm->fd = device_open(accmode);
	if (dsm->fd < 0)
		goto err_free;

	if ((flags & O_CREAT) &&
	    region_ioctl(dsm->fd, DSM_IOC_REGION_CREATE, args.node, region,
			 mode) &&
	    (errno != EEXIST || (flags & O_EXCL)))
		goto err_close;
	if (ioctl(dsm->fd, DSM_IOC_INFO, &info) ||
	    ioctl(dsm->fd, DSM_IOC_ATTACH, &args))
		goto err_close;

	dsm->node = args.node;
	dsm->base = args.base;
	dsm->span = args.span;
	dsm->partition_shift = info.partition_shift;
	dsm->lines = args.span >> DSM_LINE_SHIFT;
	dsm->own_lines = 1ULL << (info.partition_shift - DSM_LINE_SHIFT);
	dsm->own_first = dsm->own_lines * args.node;
	dsm->own_base = args.base + dsm->own_first * DSM_LINE_SIZE;
	if (windows_map(dsm, accmode) ||
	    range_map(dsm->fd, accmode, args.base, args.span))
		goto err_unmap;
	dsm_slabs_init(dsm);
	return dsm;

err_unmap:
	windows_unmap(dsm);
err_close:
	close_keep_errno(dsm->fd);
err_free:
	free(dsm);
	return NULL;
}

void dsm_detach(struct dsm *dsm)
{
	if (!dsm)
		return;
	munmap((void *)(uintptr_t)dsm->base, dsm->span);
	windows_unmap(dsm);
	close(dsm->fd);
	dsm_slabs_destroy(dsm);
	free(dsm);
}

unsigned int dsm_node(const struct dsm *dsm)
{
	return dsm->node;
}

int dsm_home(const struct dsm *dsm, const void *addr)
{
	uint64_t offset = (uint64_t)(uintptr_t)addr - dsm->base;

	if (offset >= dsm->span) {
		errno = ERANGE;
		return -1;
	}
	return (int)(offset >> dsm->partition_shift);
}

static int publish(struct dsm *dsm, const char *name, const struct dsm_ref *ref,
		   uint32_t flags)
{
	struct dsm_name_args args = {
		.size = sizeof(args),
		.flags = flags,
		.ref = *ref,
	};

	if (name_copy(args.name, name))
		return -1;
	return ioctl(dsm->fd, DSM_IOC_PUBLISH, &args);
}

int dsm_publish(struct dsm *dsm, const char *name, const struct dsm_ref *ref)
{
	return publish(dsm, name, ref, 0);
}

int dsm_republish(struct dsm *dsm, const char *name, const struct dsm_ref *ref)
{
	return publish(dsm, name, ref, DSM_PUBLISH_ANEW);
}

static int find(struct dsm *dsm, unsigned long request, const char *name,
		unsigned int timeout_ms, struct dsm_ref *ref)
{
	struct dsm_name_args args = {
		.size = sizeof(args),
		.timeout_ms = timeout_ms,
	};

	if (name_copy(args.name, name) || ioctl(dsm->fd, request, &args))
		return -1;
	*ref = args.ref;
	return 0;
}

const void *dsm_lookup(struct dsm *dsm, const char *name,
		       unsigned int timeout_ms, struct dsm_ref *ref)
{
	struct dsm_ref found;

	if (find(dsm, DSM_IOC_LOOKUP, name, timeout_ms, &found))
		return NULL;
	if (ref)
		*ref = found;
	return (const void *)(uintptr_t)found.addr;
}

int dsm_take(struct dsm *dsm, const char *name, unsigned int timeout_ms,
	     struct dsm_ref *ref)
{
	return find(dsm, DSM_IOC_TAKE, name, timeout_ms, ref);
}
