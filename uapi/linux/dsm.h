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
 *			that is in use cannot go down; the object is borrowed
 *			exclusively, or somebody is about to take it
 *	EPERM		the file was attached by another process, or the call
 *			is for the owner or the administrator
 *	EACCES		the region's mode, or how the file was opened, does not
 *			allow this; the object is of another region
 *	ENOENT		no region, named handle or node of that name
 *	EEXIST		the name is taken
 *	EIDRM		the region was removed
 *	ERANGE		an address outside the range, or arithmetic that leaves it
 *	EXDEV		the address is not homed on this node, or not in memory of
 *			the region there
 *	ESTALE		the handle does not name what is at its address now
 *	EROFS		the object is frozen
 *	EOWNERDEAD	its exclusive borrower died: the contents may be half written
 *	ENOSPC		the partition, or a table of the region, is full
 *	ENOMEM		no memory in this kernel
 *	EHOSTDOWN	the peer cannot be reached
 *	EPROTO		the peer answered what makes no sense
 *	EKEYREJECTED	the peer does not know the cluster key
 *	ETIMEDOUT	the time limit passed
 *	EINTR		a signal came first.  A request to another node may have
 *			been carried out; so after EHOSTDOWN
 *
 * Signals for an access to the mapped range:
 *
 *	SIGSEGV		nothing is allocated there, or it belongs to another
 *			region; a large object that the process has not borrowed
 *			and that is not frozen; a write to a frozen page, to a
 *			copy or under a shared borrow
 *	SIGBUS		the home cannot be reached, the region was removed, or the
 *			version that a shared borrow is for is gone
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
 *	60 .. 54	lines of a small object, also where one may be allocated
 *			(FREE); of a large one DSM_LINES_LARGE on its first
 *			and its last page and 0 on those between
 *	53 .. 0		version
 */
#define DSM_WORD_STATE_SHIFT	61
#define DSM_WORD_LINES_SHIFT	54
#define DSM_WORD_LINES_MASK	0x7fULL
#define DSM_WORD_VERSION_MASK	((1ULL << DSM_WORD_LINES_SHIFT) - 1)
#define DSM_LINES_LARGE		64
#define DSM_MAX_LINES		63		/* of a small object */

/* The top bit says: the version can be read.  A borrow tests it with the sign. */
enum dsm_state {
	DSM_STATE_FREE = 0,
	DSM_STATE_CONT = 1,		/* not the first line of its object */
	DSM_STATE_EXCL = 2,		/* borrowed exclusively, or being set up */
	DSM_STATE_POISON = 3,		/* its exclusive borrower died */
	DSM_STATE_LIVE = 4,
	DSM_STATE_FROZEN = 5,		/* read-only for ever, everywhere */
};

#define DSM_WORD(state, lines, version)				\
	(((__u64)(state) << DSM_WORD_STATE_SHIFT) |		\
	 ((__u64)(lines) << DSM_WORD_LINES_SHIFT) |		\
	 ((__u64)(version) & DSM_WORD_VERSION_MASK))

/*
 * The claim word: how another node takes an object away.  Changed by the RDMA
 * devices' compare-and-swap alone.
 *
 *	63 .. 62	state
 *	61 .. 54	node that moves it
 *	53 .. 0		version that is taken
 */
#define DSM_CLAIM_STATE_SHIFT	62
#define DSM_CLAIM_NODE_SHIFT	54

enum dsm_claim_state {
	DSM_CLAIM_NONE = 0,
	DSM_CLAIM_MOVING = 1,
	DSM_CLAIM_FREED = 2,		/* moved or dropped: the home may reuse it */
};

#define DSM_CLAIM(state, node, version)				\
	(((__u64)(state) << DSM_CLAIM_STATE_SHIFT) |			\
	 ((__u64)(node) << DSM_CLAIM_NODE_SHIFT) |			\
	 ((__u64)(version) & DSM_WORD_VERSION_MASK))

/*
 * What an attached file maps, by the offset of mmap().
 *
 * RANGE: the shared addresses, at their own place.
 * LEDGER: the ledger words of small objects, 8 bytes for each 64 of the range;
 *	of this node's partition the truth, of others LIVE where exactly that
 *	version is cached here, else 0.  Writable where this node's small objects
 *	of the region are; where its memory has none a store goes nowhere.
 * CLAIMS: the claim words of this node's partition, read-only.
 * HELD: DSM_HELD_SLOTS words, each 0 or the address of a small object of this
 *	node that the process has borrowed exclusively, plus 1 while it is about
 *	to, or is about to return it.  When the process dies the kernel turns those into POISON.
 */
#define DSM_MMAP_RANGE		0ULL
#define DSM_MMAP_LEDGER		(1ULL << 56)
#define DSM_MMAP_CLAIMS		(2ULL << 56)
#define DSM_MMAP_HELD		(3ULL << 56)
#define DSM_HELD_SLOTS		65536

#ifndef __dsm_capability
#define __dsm_capability			/* for clang's -Wthread-safety */
#endif

/**
 * struct dsm_ref - a handle, the owning pointer to an object
 * @addr: address of the first byte, the same on every node
 * @version: the whole ledger word that is expected at @addr
 * @size: bytes of the object
 *
 * Plain bytes: it may be stored in other objects and sent in any message.
 */
struct __dsm_capability dsm_ref {
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
 * struct dsm_object_args - DSM_IOC_ALLOC, _FREEZE, _BORROW, _RETURN and _DROP
 * @size: in: sizeof(struct dsm_object_args)
 * @flags: in: borrow: DSM_BORROW_*; return: DSM_BORROW_EXCL or 0; else 0
 * @ref: in and out: the handle
 *
 * _ALLOC: @ref.size bytes, the rest 0.  A large object in this node's partition,
 *	zeroed, at a page boundary, born exclusively borrowed by the caller.
 * _BORROW: of a large object.  A shared borrow lets the process read it; an
 *	exclusive one lets it write, and if the object is homed elsewhere it moves
 *	here first and @ref changes.
 * _RETURN: ends the last such borrow of the process, of the kind that @flags says;
 *	after an exclusive one @ref names the new version.
 * _FREEZE: read-only for ever.  The object is in this node's partition, and no
 *	process but the caller has it borrowed.
 * _DROP: of a large object anywhere, or of a small one of another node.  There
 *	the request is posted and not awaited: with a handle that owns nothing
 *	it does nothing.
 */
struct dsm_object_args {
	__u32 size;
	__u32 flags;
	struct dsm_ref ref;
};

#define DSM_BORROW_EXCL		(1U << 0)
#define DSM_BORROW_DISCARD	(1U << 1)	/* the contents are not needed */
#define DSM_BORROW_ACCEPT	(1U << 2)	/* even if a borrower died in it */

/**
 * struct dsm_alloc_args - DSM_IOC_ALLOC_ON: allocate an object on another node
 * @size: in: sizeof(struct dsm_alloc_args)
 * @flags: must be 0
 * @node: in: whose partition; may be this node's
 * @reserved: must be 0
 * @ref: in: ref.size; out: the handle of an object of zeroes that nobody borrows
 */
struct dsm_alloc_args {
	__u32 size;
	__u32 flags;
	__u32 node;
	__u32 reserved;
	struct dsm_ref ref;
};

/**
 * struct dsm_slab_args - DSM_IOC_SLAB: a page to allocate small objects from
 * @size: in: sizeof(struct dsm_slab_args)
 * @lines: in: of each object, 1 to DSM_MAX_LINES
 * @addr: out: the page, in this node's partition
 *
 * Objects begin at multiples of @lines lines in the page.  One is allocated by
 * a compare-and-swap of its ledger word from FREE(@lines, v) to
 * EXCL(@lines, v + 1).  The page is the caller's until it detaches, but any
 * process may free objects of it, and where nothing is allocated the kernel may
 * take it back: then the words say other @lines, or 0.
 */
struct dsm_slab_args {
	__u32 size;
	__u32 lines;
	__u64 addr;
};

#define DSM_FETCH_MAX		1024
/* Hints: begin, and do not wait; also for large objects that are borrowed. */
#define DSM_FETCH_NOWAIT	(1U << 0)

/**
 * struct dsm_fetch_args - DSM_IOC_FETCH: have small objects of other nodes here
 * @size: in: sizeof(struct dsm_fetch_args)
 * @flags: in: DSM_FETCH_*
 * @nr: in: handles, 1 to DSM_FETCH_MAX
 * @reserved: must be 0
 * @refs: in: user pointer to @nr struct dsm_ref
 * @errors: in: user pointer to @nr __s32, each set to 0 or a negative errno:
 *	    ESTALE, EBUSY, EOWNERDEAD, EHOSTDOWN, EACCES (another region's), EINVAL,
 *	    ERANGE, ENOMEM; 0: for pure hints
 *
 * All requests are in flight at once.  Where the error is 0 the ledger window
 * showed the handle's version when it was installed; it may be evicted again.
 */
struct dsm_fetch_args {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__u64 refs;
	__u64 errors;
};

/**
 * struct dsm_move_args - DSM_IOC_MOVE: take a small object from another node
 * @size: in: sizeof(struct dsm_move_args)
 * @flags: in: DSM_BORROW_DISCARD, DSM_BORROW_ACCEPT
 * @ref: in: its handle
 * @to: in: address of an object of as many lines in this node's partition, which
 *	the caller has just allocated and not published
 *
 * Afterwards the bytes are at @to and @ref owns nothing.  On failure nothing has
 * changed but what is at @to.
 */
struct dsm_move_args {
	__u32 size;
	__u32 flags;
	struct dsm_ref ref;
	__u64 to;
};

/**
 * struct dsm_name_args - DSM_IOC_PUBLISH, _LOOKUP and _TAKE
 * @size: in: sizeof(struct dsm_name_args)
 * @flags: in: publish: DSM_PUBLISH_ANEW: the name may be there already; else 0
 * @timeout_ms: lookup, take: in: how long to wait for the name; 0: not at all
 * @reserved: must be 0
 * @ref: publish: in: an object of this region that nobody has borrowed
 *	 exclusively; lookup, take: out
 * @name: in: unique in the region
 *
 * The name owns the object: _LOOKUP gives a handle for shared borrows, _TAKE
 * removes the name and gives the handle to exactly one.
 */
struct dsm_name_args {
	__u32 size;
	__u32 flags;
	__u32 timeout_ms;
	__u32 reserved;
	struct dsm_ref ref;
	char name[DSM_NAME_BYTES];
};

#define DSM_PUBLISH_ANEW	(1U << 0)

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
	X(ATOMICS,		"atomics")	/* one-sided, of peers' claims */ \
	X(ATOMICS_OWN,		"atomics_own")	/* of this node's claims */ \
	X(OBJECTS_FETCHED,	"objects_fetched")	/* small ones */ \
	X(OBJECTS_MOVED,	"objects_moved")	/* here */	\
	X(BYTES_READ,		"bytes_read")	/* by all READs but pings */ \
	X(MESSAGES_SENT,	"messages_sent")	/* two-sided */	\
	X(MESSAGES_RECEIVED,	"messages_received")			\
	X(MESSAGES_REFUSED,	"messages_refused")	/* malformed */	\
	X(MESSAGES_HELLO,	"messages_hello")	/* sent, by kind */ \
	X(MESSAGES_REGION,	"messages_region")			\
	X(MESSAGES_NAME,	"messages_name")			\
	X(MESSAGES_ALLOC,	"messages_alloc")			\
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
#define DSM_IOC_DROP		_IO(DSM_IOC_TYPE, 0x92)
#define DSM_IOC_FREEZE		_IO(DSM_IOC_TYPE, 0x93)
#define DSM_IOC_PUBLISH		_IO(DSM_IOC_TYPE, 0x94)
#define DSM_IOC_LOOKUP		_IO(DSM_IOC_TYPE, 0x95)
#define DSM_IOC_TAKE		_IO(DSM_IOC_TYPE, 0x96)
#define DSM_IOC_ALLOC_ON	_IO(DSM_IOC_TYPE, 0x97)
#define DSM_IOC_BORROW		_IO(DSM_IOC_TYPE, 0x98)
#define DSM_IOC_RETURN		_IO(DSM_IOC_TYPE, 0x99)
#define DSM_IOC_SLAB		_IO(DSM_IOC_TYPE, 0x9a)
#define DSM_IOC_FETCH		_IO(DSM_IOC_TYPE, 0x9b)
#define DSM_IOC_MOVE		_IO(DSM_IOC_TYPE, 0x9c)

#endif /* _UAPI_LINUX_DSM_H */
