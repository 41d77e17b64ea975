// SPDX-License-Identifier: GPL-2.0-only
/* A rogue peer in the set-up of a link: who is let in, and who learns a key. */
#include <errno.h>
#include <string.h>

#include "harness.h"
#include "rogue-peer.h"

FIXTURE(setup)
{
	struct counters victim;
	struct counters bystander;
	struct memory directory;
	struct session s;
	struct listener l;
};

FIXTURE_SETUP(setup)
{
	ASSERT_EQ(0, memory_map(&self->directory, DIRECTORY_BYTES,
				IBV_ACCESS_REMOTE_READ));
	ASSERT_EQ(0, counters_read(VICTIM, 0, &self->victim));
	ASSERT_EQ(0, counters_read(BYSTANDER, 0, &self->bystander));
}

FIXTURE_TEARDOWN(setup)
{
	session_close(&self->s);
	listener_close(&self->l);
	memory_unmap(&self->directory);
	EXPECT_TRUE(bystander_reads(&self->bystander));
}

static uint64_t refusals(const struct counters *before)
{
	struct counters since = counters_since(VICTIM, 0, before);

	return COUNT(since, LINKS_REFUSED);
}

TEST_F(setup, who_behaves_is_let_in)
{
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	EXPECT_NE(0, self->s.hello.born);
	EXPECT_NE(0, self->s.hello.segment[0].rkey);
	ASSERT_EQ(0, listener_open(&self->l, ROGUE_HIGH));
	session_close(&self->s);
	ASSERT_EQ(0, session_serve(&self->s, &self->l, &self->directory));
}

/* ---- the private data of a request ---- */

/* @field's first bytes, at most 4, become @val. */
#define OPEN_FIELD(field) (sizeof(((struct dsm_wire_open *)0)->field))
#define OPEN(error, field, val)                                              \
	sizeof(struct dsm_wire_open), offsetof(struct dsm_wire_open, field), \
		OPEN_FIELD(field) > 4 ? 1 : OPEN_FIELD(field), ROGUE_LOW,    \
		error, val

/* The connection manager pads what is too short, and takes no more than fits. */
static const struct {
	const char *name;
	size_t len;
	size_t at;
	size_t bytes;
	unsigned int self; /* whose address it comes from */
	int error;
	uint32_t value;
} bad_opens[] = {
	{ "nothing", 0, 0, 0, ROGUE_LOW, -EPROTO, 0 },
	{ "a part", 8, 0, 0, ROGUE_LOW, -EINVAL, 0 },
	{ "magic", OPEN(-EPROTO, magic, DSM_WIRE_MAGIC + 1) },
	{ "version 0", OPEN(-EPROTO, version, 0) },
	{ "next version", OPEN(-EPROTO, version, DSM_WIRE_VERSION + 1) },
	{ "reserved", OPEN(-EPROTO, reserved, 1) },
	{ "to another node", OPEN(-ENOENT, to, BYSTANDER) },
	{ "to no node", OPEN(-ENOENT, to, 255) },
	{ "from a node of no configuration",
	  OPEN(-ENOENT, from, NODE_UNKNOWN) },
	{ "from behind the last node", OPEN(-ENOENT, from, DSM_MAX_NODES) },
	{ "from node 255", OPEN(-ENOENT, from, 255) },
	{ "in the victim's own name", OPEN(-ENOENT, from, VICTIM) },
	{ "in another node's name", OPEN(-ENOENT, from, BYSTANDER) },
	{ "another geometry", OPEN(-EINVAL, geometry, 1) },
	{ "connection 3", OPEN(-EPROTO, conn, ROGUE_CONNS) },
	{ "connection 255", OPEN(-EPROTO, conn, 255) },
	{ "from whom the victim connects to", sizeof(struct dsm_wire_open),
	  offsetof(struct dsm_wire_open, from), 1, ROGUE_HIGH, -EPROTO,
	  ROGUE_HIGH },
	{ "in another node's name, from its address",
	  sizeof(struct dsm_wire_open), offsetof(struct dsm_wire_open, from), 1,
	  BYSTANDER, -EPROTO, BYSTANDER },
};

TEST_F(setup, bad_open_is_refused)
{
	struct dsm_wire_open open;
	struct conn c;

	for (size_t i = 0; i < ARRAY_SIZE(bad_opens); i++) {
		open_fill(&open, ROGUE_LOW, VICTIM, 0);
		memcpy((char *)&open + bad_opens[i].at, &bad_opens[i].value,
		       bad_opens[i].bytes);
		EXPECT_EQ(bad_opens[i].error,
			  conn_open(&c, bad_opens[i].self, VICTIM, &open,
				    bad_opens[i].len, false))
		{
			TH_LOG("%s", bad_opens[i].name);
		}
		conn_close(&c);
	}
	EXPECT_EQ(ARRAY_SIZE(bad_opens), refusals(&self->victim));
}

TEST_F(setup, own_id_from_own_address_gets_nowhere)
{
	struct dsm_wire_open open;

	open_fill(&open, VICTIM, VICTIM, 0);
	ASSERT_EQ(0, conn_open(&self->s.conn[0], VICTIM, VICTIM, &open,
			       sizeof(open), false));
	EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
	EXPECT_TRUE(link_is(VICTIM, VICTIM, "up"));
}

/* ---- proofs ---- */

static int wrong_proof(struct session *s, const __u8 *proof,
		       struct dsm_wire_message *reply)
{
	return session_call(s, DSM_MSG_PROOF, proof, DSM_WIRE_TOKEN_BYTES,
			    reply);
}

#define EXPECT_PROOF_REFUSED(proof)                                      \
	do {                                                             \
		struct dsm_wire_message reply = {};                      \
		EXPECT_REFUSED(EKEYREJECTED,                             \
			       wrong_proof(&self->s, proof, &reply));    \
		EXPECT_EQ(0, reply.head.len);                            \
		EXPECT_TRUE(is_zero(reply.bytes, sizeof(reply.bytes)));  \
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS)); \
		session_close(&self->s);                                 \
	} while (0)

TEST_F(setup, wrong_proof)
{
	__u8 proof[DSM_WIRE_TOKEN_BYTES] = {};

	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	EXPECT_PROOF_REFUSED(proof);

	for (unsigned int byte = 0; byte < sizeof(proof);
	     byte += sizeof(proof) - 1) {
		ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
		proof_make(&self->s.about, PROOF_ACTIVE, 0, proof);
		proof[byte] ^= 1;
		EXPECT_PROOF_REFUSED(proof);
	}
	/* A right one, but of something else. */
	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	proof_make(&self->s.about, PROOF_DATA, 0, proof);
	EXPECT_PROOF_REFUSED(proof);
	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	proof_make(&self->s.about, PROOF_ACTIVE, 1, proof);
	EXPECT_PROOF_REFUSED(proof);
	EXPECT_LE(5, refusals(&self->victim));
}

TEST_F(setup, reflected_proof)
{
	const struct dsm_wire_accept *accept = (void *)self->s.conn[0].data;

	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	EXPECT_PROOF_REFUSED(accept->proof);
}

TEST_F(setup, replayed_proof)
{
	const struct dsm_wire_accept *accept = (void *)self->s.conn[0].data;
	__u8 proof[DSM_WIRE_TOKEN_BYTES], data[DSM_WIRE_TOKEN_BYTES];
	struct dsm_wire_accept first;
	struct dsm_wire_open open;

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	first = *accept;
	proof_make(&self->s.about, PROOF_ACTIVE, 0, proof);
	proof_make(&self->s.about, PROOF_DATA, 1, data);
	open_fill(&open, ROGUE_LOW, VICTIM, 0);
	memcpy(open.token, self->s.about.active_nonce, sizeof(open.token));
	session_close(&self->s);

	/* All that we said the last time, to the letter. */
	for (unsigned int tries = 0; tries < 100; tries++) {
		if (conn_open(&self->s.conn[0], ROGUE_LOW, VICTIM, &open,
			      sizeof(open), false) != -EBUSY)
			break;
		conn_close(&self->s.conn[0]);
		usleep(20000);
	}
	EXPECT_NE(0, memcmp(first.open.token, accept->open.token,
			    sizeof(first.open.token)));
	EXPECT_NE(0, memcmp(first.proof, accept->proof, sizeof(first.proof)));
	EXPECT_PROOF_REFUSED(proof);

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	open_fill(&open, ROGUE_LOW, VICTIM, 1);
	memcpy(open.token, data, sizeof(data));
	EXPECT_EQ(-EKEYREJECTED, conn_open(&self->s.conn[1], ROGUE_LOW, VICTIM,
					   &open, sizeof(open), false));
}

TEST_F(setup, nothing_is_told_before_the_proof)
{
	struct dsm_wire_region region = {};
	struct dsm_wire_message m;

	for (unsigned int type = DSM_MSG_HELLO; type < DSM_MSG_NR; type++) {
		ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
		ASSERT_EQ(0, session_request(&self->s, type, 1, &region,
					     sizeof(region)));
		memset(&m, 0, sizeof(m));
		/* That it is refused need not arrive. */
		if (session_answer(&self->s, &m, PROOF_MS) >= 0)
			EXPECT_EQ(EKEYREJECTED, m.head.error);
		EXPECT_TRUE(is_zero(m.bytes, sizeof(m.bytes)));
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
		session_close(&self->s);
	}
}

/* ---- data connections ---- */

static int data_open(struct session *s, unsigned int index,
		     enum proof_role role, unsigned int proved)
{
	struct dsm_wire_open open;
	struct conn c;
	int err;

	open_fill(&open, s->self, VICTIM, index);
	proof_make(&s->about, role, proved, open.token);
	err = conn_open(&c, s->self, VICTIM, &open, sizeof(open), false);
	conn_close(&c);
	return err;
}

TEST_F(setup, data_connections_need_the_session)
{
	/* None is being set up. */
	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	conn_close(&self->s.conn[0]);
	for (unsigned int tries = 0; tries < 100; tries++) {
		if (data_open(&self->s, 1, PROOF_DATA, 1) == -ENOENT)
			break;
		usleep(20000);
	}
	EXPECT_EQ(-ENOENT, data_open(&self->s, 1, PROOF_DATA, 1));

	/* Not trusted yet. */
	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	EXPECT_EQ(-EKEYREJECTED, data_open(&self->s, 1, PROOF_DATA, 1));

	ASSERT_EQ(0, session_prove(&self->s));
	EXPECT_EQ(-EKEYREJECTED, data_open(&self->s, 1, PROOF_DATA, 2));
	EXPECT_EQ(-EKEYREJECTED, data_open(&self->s, 1, PROOF_ACTIVE, 0));
	EXPECT_EQ(-EKEYREJECTED, data_open(&self->s, 2, PROOF_DATA_PASSIVE, 2));
	ASSERT_EQ(0, session_data(&self->s, 1));
	EXPECT_EQ(-EEXIST, data_open(&self->s, 1, PROOF_DATA, 1));
}

/* ---- in time ---- */

TEST_F(setup, silence_is_bounded)
{
	struct dsm_wire_open open;
	struct session t = {};
	struct conn c;
	uint64_t start;

	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
	session_close(&self->s);

	/* After its proof; meanwhile the victim asks us, too, in vain. */
	ASSERT_EQ(0, listener_open(&self->l, ROGUE_HIGH));
	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	start = now_ms();
	ASSERT_EQ(0, listener_next(&self->l, 0, &c, &open, STEP_MS));
	ASSERT_EQ(0, listener_next(&self->l, 0, &t.conn[0], &open, STEP_MS));
	TH_LOG("a request was given up after %u ms", (int)(now_ms() - start));
	conn_close(&c);
	conn_close(&t.conn[0]);
	EXPECT_TRUE(conn_is_closed(&self->s.conn[0], SILENCE_MS));
	TH_LOG("a session after %u ms", (int)(now_ms() - start));

	/* It can be done all the same. */
	session_close(&self->s);
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
}

TEST_F(setup, half_open_connections)
{
	enum { HALVES = 32 };
	static struct conn half[HALVES];
	struct dsm_wire_open open;
	unsigned int taken = 0;

	open_fill(&open, ROGUE_LOW, VICTIM, 0);
	for (unsigned int i = 0; i < HALVES; i++) {
		int err = conn_open(&half[i], ROGUE_LOW, VICTIM, &open,
				    sizeof(open), true);

		if (!err)
			taken++;
		else
			EXPECT_EQ(-EBUSY, err);
	}
	/* One at a time, and each for a second at the most. */
	EXPECT_LE(1, taken);
	EXPECT_GE(4, taken);
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	for (unsigned int i = 0; i < HALVES; i++)
		conn_close(&half[i]);
}

TEST_F(setup, disconnect_in_the_middle)
{
	for (unsigned int steps = 1; steps <= 6; steps++) {
		struct session *s = &self->s;

		ASSERT_EQ(0, session_open(s, ROGUE_LOW, VICTIM));
		s->ours.born = ledger_time();
		s->ours.segment[0].entries = 1024;
		if (steps > 1)
			ASSERT_EQ(0, session_prove(s));
		if (steps > 2)
			ASSERT_EQ(0, session_hello(s));
		if (steps > 3)
			ASSERT_EQ(0, session_data(s, 1));
		if (steps > 4)
			ASSERT_EQ(0, session_data(s, 2));
		/* Its answer is not waited for. */
		if (steps > 5)
			ASSERT_EQ(0, session_request(s, DSM_MSG_READY, 1, NULL,
						     0));
		session_close(s);
	}
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
}

/* ---- the hello ---- */

TEST_F(setup, bad_hello_is_refused)
{
	static const struct {
		uint64_t born;
		unsigned int segment;
		uint32_t entries;
		int error;
	} bad[] = {
		{ 0, 0, 1024, EPROTO },
		{ ~0ULL, 0, 1024, EPROTO },
		{ DSM_WORD_VERSION_MASK + 1, 0, 1024, EPROTO },
		{ 1, 0, 1023, EPROTO },
		{ 1, 0, 0, EPROTO },
		{ 1, 0, 0x80000000, EPROTO },
		{ 1, DSM_WIRE_SEGMENTS - 1, ~0U, EPROTO },
		/* Below what was seen of it. */
		{ 1, 0, 1024, ESTALE },
	};

	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	session_close(&self->s);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct dsm_wire_hello *hello = &self->s.ours;

		ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
		hello->born = bad[i].born == 1 && bad[i].error != ESTALE
				      ? ledger_time()
				      : bad[i].born;
		hello->segment[0].entries = 1024;
		hello->segment[bad[i].segment].entries = bad[i].entries;
		EXPECT_REFUSED(bad[i].error, session_hello(&self->s));
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
		session_close(&self->s);
	}
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
}

TEST_F(setup, steps_out_of_order)
{
	struct session *s = &self->s;

	ASSERT_EQ(0, session_trusted(s, ROGUE_LOW, VICTIM));
	EXPECT_REFUSED(EPROTO, session_ready(s));
	EXPECT_TRUE(conn_is_closed(&s->conn[0], PROOF_MS));
	session_close(s);

	ASSERT_EQ(0, session_trusted(s, ROGUE_LOW, VICTIM));
	EXPECT_REFUSED(EPROTO, session_prove(s));
	EXPECT_TRUE(conn_is_closed(&s->conn[0], PROOF_MS));
	session_close(s);

	ASSERT_EQ(0, session_up(s, ROGUE_LOW, VICTIM, &self->directory));
	EXPECT_REFUSED(EPROTO, session_hello(s));
	EXPECT_TRUE(conn_is_closed(&s->conn[0], PROOF_MS));
	session_close(s);
	EXPECT_TRUE(link_becomes(VICTIM, ROGUE_LOW, "down", PROOF_MS));
}

/* ---- the victim connects ---- */

#define ACCEPT(name, field, val)                                   \
	{                                                          \
		name, offsetof(struct dsm_wire_accept, field), val \
	}

static const struct {
	const char *name;
	size_t at;
	unsigned char value;
} bad_accepts[] = {
	ACCEPT("magic", open.magic, 1),
	ACCEPT("version", open.version, 1),
	ACCEPT("reserved", open.reserved, 1),
	ACCEPT("from another node", open.from, BYSTANDER ^ ROGUE_HIGH),
	ACCEPT("to another node", open.to, BYSTANDER ^ VICTIM),
	ACCEPT("geometry", open.geometry, 1),
	ACCEPT("connection", open.conn, 0x80),
	ACCEPT("epoch", open.epoch, 2),
	ACCEPT("nonce", open.token, 1),
	ACCEPT("proof", proof, 1),
};

TEST_F(setup, bad_accept_is_told_nothing)
{
	struct dsm_wire_accept accept = {};
	struct dsm_wire_message m;

	ASSERT_EQ(0, listener_open(&self->l, ROGUE_HIGH));
	for (size_t i = 0; i < ARRAY_SIZE(bad_accepts); i++) {
		/* The victim tries again at once after a good one. */
		ASSERT_EQ(0,
			  session_serve(&self->s, &self->l, &self->directory));
		session_close(&self->s);
		memset(&accept, 0, sizeof(accept));
		ASSERT_EQ(0, session_accept(&self->s, &self->l, &accept,
					    bad_accepts[i].at,
					    bad_accepts[i].value));
		EXPECT_GT(0, conn_receive(&self->s.conn[0], &m, PROOF_MS))
		{
			TH_LOG("%s", bad_accepts[i].name);
		}
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
		session_close(&self->s);
	}
	EXPECT_LE(ARRAY_SIZE(bad_accepts), refusals(&self->victim));
}

/* Have the victim prove something to us and show it to itself. */
TEST_F(setup, reflected_challenge)
{
	const struct dsm_wire_accept *theirs = (void *)self->s.conn[0].data;
	struct dsm_wire_open open, mirror;
	struct dsm_wire_accept accept = {};
	struct dsm_wire_message m;
	struct conn c;

	ASSERT_EQ(0, listener_open(&self->l, ROGUE_HIGH));
	ASSERT_EQ(0, listener_next(&self->l, 0, &c, &open, STEP_MS));
	open_fill(&mirror, ROGUE_LOW, VICTIM, 0);
	memcpy(mirror.token, open.token, sizeof(open.token));
	ASSERT_EQ(0, conn_open(&self->s.conn[0], ROGUE_LOW, VICTIM, &mirror,
			       sizeof(mirror), false));
	accept = *theirs;
	accept.open.from = ROGUE_HIGH;
	accept.open.to = VICTIM;
	ASSERT_EQ(0, conn_accept(&c, &accept, sizeof(accept)));
	EXPECT_GT(0, conn_receive(&c, &m, PROOF_MS));
	EXPECT_TRUE(conn_is_closed(&c, PROOF_MS));
	conn_close(&c);
}

/* Answers to the victim's own steps. */
TEST_F(setup, bad_answers_in_the_set_up)
{
	struct dsm_wire_hello hello = {};
	static const struct {
		const char *name;
		size_t len;
		int error;
		uint32_t entries;
		unsigned int type; /* to answer with */
		bool born;
	} bad[] = {
		{ "no hello", 0, 0, 1024, DSM_MSG_PROOF, true },
		{ "short", sizeof(hello) - 1, 0, 1024, DSM_MSG_PROOF, true },
		{ "long", sizeof(hello) + 1, 0, 1024, DSM_MSG_PROOF, true },
		{ "error", 0, EKEYREJECTED, 1024, DSM_MSG_PROOF, true },
		{ "absurd error", 0, 0x7fffffff, 1024, DSM_MSG_PROOF, true },
		{ "not born", sizeof(hello), 0, 1024, DSM_MSG_PROOF, false },
		{ "no directory", sizeof(hello), 0, 0, DSM_MSG_PROOF, true },
		{ "too much", sizeof(hello), 0, ~0U, DSM_MSG_PROOF, true },
		{ "another type", sizeof(hello), 0, 1024, DSM_MSG_HELLO, true },
	};

	ASSERT_EQ(0, listener_open(&self->l, ROGUE_HIGH));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char bytes[sizeof(hello) + 1] = {};
		struct dsm_wire_accept accept = {};
		struct dsm_wire_message m;

		ASSERT_EQ(0,
			  session_serve(&self->s, &self->l, &self->directory));
		session_close(&self->s);
		ASSERT_EQ(0, session_accept(&self->s, &self->l, &accept, 0, 0));
		ASSERT_EQ(0,
			  session_asked(&self->s, DSM_MSG_PROOF, &m, STEP_MS));
		hello.born = bad[i].born ? ledger_time() : 0;
		hello.segment[0].entries = bad[i].entries;
		memcpy(bytes, &hello, sizeof(hello));
		m.head.type = bad[i].type;
		ASSERT_EQ(0, session_reply(&self->s, &m, bad[i].error, bytes,
					   bad[i].len));
		/* It does not say hello in turn. */
		EXPECT_GT(0,
			  session_asked(&self->s, DSM_MSG_HELLO, &m, PROOF_MS))
		{
			TH_LOG("%s", bad[i].name);
		}
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS))
		{
			TH_LOG("%s", bad[i].name);
		}
		session_close(&self->s);
	}
}

TEST_F(setup, data_connection_without_proof)
{
	struct dsm_wire_accept accept = {};
	struct dsm_wire_message m;
	struct dsm_wire_open open;
	struct session *s = &self->s;

	ASSERT_EQ(0, listener_open(&self->l, ROGUE_HIGH));
	ASSERT_EQ(0, session_serve(s, &self->l, &self->directory));
	session_close(s);
	ASSERT_EQ(0, session_accept(s, &self->l, &accept, 0, 0));
	ASSERT_EQ(0, session_asked(s, DSM_MSG_PROOF, &m, STEP_MS));
	s->ours.born = ledger_time();
	ASSERT_EQ(0, session_reply(s, &m, 0, &s->ours, sizeof(s->ours)));
	ASSERT_EQ(0, session_asked(s, DSM_MSG_HELLO, &m, STEP_MS));
	ASSERT_EQ(0, session_reply(s, &m, 0, NULL, 0));
	ASSERT_EQ(0, listener_next(&self->l, 1, &s->conn[1], &open, STEP_MS));
	proof_make(&s->about, PROOF_DATA_PASSIVE, 2, accept.proof);
	ASSERT_EQ(0, conn_accept(&s->conn[1], &accept, sizeof(accept)));
	EXPECT_TRUE(conn_is_closed(&s->conn[1], PROOF_MS));
	EXPECT_FALSE(link_is(VICTIM, ROGUE_HIGH, "up"));
}

TEST_HARNESS_MAIN
