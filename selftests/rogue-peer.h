/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A peer in user space that speaks what kmod/wire.h says, as far as a test wants
 * it to.  rogue.sh configures four nodes of which two are up in the kernel.  The
 * rogue plays the two others: the one with the lowest id, which connects, and the
 * one with the highest, which is connected to.
 */
#ifndef ROGUE_PEER_H
#define ROGUE_PEER_H

#include <rdma/rdma_cma.h>

#include "helper.h"
#include "../kmod/wire.h"

enum {
	ROGUE_LOW = 0,
	VICTIM = NODE_HOME,
	BYSTANDER = NODE_PEER, /* its link to the victim must never be lost */
	ROGUE_HIGH = NODE_TIGHT,

	ROGUE_CONNS = 3, /* control, and two for one-sided requests */
	ROGUE_PORT = 7471,
	ROGUE_CALL = 0x40000000,

	STEP_MS = 10000, /* bound of a step of ours */
	PROOF_MS = 4000, /* the victim has given a stranger up by then */
	SILENCE_MS = 12000, /* and a peer that owes it an answer */
};

#define CHUNK_BYTES DSM_CHUNK_SIZE
#define DIRECTORY_BYTES DSM_PING_MAX_BYTES

enum proof_role {
	PROOF_ACTIVE = 1,
	PROOF_PASSIVE,
	PROOF_DATA,
	PROOF_DATA_PASSIVE
};

/* What a proof is about; a hash of it and of a label is the proof. */
struct proof_of {
	__u8 active;
	__u8 passive;
	__u8 reserved[6];
	__u64 active_epoch;
	__u64 passive_epoch;
	__u8 active_nonce[DSM_WIRE_TOKEN_BYTES];
	__u8 passive_nonce[DSM_WIRE_TOKEN_BYTES];
};

/* One connection.  @id is NULL if it is none. */
struct conn {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_mr *mr;
	unsigned char *slots;
	unsigned char data[256]; /* private data that came last */
	bool closed; /* the victim has disconnected */
};

/* Memory that the victim may be told of. */
struct memory {
	void *bytes;
	size_t len;
	struct ibv_mr *mr;
};

struct session {
	unsigned int self;
	unsigned int peer;
	struct conn conn[ROGUE_CONNS];
	struct proof_of about;
	struct dsm_wire_hello hello; /* the victim's */
	struct dsm_wire_hello ours;
};

/* ---- connections ---- */

/* Receives that a new connection has; the tests of floods want few. */
extern unsigned int conn_receives;

/*
 * 0; -errno as the victim's refusal says; -ECONNREFUSED if it was refused
 * otherwise; -ETIMEDOUT.  @half: without the last step of the set-up.
 */
int conn_open(struct conn *c, unsigned int self, unsigned int peer,
	      const void *data, size_t len, bool half);
void conn_close(struct conn *c);
/* Has the victim disconnected, within @ms?  0: as far as is known. */
bool conn_is_closed(struct conn *c, unsigned int ms);
/* 0, or the negative of the completion's status; -ETIMEDOUT. */
int conn_post(struct conn *c, enum ibv_wr_opcode opcode, void *local,
	      size_t len, struct ibv_mr *mr, uint64_t addr, uint32_t rkey);
int conn_send(struct conn *c, const void *bytes, size_t len);
/* Posts @count sends of the same bytes and waits for none. */
int conn_flood(struct conn *c, const void *bytes, size_t len,
	       unsigned int count);
/* Bytes that came, at most a message; -ETIMEDOUT, -ECONNRESET. */
int conn_receive(struct conn *c, struct dsm_wire_message *message,
		 unsigned int ms);

struct listener {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
};

int listener_open(struct listener *l, unsigned int self);
void listener_close(struct listener *l);
/* The victim's next request for connection @index; refuses the others. */
int listener_next(struct listener *l, unsigned int index, struct conn *c,
		  struct dsm_wire_open *open, unsigned int ms);
int conn_accept(struct conn *c, const void *data, size_t len);

int memory_map(struct memory *m, size_t len, int access);
void memory_unmap(struct memory *m);

/* ---- sessions ---- */

void open_fill(struct dsm_wire_open *open, unsigned int self, unsigned int peer,
	       unsigned int index);
void proof_make(const struct proof_of *about, enum proof_role role,
		unsigned int index, __u8 proof[DSM_WIRE_TOKEN_BYTES]);
/* Ledger time, the same unit as the module's. */
uint64_t ledger_time(void);

/* Each step of the active side: 0 or -errno; the victim's proofs are checked. */
int session_open(struct session *s, unsigned int self, unsigned int peer);
int session_prove(struct session *s);
int session_trusted(struct session *s, unsigned int self, unsigned int peer);
int session_data(struct session *s, unsigned int index);
int session_hello(struct session *s);
int session_ready(struct session *s);
/* All of them, until the victim says that the link is up. */
int session_up(struct session *s, unsigned int self, unsigned int peer,
	       const struct memory *directory);
/* The passive side's first step, with a byte of @accept changed; and all of them. */
int session_accept(struct session *s, struct listener *l,
		   struct dsm_wire_accept *accept, size_t at,
		   unsigned char value);
int session_serve(struct session *s, struct listener *l,
		  const struct memory *directory);
void session_close(struct session *s);

size_t message_fill(struct dsm_wire_message *m, unsigned int type,
		    const void *payload, size_t len);
int session_request(struct session *s, unsigned int type, uint32_t call,
		    const void *payload, size_t len);
/* The next answer, or the next request of the victim; others are dropped. */
int session_answer(struct session *s, struct dsm_wire_message *m,
		   unsigned int ms);
int session_asked(struct session *s, unsigned int type,
		  struct dsm_wire_message *m, unsigned int ms);
int session_reply(struct session *s, const struct dsm_wire_message *request,
		  int error, const void *payload, size_t len);
/*
 * Asks and takes the answer: -errno as it says, or its length.  -ECONNRESET: it
 * was refused, and the connection was gone before the answer could leave.
 */
int session_call(struct session *s, unsigned int type, const void *payload,
		 size_t len, struct dsm_wire_message *reply);

/* ---- the victim, as it is seen from outside ---- */

bool link_is(unsigned int node, unsigned int peer, const char *state);
bool link_becomes(unsigned int node, unsigned int peer, const char *state,
		  unsigned int ms);

/* A region of the bystander's that the rogue has no part in. */
const char *shared_region(void);
/* The bystander still reads what the victim has, over a link never lost. */
bool bystander_reads(const struct counters *before);

#define EXPECT_REFUSED(error, result)                      \
	do {                                               \
		int refused_with = (result);               \
		if (refused_with != -ECONNRESET)           \
			EXPECT_EQ(-(error), refused_with); \
	} while (0)

#endif /* ROGUE_PEER_H */
