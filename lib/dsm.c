// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/* libdsm: attachments and objects, over the requests of /dev/dsm. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dsm.h"

#define DSM_DEVICE "/dev/dsm"

/* Nothing changes after dsm_attach(), so threads need no lock. */
struct dsm {
	int fd;
	unsigned int node;
	unsigned int partition_shift;
	uint64_t base;
	uint64_t span;
};

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
	void *got;

	got = mmap(want, span, prot,
		   MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0);
	if (got == want)
		return 0;
	/* Kernels before 4.17 take the address for a hint. */
	if (got != MAP_FAILED) {
		munmap(got, span);
		errno = EEXIST;
	}
	if (errno == EEXIST)
		errno = EBUSY;
	return -1;
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

	dsm = malloc(sizeof(*dsm));
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
	    ioctl(dsm->fd, DSM_IOC_ATTACH, &args) ||
	    range_map(dsm->fd, accmode, args.base, args.span))
		goto err_close;

	dsm->node = args.node;
	dsm->base = args.base;
	dsm->span = args.span;
	dsm->partition_shift = info.partition_shift;
	return dsm;

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
	close(dsm->fd);
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

void *dsm_alloc(struct dsm *dsm, size_t size, struct dsm_ref *ref)
{
	struct dsm_object_args args = {
		.size = sizeof(args),
		.ref.size = size,
	};

	if (ioctl(dsm->fd, DSM_IOC_ALLOC, &args))
		return NULL;
	*ref = args.ref;
	return (void *)(uintptr_t)ref->addr;
}

int dsm_free(struct dsm *dsm, struct dsm_ref *ref)
{
	struct dsm_object_args args = { .size = sizeof(args), .ref = *ref };

	return ioctl(dsm->fd, DSM_IOC_FREE, &args);
}

int dsm_freeze(struct dsm *dsm, struct dsm_ref *ref)
{
	struct dsm_object_args args = { .size = sizeof(args), .ref = *ref };

	if (ioctl(dsm->fd, DSM_IOC_FREEZE, &args))
		return -1;
	*ref = args.ref;
	return 0;
}

int dsm_publish(struct dsm *dsm, const char *name, const struct dsm_ref *ref)
{
	struct dsm_name_args args = { .size = sizeof(args), .ref = *ref };

	if (name_copy(args.name, name))
		return -1;
	return ioctl(dsm->fd, DSM_IOC_PUBLISH, &args);
}

const void *dsm_lookup(struct dsm *dsm, const char *name,
		       unsigned int timeout_ms, struct dsm_ref *ref)
{
	struct dsm_name_args args = {
		.size = sizeof(args),
		.timeout_ms = timeout_ms,
	};

	if (name_copy(args.name, name) || ioctl(dsm->fd, DSM_IOC_LOOKUP, &args))
		return NULL;
	if (ref)
		*ref = args.ref;
	return (const void *)(uintptr_t)args.ref.addr;
}
