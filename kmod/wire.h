/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What nodes read of each other and say to each other: little-endian, fixed
 * sizes, reserved fields zero.  Everything that comes in is checked before use.
 */
#ifndef DSM_WIRE_H
#define DSM_WIRE_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <linux/dsm.h>

enum {
	DSM_WIRE_MAGIC = 0x324d5344,	/* "DSM2" */
	DSM_WIRE_VERSION = 2,
	DSM_WIRE_TOKEN_BYTES = 32,
	DSM_WIRE_MESSAGE_BYTES = 256,
	DSM_WIRE_SEGMENTS = 8,
	DSM_WIRE_MAX_ERROR = 512,	/* above: the kernel's own, not for user space */
};

/* ---- connection set-up: private data of the connection manager ---- */

/**
 * struct dsm_wire_open - begins a connection, request and reply
 * @magic: DSM_WIRE_MAGIC
 * @version: DSM_WIRE_VERSION
 * @from: node that connects
 * @to: node that is meant
 * @geometry: CRC-32 of the cluster's name, base, span and node limit
 * @conn: 0: control, others: one-sided requests
 * @epoch: of the sender
 * @token: of conn 0 a nonce, of the others a proof of the session's key
 */
struct dsm_wire_open {
	__le32 magic;
	__le16 version;
	__u8 from;
	__u8 to;
	__le32 geometry;
	__u8 conn;
	__u8 reserved[3];
	__le64 epoch;
	__u8 token[DSM_WIRE_TOKEN_BYTES];
};

static_assert(sizeof(struct dsm_wire_open) == 56);	/* all that fits */

/**
 * struct dsm_wire_accept - accepts a connection
 * @open: as in the request, with the acceptor's epoch and nonce
 * @proof: that the acceptor knows the cluster key
 */
struct dsm_wire_accept {
	struct dsm_wire_open open;
	__u8 proof[DSM_WIRE_TOKEN_BYTES];
};

static_assert(sizeof(struct dsm_wire_accept) == 88);

/**
 * struct dsm_wire_reject - refuses a connection
 * @magic: DSM_WIRE_MAGIC
 * @error: errno value, positive
 */
struct dsm_wire_reject {
	__le32 magic;
	__le32 error;
};

/* ---- control messages ---- */

enum dsm_wire_type {
	DSM_MSG_PROOF = 1,	/* dsm_wire_proof -> dsm_wire_hello */
	DSM_MSG_HELLO,		/* dsm_wire_hello -> nothing */
	DSM_MSG_READY,		/* nothing: the active side has all it needs */
	DSM_MSG_REGION_CREATE,	/* dsm_wire_region -> dsm_wire_region */
	DSM_MSG_REGION_FIND,	/* dsm_wire_region, by name */
	DSM_MSG_REGION_CHECK,	/* dsm_wire_region, by id */
	DSM_MSG_REGION_REMOVE,	/* dsm_wire_region, by name */
	DSM_MSG_REGION_NEXT,	/* dsm_wire_region, by cursor */
	DSM_MSG_REGION_RESTORE,	/* dsm_wire_region: of the receiver's earlier life */
	DSM_MSG_REGION_GONE,	/* dsm_wire_region, by id: stop using it */
	DSM_MSG_REGION_ENDED,	/* dsm_wire_region, by id: ask the registrar whether it is gone */
	DSM_MSG_REVOKE,		/* dsm_wire_revoke: the sender's keys die */
	DSM_MSG_NAME_PUBLISH,	/* dsm_wire_name */
	DSM_MSG_NAME_LOOKUP,	/* dsm_wire_name -> dsm_wire_name */
	DSM_MSG_NAME_NEWS,	/* dsm_wire_region: a name you waited for may be there */
	DSM_MSG_ALLOC,		/* dsm_wire_alloc -> dsm_wire_alloc */
	DSM_MSG_NR,
};

#define DSM_MSG_REPLY	0x8000

/**
 * struct dsm_wire_head - begins every message
 * @type: enum dsm_wire_type, with DSM_MSG_REPLY in an answer
 * @len: bytes that follow
 * @call: the caller's, returned in the answer
 * @error: of an answer: errno value, positive, or 0
 */
struct dsm_wire_head {
	__le16 type;
	__le16 len;
	__le32 call;
	__le32 error;
	__le32 reserved;
};

static_assert(sizeof(struct dsm_wire_head) == 16);

struct dsm_wire_proof {
	__u8 proof[DSM_WIRE_TOKEN_BYTES];
};

/**
 * struct dsm_wire_segment - a part of a node's chunk directory
 * @addr: remote address of the first entry
 * @rkey: key to READ it with
 * @entries: how many
 */
struct dsm_wire_segment {
	__le64 addr;
	__le32 rkey;
	__le32 entries;
};

/**
 * struct dsm_wire_hello - what a node tells a peer that has proved itself
 * @born: when the node came up, in ledger time; names this life of it
 * @segment: its directory; segment 0 is at least DSM_PING_MAX_BYTES long
 */
struct dsm_wire_hello {
	__le64 born;
	struct dsm_wire_segment segment[DSM_WIRE_SEGMENTS];
};

static_assert(sizeof(struct dsm_wire_hello) == 136);

enum { DSM_WIRE_ADMIN = 1 };

struct dsm_wire_region {
	__le64 id;
	__le64 cursor;
	__le32 uid;
	__le32 gid;
	__le32 mode;
	__le32 flags;		/* DSM_WIRE_ADMIN: uid may do anything */
	__le32 nr_names;
	__le32 reserved;
	char name[DSM_NAME_BYTES];
};

static_assert(sizeof(struct dsm_wire_region) == 104);

enum {
	DSM_WIRE_WATCH = 1,	/* lookup: tell me when a name is published */
	DSM_WIRE_TAKE = 2,	/* lookup: and remove the name */
	DSM_WIRE_ANEW = 4,	/* publish: the name may be there already */
};

struct dsm_wire_name {
	__le64 region;
	__le64 addr;
	__le64 version;
	__le64 size;
	__le32 flags;		/* DSM_WIRE_WATCH, _TAKE, _ANEW */
	__le32 reserved;
	char name[DSM_NAME_BYTES];
};

static_assert(sizeof(struct dsm_wire_name) == 104);

/**
 * struct dsm_wire_revoke - let go of keys of the sender's chunks
 * @region: id of the region that they belong to
 * @first: chunk of the sender's partition
 * @nr: how many chunks, those of other regions left alone; at least 1
 */
struct dsm_wire_revoke {
	__le64 region;
	__le32 first;
	__le32 nr;
};

static_assert(sizeof(struct dsm_wire_revoke) == 16);

/**
 * struct dsm_wire_alloc - allocate an object in the receiver's partition
 * @region: id of the region
 * @size: bytes
 * @addr: answer
 * @version: answer
 * @name: of the region
 */
struct dsm_wire_alloc {
	__le64 region;
	__le64 size;
	__le64 addr;
	__le64 version;
	char name[DSM_NAME_BYTES];
};

static_assert(sizeof(struct dsm_wire_alloc) == 96);

struct dsm_wire_message {
	struct dsm_wire_head head;
	union {
		struct dsm_wire_proof proof;
		struct dsm_wire_hello hello;
		struct dsm_wire_region region;
		struct dsm_wire_name name;
		struct dsm_wire_revoke revoke;
		struct dsm_wire_alloc alloc;
		__u8 bytes[DSM_WIRE_MESSAGE_BYTES - sizeof(struct dsm_wire_head)];
	};
};

static_assert(sizeof(struct dsm_wire_message) == DSM_WIRE_MESSAGE_BYTES);

/* ---- the chunk directory, READ one-sided ---- */

enum dsm_chunk_kind {
	DSM_CHUNK_NONE = 0,
	DSM_CHUNK_LARGE = 1,	/* one word of ledger and claim a page */
	DSM_CHUNK_SMALL = 2,	/* one word of each a line */
	DSM_CHUNK_CELLS = 3,	/* 8-byte atomics */
};

/**
 * struct dsm_wire_chunk - directory entry, aligned to its size
 * @head: generation, odd while the entry is being written
 * @kind: enum dsm_chunk_kind
 * @region: id of the region that it belongs to
 * @born: version at which its ledger began; names this life of the chunk
 * @payload_addr: remote address of the first byte; so for ledger and claims
 * @payload_key: key to READ with; so for the ledger; the claims' allows atomics
 * @tail: as @head; they differ in a torn READ
 */
struct dsm_wire_chunk {
	__le32 head;
	__u8 kind;
	__u8 reserved[3];
	__le64 region;
	__le64 born;
	__le64 payload_addr;
	__le64 ledger_addr;
	__le64 claims_addr;
	__le32 payload_key;
	__le32 ledger_key;
	__le32 claims_key;
	__le32 tail;
};

static_assert(sizeof(struct dsm_wire_chunk) == 64);

#endif /* DSM_WIRE_H */
