/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * dsm: ownership-guided distributed shared memory, the interface to user space.
 *
 * A program opens /dev/dsm, attaches the file to a region of one local node
 * and maps the cluster's address range with it:
 *
 *	fd = open("/dev/dsm", O_RDWR);
 *	ioctl(fd, DSM_IOC_ATTACH, &attach);
 *	mmap((void *)attach.base, attach.span, PROT_READ | PROT_WRITE,
 *	     MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0);
 *
 * Every argument structure begins with its size, which user space sets.  A
 * larger structure from a newer program is accepted if what this kernel does
 * not know is zero.  Reserved fields and unknown flags must be zero.
 *
 * Errors, with one meaning each for all requests:
 *
 *	EINVAL		a size, flag, alignment, name or value that no version
 *			of this interface can accept
 *	E2BIG		the structure is larger than this kernel knows and the
 *			unknown part is not zero
 *	EFAULT		the argument is not readable or writable memory
 *	ENOTTY		not a request of this device
 *	ENODEV		no such local node, or it is not up, or it has no RDMA
 *			device
 *	ENOTCONN	the file is not attached yet
 *	EBUSY		this process or this file is attached already; a node
 *			that is in use cannot go down
 *	EPERM		the file was attached by another process, or the call
 *			is for the owner or the administrator
 *	EACCES		the region's mode, or how the file was opened, does not
 *			allow this
 *	ENOENT		no region, named handle or node of that name
 *	EEXIST		the name is taken
 *	EIDRM		the region was removed
 *	ERANGE		an address outside the range, or arithmetic that leaves it
 *	EXDEV		the address is not homed on this node, or belongs to
 *			another region
 *	ESTALE		the handle does not name what is at its address now
 *	EROFS		the object is frozen
 *	ENOSPC		the partition, or a table of the region, is full
 *	ENOMEM		no memory in this kernel
 *	EHOSTDOWN	the peer cannot be reached
 *	EKEYREJECTED	the peer does not know the cluster key
 *	ETIMEDOUT	the time limit passed
 *	EINTR		a signal came first.  A request to another node may have
 *			been carried out; so after EHOSTDOWN
 *
 * Signals for an access to the mapped range:
 *
 *	SIGSEGV		nothing is allocated there, or it belongs to another
 *			region; a remote page that is not frozen; a write to a
 *			frozen page or to a copy
 *	SIGBUS		the home cannot be reached, or the region was removed
 */
#ifndef _UAPI_LINUX_DSM_H
#define _UAPI_LINUX_DSM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DSM_ABI_VERSION		1

#define DSM_LINE_SHIFT		6		/* the smallest object */
#define DSM_LINE_SIZE		(1UL << DSM_LINE_SHIFT)
#define DSM_CHUNK_SHIFT		21		/* population, registration */
#define DSM_CHUNK_SIZE		(1UL << DSM_CHUNK_SHIFT)

#define DSM_MAX_NODES		64
#define DSM_NODE_ANY		0xffffffffU	/* the only local node */
#define DSM_NAME_BYTES		64		/* with the final NUL */

/*
 * The ledger word: what is at an address and which version of it.
 *
 *	63 .. 61	state
 *	60 .. 54	lines of a small object; of a large one DSM_LINES_LARGE
 *			on its first page and 0 on the others
 *	53 .. 0		version
 */
#define DSM_WORD_STATE_SHIFT	61
#define DSM_WORD_LINES_SHIFT	54
#define DSM_WORD_LINES_MASK	0x7fULL
#define DSM_WORD_VERSION_MASK	((1ULL << DSM_WORD_LINES_SHIFT) - 1)
#define DSM_LINES_LARGE		64

enum dsm_state {
	DSM_STATE_FREE = 0,
	DSM_STATE_LIVE = 1,
	DSM_STATE_EXCL = 2,
	DSM_STATE_CONT = 3,		/* not the first line of its object */
	DSM_STATE_FROZEN = 4,		/* read-only for ever, everywhere */
	DSM_STATE_POISON = 5,		/* its exclusive borrower died */
};

#define DSM_WORD(state, lines, version)				\
	(((__u64)(state) << DSM_WORD_STATE_SHIFT) |		\
	 ((__u64)(lines) << DSM_WORD_LINES_SHIFT) |		\
	 ((__u64)(version) & DSM_WORD_VERSION_MASK))

/**
 * struct dsm_ref - a handle, the owning pointer to an object
 * @addr: address of the first byte, the same on every node
 * @version: the whole ledger word that is expected at @addr
 * @size: bytes of the object
 *
 * Plain bytes: it may be stored in other objects and sent in any message.
 */
struct dsm_ref {
	__u64 addr;
	__u64 version;
	__u64 size;
};

/**
 * struct dsm_info - DSM_IOC_INFO: the cluster as this kernel knows it
 * @size: in: sizeof(struct dsm_info)
 * @abi: out: DSM_ABI_VERSION
 * @base: out: first address of the range
 * @span: out: bytes of the range
 * @partition_shift: out: home of an address = (addr - base) >> partition_shift
 * @max_nodes: out: partitions in the range
 * @nodes: out: bit i: node i is in the configuration
 * @local: out: bit i: node i is up in this kernel
 * @name: out: name of the cluster
 *
 * ENODEV if no cluster is configured.
 */
struct dsm_info {
	__u32 size;
	__u32 abi;
	__u64 base;
	__u64 span;
	__u32 partition_shift;
	__u32 max_nodes;
	__u64 nodes;
	__u64 local;
	char name[DSM_NAME_BYTES];
};

/**
 * struct dsm_region_args - DSM_IOC_REGION_CREATE, _REMOVE and _NEXT
 * @size: in: sizeof(struct dsm_region_args)
 * @node: in: the local node that asks, or DSM_NODE_ANY
 * @flags: must be 0
 * @mode: create: in: permission bits (0777), the umask is applied; next: out
 * @uid: next: out: owner; create takes the caller's effective ids
 * @gid: next: out: group
 * @id: create, next: out: the region's id, never used again
 * @registrar: next: in: the node whose regions are listed
 * @nr_names: next: out: named handles in it
 * @cursor: next: in: 0 to begin, else as the previous call left it; out
 * @name: create, remove: in; next: out
 *
 * _REMOVE ends the region on all nodes at once: processes that have it mapped
 * get SIGBUS, its memory is given back.  It is for the owner or CAP_SYS_ADMIN.
 * _NEXT returns one region a call, ENOENT after the last.
 */
struct dsm_region_args {
	__u32 size;
	__u32 node;
	__u32 flags;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u64 id;
	__u32 registrar;
	__u32 nr_names;
	__u64 cursor;
	char name[DSM_NAME_BYTES];
};

/**
 * struct dsm_attach_args - DSM_IOC_ATTACH: tie this file to a region of a node
 * @size: in: sizeof(struct dsm_attach_args)
 * @node: in: a local node, or DSM_NODE_ANY; out: the node
 * @flags: must be 0
 * @reserved: must be 0
 * @base: out: where to map, with mmap offset 0
 * @span: out: how many bytes to map, neither more nor less
 * @region: out: the region's id
 * @name: in: the region's name
 *
 * A file that was opened read-only needs only read permission and can neither
 * allocate nor freeze nor publish.  Detaching is munmap() and close().
 */
struct dsm_attach_args {
	__u32 size;
	__u32 node;
	__u32 flags;
	__u32 reserved;
	__u64 base;
	__u64 span;
	__u64 region;
	char name[DSM_NAME_BYTES];
};

/**
 * struct dsm_object_args - DSM_IOC_ALLOC, _FREE and _FREEZE
 * @size: in: sizeof(struct dsm_object_args)
 * @flags: must be 0
 * @ref: alloc: in: ref.size, the rest 0; out: the handle of a large object in
 *	 this node's partition, zeroed, at a page boundary
 *	 free: in: a handle that was not frozen
 *	 freeze: in: a handle of this node's partition; out: the handle that
 *	 every node may use from now on
 */
struct dsm_object_args {
	__u32 size;
	__u32 flags;
	struct dsm_ref ref;
};

/**
 * struct dsm_name_args - DSM_IOC_PUBLISH and DSM_IOC_LOOKUP
 * @size: in: sizeof(struct dsm_name_args)
 * @flags: must be 0
 * @timeout_ms: lookup: in: how long to wait for the name; 0: not at all
 * @reserved: must be 0
 * @ref: publish: in: a frozen object of this region; lookup: out
 * @name: in: unique in the region
 */
struct dsm_name_args {
	__u32 size;
	__u32 flags;
	__u32 timeout_ms;
	__u32 reserved;
	struct dsm_ref ref;
	char name[DSM_NAME_BYTES];
};

#define DSM_PING_MAX_BYTES	65536
#define DSM_PING_MAX_DEPTH	64
#define DSM_PING_MAX_COUNT	65536

/**
 * struct dsm_ping_args - DSM_IOC_PING: time one-sided READs of a peer's memory
 * @size: in: sizeof(struct dsm_ping_args)
 * @node: in: a local node, or DSM_NODE_ANY
 * @peer: in: the node to read from
 * @bytes: in: of one READ, 1 to DSM_PING_MAX_BYTES
 * @depth: in: READs in flight at once, 1 to DSM_PING_MAX_DEPTH
 * @count: in: READs in all, 1 to DSM_PING_MAX_COUNT
 * @min_ns: out: fastest READ, from posting to completion
 * @median_ns: out
 * @p99_ns: out
 * @max_ns: out
 * @total_ns: out: from the first post to the last completion
 *
 * Needs CAP_SYS_ADMIN.
 */
struct dsm_ping_args {
	__u32 size;
	__u32 node;
	__u32 peer;
	__u32 bytes;
	__u32 depth;
	__u32 count;
	__u64 min_ns;
	__u64 median_ns;
	__u64 p99_ns;
	__u64 max_ns;
	__u64 total_ns;
};

/*
 * Counters, per node and, where a region is known, per region.  They are exact.
 * A round trip is one wait for the network on somebody's critical path,
 * however many requests were chained in it.
 */
#define DSM_COUNTERS(X)							\
	X(FAULTS,		"faults")	/* all page faults */	\
	X(FAULTS_LOCAL,		"faults_local")	/* on this node's partition */ \
	X(FAULTS_CACHED,	"faults_cached")	/* copy was here */ \
	X(FAULTS_FETCHED,	"faults_fetched")	/* waited for a fetch */ \
	X(FAULTS_JOINED,	"faults_joined")	/* of another thread's */ \
	X(FAULTS_SIGSEGV,	"faults_sigsegv")			\
	X(FAULTS_SIGBUS,	"faults_sigbus")			\
	X(PAGES_MAPPED,		"pages_mapped")	/* with fault-around */ \
	X(PAGES_FETCHED,	"pages_fetched")			\
	X(PAGES_READAHEAD,	"pages_readahead")	/* of those, ahead */ \
	X(PAGES_EVICTED,	"pages_evicted")			\
	X(PAGES_REVOKED,	"pages_revoked")	/* or the home reborn */ \
	X(ROUND_TRIPS,		"round_trips")				\
	X(READS,		"reads")	/* one-sided, of data */ \
	X(READS_WORDS,		"reads_words")	/* of ledger words */	\
	X(READS_DIRECTORY,	"reads_directory")	/* of chunk entries */ \
	X(READS_LIVENESS,	"reads_liveness")	/* of each link */ \
	X(READS_PING,		"reads_ping")				\
	X(ATOMICS,		"atomics")	/* one-sided, of claims */ \
	X(BYTES_READ,		"bytes_read")	/* by all READs but pings */ \
	X(MESSAGES_SENT,	"messages_sent")	/* two-sided */	\
	X(MESSAGES_RECEIVED,	"messages_received")			\
	X(MESSAGES_REFUSED,	"messages_refused")	/* malformed */	\
	X(MESSAGES_HELLO,	"messages_hello")	/* sent, by kind */ \
	X(MESSAGES_REGION,	"messages_region")			\
	X(MESSAGES_NAME,	"messages_name")			\
	X(MESSAGES_REVOKE,	"messages_revoke")			\
	X(LINKS_UP,		"links_up")	/* times one came up */	\
	X(LINKS_LOST,		"links_lost")				\
	X(LINKS_REFUSED,	"links_refused")	/* key, epoch, version */ \
	X(ERRORS,		"errors")	/* requests that failed */ \
	X(CHUNKS_POPULATED,	"chunks_populated")			\
	X(CHUNKS_RELEASED,	"chunks_released")			\
	X(GAUGE_CHUNKS,		"chunks")	/* gauges from here on */ \
	X(GAUGE_COPIES,		"copies")	/* pages cached here */	\
	X(GAUGE_LINKS,		"links")	/* up, with the node's own */

enum dsm_counter {
#define DSM_COUNTER_ENUM(id, name) DSM_COUNTER_##id,
	DSM_COUNTERS(DSM_COUNTER_ENUM)
#undef DSM_COUNTER_ENUM
	DSM_COUNTER_NR,
};

/**
 * struct dsm_stat_args - DSM_IOC_STAT: read the counters
 * @size: in: sizeof(struct dsm_stat_args)
 * @node: in: a local node, or DSM_NODE_ANY; out: the node
 * @nr: in: elements at @values; out: how many this kernel has
 * @reserved: must be 0
 * @region: in: 0, or the id of a region that is known to the node (ENOENT)
 * @values: in: user pointer to @nr __u64, indexed by enum dsm_counter
 */
struct dsm_stat_args {
	__u32 size;
	__u32 node;
	__u32 nr;
	__u32 reserved;
	__u64 region;
	__u64 values;
};

#define DSM_IOC_TYPE		0xD5

#define DSM_IOC_INFO		_IO(DSM_IOC_TYPE, 0x80)
#define DSM_IOC_STAT		_IO(DSM_IOC_TYPE, 0x81)
#define DSM_IOC_PING		_IO(DSM_IOC_TYPE, 0x82)
#define DSM_IOC_REGION_CREATE	_IO(DSM_IOC_TYPE, 0x88)
#define DSM_IOC_REGION_REMOVE	_IO(DSM_IOC_TYPE, 0x89)
#define DSM_IOC_REGION_NEXT	_IO(DSM_IOC_TYPE, 0x8a)
#define DSM_IOC_ATTACH		_IO(DSM_IOC_TYPE, 0x90)
#define DSM_IOC_ALLOC		_IO(DSM_IOC_TYPE, 0x91)
#define DSM_IOC_FREE		_IO(DSM_IOC_TYPE, 0x92)
#define DSM_IOC_FREEZE		_IO(DSM_IOC_TYPE, 0x93)
#define DSM_IOC_PUBLISH		_IO(DSM_IOC_TYPE, 0x94)
#define DSM_IOC_LOOKUP		_IO(DSM_IOC_TYPE, 0x95)

#endif /* _UAPI_LINUX_DSM_H */
