// SPDX-License-Identifier: GPL-2.0-only
/*
 * A rogue peer that knows the cluster key: messages that are malformed, that
 * claim what is not its own, or that nobody asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "rogue-peer.h"

FIXTURE(message)
{
	struct counters victim;
	struct counters bystander;
	struct memory directory;
	struct session s;
	uint64_t region; /* id of the shared one */
};

FIXTURE_SETUP(message)
{
	struct dsm_region_args found;

	ASSERT_EQ(0, memory_map(&self->directory, DIRECTORY_BYTES,
				IBV_ACCESS_REMOTE_READ));
	ASSERT_EQ(0, counters_read(VICTIM, 0, &self->victim));
	ASSERT_EQ(0, counters_read(BYSTANDER, 0, &self->bystander));
	ASSERT_EQ(0, region_find(shared_region(), &found));
	self->region = found.id;
}

FIXTURE_TEARDOWN(message)
{
	session_close(&self->s);
	memory_unmap(&self->directory);
	EXPECT_TRUE(bystander_reads(&self->bystander));
}

static uint64_t refused(const struct counters *before)
{
	struct counters since = counters_since(VICTIM, 0, before);

	return COUNT(since, MESSAGES_REFUSED);
}

static size_t payload_bytes(unsigned int type)
{
	switch (type) {
	case DSM_MSG_PROOF:
		return sizeof(struct dsm_wire_proof);
	case DSM_MSG_HELLO:
		return sizeof(struct dsm_wire_hello);
	case DSM_MSG_READY:
		return 0;
	case DSM_MSG_NAME_PUBLISH:
	case DSM_MSG_NAME_LOOKUP:
		return sizeof(struct dsm_wire_name);
	case DSM_MSG_REVOKE:
		return sizeof(struct dsm_wire_revoke);
	case DSM_MSG_ALLOC:
		return sizeof(struct dsm_wire_alloc);
	default:
		return sizeof(struct dsm_wire_region);
	}
}

/* The victim still answers on this session. */
static bool is_served(struct session *s)
{
	struct dsm_wire_region region = { .name = "no such region" };

	return session_call(s, DSM_MSG_REGION_FIND, &region, sizeof(region),
			    NULL) == -ENOENT;
}

/* ---- form ---- */

TEST_F(message, wrong_length)
{
	static const char zero[DSM_WIRE_MESSAGE_BYTES];
	unsigned int sent = 0;

	for (unsigned int type = 1; type < DSM_MSG_NR; type++) {
		size_t right = payload_bytes(type);
		size_t lens[] = { right + 1, right ? right - 1 : 8,
				  right ? 0 : 16, 240 };

		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			struct dsm_wire_message m;

			ASSERT_EQ(0,
				  session_trusted(&self->s, ROGUE_LOW, VICTIM));
			ASSERT_EQ(0, session_request(&self->s, type, 1, zero,
						     lens[i]));
			/* That it is refused need not arrive. */
			if (session_answer(&self->s, &m, PROOF_MS) >= 0) {
				EXPECT_EQ(EPROTO, m.head.error);
				EXPECT_EQ(0, m.head.len);
			}
			EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS))
			{
				TH_LOG("type %u, %zu bytes", type, lens[i]);
			}
			session_close(&self->s);
			sent++;
		}
	}
	EXPECT_EQ(sent, refused(&self->victim));
}

TEST_F(message, malformed_head)
{
	static const struct {
		const char *name;
		struct dsm_wire_head head;
		size_t len;
	} bad[] = {
		{ "empty", {}, 0 },
		{ "half a head", { DSM_MSG_READY, 0, 0, 0, 0 }, 15 },
		{ "len too long", { DSM_MSG_REGION_FIND, 105, 0, 0, 0 }, 120 },
		{ "len too short", { DSM_MSG_REGION_FIND, 103, 0, 0, 0 }, 120 },
		{ "len far too long",
		  { DSM_MSG_REGION_FIND, 65535, 0, 0, 0 },
		  120 },
		{ "more than came", { DSM_MSG_REGION_FIND, 104, 0, 0, 0 }, 24 },
		{ "less than came", { DSM_MSG_REGION_FIND, 104, 0, 0, 0 }, 128 },
		{ "type 0", { 0, 0, 0, 0, 0 }, 16 },
		{ "next type", { DSM_MSG_NR, 0, 0, 0, 0 }, 16 },
		{ "last type", { 0x7fff, 0, 0, 0, 0 }, 16 },
		{ "an answer of no type", { DSM_MSG_REPLY, 0, 0, 0, 0 }, 16 },
		{ "an answer of the next type",
		  { DSM_MSG_REPLY | DSM_MSG_NR, 0, 0, 0, 0 },
		  16 },
		{ "reserved", { DSM_MSG_REGION_FIND, 104, 0, 0, 1 }, 120 },
		{ "reserved of an answer",
		  { DSM_MSG_REPLY | DSM_MSG_READY, 0, 0, 0, 1 },
		  16 },
		{ "a request with an error",
		  { DSM_MSG_REGION_FIND, 104, 0, 1, 0 },
		  120 },
		{ "as long as can be, and one",
		  { DSM_MSG_READY, 241, 0, 0, 0 },
		  257 },
		{ "twice as long", { DSM_MSG_READY, 496, 0, 0, 0 }, 512 },
	};
	char bytes[512] = {};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
		memcpy(bytes, &bad[i].head, sizeof(bad[i].head));
		/* The NIC itself refuses what fits into no receive. */
		EXPECT_EQ(bad[i].len <= DSM_WIRE_MESSAGE_BYTES,
			  !conn_send(&self->s.conn[0], bytes, bad[i].len))
		{
			TH_LOG("%s", bad[i].name);
		}
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS))
		{
			TH_LOG("%s", bad[i].name);
		}
		session_close(&self->s);
	}
	EXPECT_EQ(ARRAY_SIZE(bad) - 2, refused(&self->victim));
}

/* The same on a link that is up: it is lost, and can come back. */
TEST_F(message, malformed_on_a_link)
{
	struct dsm_wire_head head = { .type = DSM_MSG_NR };
	struct counters since;

	for (unsigned int i = 0; i < 2; i++) {
		ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM,
					&self->directory));
		ASSERT_EQ(0, conn_send(&self->s.conn[0], &head, sizeof(head)));
		for (unsigned int c = 0; c < ROGUE_CONNS; c++)
			EXPECT_TRUE(conn_is_closed(&self->s.conn[c], PROOF_MS));
		EXPECT_TRUE(link_becomes(VICTIM, ROGUE_LOW, "down", PROOF_MS));
		session_close(&self->s);
	}
	since = counters_since(VICTIM, 0, &self->victim);
	EXPECT_EQ(2, COUNT(since, LINKS_LOST));
}

/* ---- what is asked ---- */

struct question {
	const char *name;
	unsigned int type;
	int error;
	union {
		struct dsm_wire_region region;
		struct dsm_wire_name named;
		struct dsm_wire_revoke revoke;
		unsigned char bytes[sizeof(struct dsm_wire_region)];
	};
};

#define RANGE 0x200000000000ULL
#define SPAN (32ULL << 40)
#define PARTITION (SPAN / DSM_MAX_NODES)
#define NO_REGION 0x01ffffffffffffffULL

static const struct question questions[] = {
	{ "no name", DSM_MSG_REGION_FIND, EINVAL, {} },
	{ "no name to create", DSM_MSG_REGION_CREATE, EINVAL, {} },
	{ "no name to remove", DSM_MSG_REGION_REMOVE, EINVAL, {} },
	{ "reserved",
	  DSM_MSG_REGION_FIND,
	  EINVAL,
	  { .region = { .name = "x", .reserved = 1 } } },
	{ "reserved to create",
	  DSM_MSG_REGION_CREATE,
	  EINVAL,
	  { .region = { .name = "x", .reserved = 0x80000000 } } },
	{ "flags",
	  DSM_MSG_REGION_REMOVE,
	  EINVAL,
	  { .region = { .name = "x", .flags = 2 } } },
	{ "all flags",
	  DSM_MSG_REGION_FIND,
	  EINVAL,
	  { .region = { .name = "x", .flags = ~0U } } },
	{ "no such region",
	  DSM_MSG_REGION_FIND,
	  ENOENT,
	  { .region = { .name = "x" } } },
	{ "nothing to remove",
	  DSM_MSG_REGION_REMOVE,
	  ENOENT,
	  { .region = { .name = "x", .flags = DSM_WIRE_ADMIN } } },
	{ "id 0", DSM_MSG_REGION_CHECK, ENOENT, {} },
	{ "no name to restore", DSM_MSG_REGION_RESTORE, EINVAL, {} },
	{ "restore what is another's",
	  DSM_MSG_REGION_RESTORE,
	  EINVAL,
	  { .region = { .id = 0xffULL << 56, .name = "x" } } },
	{ "last id", DSM_MSG_REGION_CHECK, ENOENT, { .region = { .id = ~0 } } },
	{ "cursor at the end",
	  DSM_MSG_REGION_NEXT,
	  ENOENT,
	  { .region = { .cursor = ~0 } } },
	{ "no region is gone", DSM_MSG_REGION_GONE, 0, {} },
	{ "no region is revoked", DSM_MSG_REVOKE, 0, { .revoke = { .nr = 1 } } },
	{ "what is revoked is not known",
	  DSM_MSG_REVOKE,
	  0,
	  { .revoke = { .region = NO_REGION, .first = 3, .nr = 5 } } },
	{ "news of no region",
	  DSM_MSG_NAME_NEWS,
	  0,
	  { .region = { .id = ~0 } } },
	{ "no name to look up", DSM_MSG_NAME_LOOKUP, EINVAL, {} },
	{ "look up nowhere",
	  DSM_MSG_NAME_LOOKUP,
	  EIDRM,
	  { .named = { .region = NO_REGION, .name = "x" } } },
	{ "look up, reserved",
	  DSM_MSG_NAME_LOOKUP,
	  EINVAL,
	  { .named = { .region = NO_REGION, .name = "x", .reserved = 1 } } },
	{ "look up, flags",
	  DSM_MSG_NAME_LOOKUP,
	  EINVAL,
	  { .named = { .region = NO_REGION,
		       .name = "x",
		       .flags = DSM_WIRE_ANEW } } },
	{ "publish, flags",
	  DSM_MSG_NAME_PUBLISH,
	  EINVAL,
	  { .named = { .region = NO_REGION,
		       .name = "x",
		       .flags = DSM_WIRE_TAKE } } },
	{ "publish nowhere",
	  DSM_MSG_NAME_PUBLISH,
	  EIDRM,
	  { .named = { .region = NO_REGION,
		       .addr = RANGE,
		       .size = PAGE_BYTES,
		       .name = "x" } } },
	{ "publish null",
	  DSM_MSG_NAME_PUBLISH,
	  ERANGE,
	  { .named = { .size = PAGE_BYTES, .name = "x" } } },
	{ "publish behind the range",
	  DSM_MSG_NAME_PUBLISH,
	  ERANGE,
	  { .named = { .addr = RANGE + SPAN,
		       .size = PAGE_BYTES,
		       .name = "x" } } },
	{ "publish beyond the range",
	  DSM_MSG_NAME_PUBLISH,
	  ERANGE,
	  { .named = { .addr = RANGE, .size = SPAN + 1, .name = "x" } } },
	{ "publish around the end",
	  DSM_MSG_NAME_PUBLISH,
	  ERANGE,
	  { .named = { .addr = RANGE + PAGE_BYTES,
		       .size = ~0ULL - PAGE_BYTES,
		       .name = "x" } } },
	{ "publish nothing",
	  DSM_MSG_NAME_PUBLISH,
	  EINVAL,
	  { .named = { .addr = RANGE, .name = "x" } } },
};

TEST_F(message, absurd_questions)
{
	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		const struct question *q = &questions[i];
		int result = session_call(&self->s, q->type, q->bytes,
					  payload_bytes(q->type), NULL);

		EXPECT_EQ(-q->error, result < 0 ? result : 0)
		{
			TH_LOG("%s", q->name);
		}
	}
	EXPECT_TRUE(is_served(&self->s));
}

static long allocate(struct dsm *dsm, void *arg)
{
	struct dsm_ref *ref = arg;

	if (!dsm_alloc(dsm, 64, ref) || dsm_return_mut(dsm, ref))
		return -errno;
	return 0;
}

/* Of chunks that are the sender's alone, and no end of the region. */
TEST_F(message, revoked_keys)
{
	static const struct dsm_wire_revoke good[] = {
		{ .nr = 1 },
		{ .nr = 4096 * 64 },
		{ .first = 4096 * 64 - 1, .nr = 1 },
	};
	static const struct dsm_wire_revoke bad[] = {
		{ .nr = 0 },
		{ .first = 1, .nr = 4096 * 64 },
		{ .first = ~0U, .nr = 2 },
		{ .first = 4096 * 64, .nr = 1 },
		{ .nr = ~0U },
	};
	struct worker w;

	ASSERT_EQ(0, worker_start(&w, VICTIM, shared_region(), O_RDWR));
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct dsm_wire_revoke revoke = good[i];

		revoke.region = self->region;
		EXPECT_EQ(0, session_call(&self->s, DSM_MSG_REVOKE, &revoke,
					  sizeof(revoke), NULL));
	}
	EXPECT_EQ(0, worker_run(&w, allocate));
	worker_stop(&w);
	session_close(&self->s);
	EXPECT_TRUE(link_becomes(VICTIM, ROGUE_LOW, "down", PROOF_MS));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct dsm_wire_revoke revoke = bad[i];

		revoke.region = self->region;
		ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
		EXPECT_GT(0, session_call(&self->s, DSM_MSG_REVOKE, &revoke,
					  sizeof(revoke), NULL));
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
		session_close(&self->s);
	}
	EXPECT_EQ(ARRAY_SIZE(bad), refused(&self->victim));
}

/* Of an earlier life, and not an id that is still to be given out. */
TEST_F(message, restored_regions)
{
	const uint64_t ids = (uint64_t)VICTIM << 56;
	unsigned int restored = 0;

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	for (unsigned int i = 0; i < 32; i++) {
		struct dsm_wire_region region = { .id = ids | (~0ULL >> 8) };
		int result;

		snprintf(region.name, sizeof(region.name), "restored-%u", i);
		EXPECT_EQ(-EINVAL,
			  session_call(&self->s, DSM_MSG_REGION_RESTORE,
				       &region, sizeof(region), NULL));
		/* Of its names it takes that. */
		region.id = ids | (1 + i);
		result = session_call(&self->s, DSM_MSG_REGION_RESTORE, &region,
				      sizeof(region), NULL);
		if (result < 0) {
			EXPECT_EQ(-EINVAL, result);
			continue;
		}
		restored++;
		region.id = 0;
		region.flags = DSM_WIRE_ADMIN;
		EXPECT_LE(0, session_call(&self->s, DSM_MSG_REGION_REMOVE,
					  &region, sizeof(region), NULL));
	}
	EXPECT_LT(0, restored);
}

TEST_F(message, names_without_an_end)
{
	static const unsigned int types[] = {
		DSM_MSG_REGION_CREATE, DSM_MSG_REGION_FIND,
		DSM_MSG_REGION_REMOVE, DSM_MSG_NAME_PUBLISH,
		DSM_MSG_NAME_LOOKUP,
	};
	struct question q = {};

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		memset(&q, 0, sizeof(q));
		if (types[i] == DSM_MSG_NAME_PUBLISH ||
		    types[i] == DSM_MSG_NAME_LOOKUP) {
			q.named.region = self->region;
			memset(q.named.name, 'n', sizeof(q.named.name));
		} else {
			memset(q.region.name, 'n', sizeof(q.region.name));
		}
		EXPECT_EQ(-EINVAL, session_call(&self->s, types[i], q.bytes,
						sizeof(q.bytes), NULL));
	}
	EXPECT_TRUE(is_served(&self->s));
}

/* What others own: of a region, its record, its end and its names. */
TEST_F(message, foreign_regions)
{
	struct dsm_wire_region region = {};
	struct session *s = &self->s;
	unsigned int registrar = self->region >> 56;
	struct dsm_wire_message m;

	ASSERT_EQ(0, session_trusted(s, ROGUE_LOW, VICTIM));
	name_copy(region.name, shared_region());
	region.uid = 1000;
	if (registrar == VICTIM) {
		EXPECT_EQ(-EEXIST, session_call(s, DSM_MSG_REGION_CREATE,
						&region, sizeof(region), NULL));
		EXPECT_EQ(-EPERM, session_call(s, DSM_MSG_REGION_REMOVE,
					       &region, sizeof(region), NULL));
	} else {
		EXPECT_EQ(-ENOENT, session_call(s, DSM_MSG_REGION_FIND, &region,
						sizeof(region), NULL));
	}
	EXPECT_TRUE(is_served(s));
	/* Only its registrar says that a region is gone. */
	region.id = self->region;
	ASSERT_EQ(0, session_request(s, DSM_MSG_REGION_GONE, 1, &region,
				     sizeof(region)));
	if (session_answer(s, &m, PROOF_MS) >= 0)
		EXPECT_EQ(EPROTO, m.head.error);
	EXPECT_TRUE(conn_is_closed(&s->conn[0], PROOF_MS));
}

/* ---- answers ---- */

TEST_F(message, answers_that_nobody_asked_for)
{
	static const char zero[sizeof(struct dsm_wire_hello)];
	struct dsm_wire_message m;
	size_t len;

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	for (uint32_t call = 0; call < 40; call++) {
		unsigned int type = 1 + call % (DSM_MSG_NR - 1);

		len = message_fill(&m, type | DSM_MSG_REPLY, zero,
				   payload_bytes(type));
		m.head.call = call * 0x06bca1af;
		m.head.error = call & 1 ? ~0U : 0;
		ASSERT_EQ(0, conn_send(&self->s.conn[0], &m, len));
	}
	EXPECT_TRUE(is_served(&self->s));
}

TEST_F(message, one_number_for_two_requests)
{
	struct dsm_wire_region region = { .name = "no such region" };
	struct dsm_wire_message m;

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	for (unsigned int i = 0; i < 8; i++)
		ASSERT_EQ(0,
			  session_request(&self->s, DSM_MSG_REGION_FIND,
					  0xffffffff, &region, sizeof(region)));
	for (unsigned int i = 0; i < 8; i++) {
		ASSERT_EQ(16, session_answer(&self->s, &m, STEP_MS));
		EXPECT_EQ(0xffffffff, m.head.call);
		EXPECT_EQ(ENOENT, m.head.error);
	}
	EXPECT_TRUE(is_served(&self->s));
}

/* A process of the victim's that asks us about regions until it is told to end. */
struct asker {
	volatile int answered;
	unsigned int asked;
	int err;
};

static long job_ask(struct dsm *dsm, void *arg)
{
	struct asker *asker = arg;
	char name[DSM_NAME_BYTES];

	(void)dsm;
	/* Whose name is whose depends on the configuration. */
	do {
		snprintf(name, sizeof(name), "ask-%u", asker->asked++);
		errno = 0;
		dsm_detach(attach_at(VICTIM, name, O_RDONLY));
		asker->err = errno;
	} while (!asker->answered && asker->asked < 200);
	return asker->err;
}

TEST_F(message, bad_answers)
{
	static const struct {
		const char *name;
		int error; /* what the process gets */
		int answer;
		int len; /* to add */
		unsigned int type;
		uint64_t id; /* to flip */
		size_t at; /* byte to set */
		unsigned char value;
		bool closes;
	} bad[] = {
		{ .name = "good, but denied", .error = EPERM, .answer = EPERM },
		{ .name = "absurd error", .error = EPROTO, .answer = 0xfff },
		{ .name = "ERESTARTSYS", .error = EPROTO, .answer = 512 },
		{ .name = "negative error", .error = EPROTO, .answer = -2 },
		{ .name = "short", .error = EPROTO, .len = -1 },
		{ .name = "long", .error = EPROTO, .len = 1 },
		{ .name = "nothing", .error = EPROTO, .len = -104 },
		{ .name = "another's id", .error = EPROTO, .id = 1ULL << 56 },
		{ .name = "nobody's id", .error = EPROTO, .id = 1ULL << 63 },
		{ .name = "another name",
		  .error = EPROTO,
		  .at = offsetof(struct dsm_wire_region, name),
		  .value = 'x' },
		{ .name = "no name",
		  .error = EPROTO,
		  .at = offsetof(struct dsm_wire_region, name) },
		{ .name = "reserved",
		  .error = EPROTO,
		  .at = offsetof(struct dsm_wire_region, reserved),
		  .value = 1 },
		{ .name = "another type",
		  .error = EHOSTDOWN,
		  .type = DSM_MSG_REGION_FIND ^ DSM_MSG_NAME_LOOKUP,
		  .closes = true },
	};
	struct worker w;
	struct asker *asker;

	/* Before there is a link, as a fork should have no part in it. */
	ASSERT_EQ(0, worker_start(&w, VICTIM, NULL, 0));
	asker = w.arg;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct dsm_wire_message m = {};
		struct dsm_wire_region region = {};
		char bytes[sizeof(region) + 1] = {};

		if (!self->s.conn[0].id)
			ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM,
						&self->directory));
		asker->answered = 0;
		ASSERT_EQ(0, worker_post(&w, job_ask));
		ASSERT_EQ(0, session_asked(&self->s, DSM_MSG_REGION_FIND, &m,
					   STEP_MS));
		region = m.region;
		region.id = 5 ^ bad[i].id;
		region.mode = 0777;
		memcpy(bytes, &region, sizeof(region));
		if (bad[i].at)
			bytes[bad[i].at] = (char)bad[i].value;
		asker->answered = 1;
		m.head.type ^= bad[i].type;
		/* Another number first: that is ignored. */
		m.head.call += 1;
		ASSERT_EQ(0, session_reply(&self->s, &m, 0, bytes, 1));
		m.head.call -= 1;
		ASSERT_EQ(0, session_reply(&self->s, &m, bad[i].answer, bytes,
					   sizeof(region) + bad[i].len));
		EXPECT_EQ(bad[i].error, worker_wait(&w, WAIT_MS))
		{
			TH_LOG("%s", bad[i].name);
		}
		if (bad[i].closes) {
			EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
			session_close(&self->s);
		} else {
			EXPECT_TRUE(is_served(&self->s));
		}
	}
	worker_stop(&w);
}

static long job_alloc_there(struct dsm *dsm, void *arg)
{
	return dsm_alloc_on(dsm, ROGUE_LOW, PAGE_BYTES, arg) ? errno : 0;
}

TEST_F(message, bad_answers_to_an_allocation)
{
	const uint64_t large = DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE, 1);
	const uint64_t line = DSM_WORD(DSM_STATE_LIVE, 1, 1);
	/* What the process asked for, and that is at home with who answers. */
	const struct {
		const char *name;
		int error;
		uint64_t addr, version, size;
	} bad[] = {
		{ "right", 0, RANGE_BASE, large, PAGE_BYTES },
		{ "less", EPROTO, RANGE_BASE, line, 64 },
		{ "nothing", EPROTO, RANGE_BASE, large, 0 },
		{ "too much", EPROTO, RANGE_BASE, large,
		  PARTITION_BYTES + PAGE_BYTES },
		{ "the asker's", EPROTO, RANGE_BASE + VICTIM * PARTITION_BYTES,
		  large, PAGE_BYTES },
		{ "out of range", EPROTO, RANGE_BASE - PAGE_BYTES, large,
		  PAGE_BYTES },
	};
	struct worker w;

	ASSERT_EQ(0, worker_start(&w, VICTIM, shared_region(), O_RDWR));
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct dsm_wire_alloc answer = { .addr = bad[i].addr,
						 .version = bad[i].version,
						 .size = bad[i].size };
		struct dsm_wire_message m = {};

		ASSERT_EQ(0, worker_post(&w, job_alloc_there));
		ASSERT_EQ(0,
			  session_asked(&self->s, DSM_MSG_ALLOC, &m, STEP_MS));
		EXPECT_EQ(PAGE_BYTES, m.alloc.size);
		ASSERT_EQ(0, session_reply(&self->s, &m, 0, &answer,
					   sizeof(answer)));
		EXPECT_EQ(bad[i].error, worker_wait(&w, WAIT_MS))
		{
			TH_LOG("%s", bad[i].name);
		}
	}
	EXPECT_TRUE(is_served(&self->s));
	worker_stop(&w);
}

/* ---- floods ---- */

TEST_F(message, flood_without_taking_answers)
{
	struct dsm_wire_region region = { .name = "no such region" };
	struct dsm_wire_message m;
	size_t len =
		message_fill(&m, DSM_MSG_REGION_FIND, &region, sizeof(region));

	/* One for the hello; the answers find no receive. */
	conn_receives = 1;
	ASSERT_EQ(0, session_open(&self->s, ROGUE_LOW, VICTIM));
	conn_receives = 0;
	ASSERT_EQ(0, session_prove(&self->s));
	ASSERT_EQ(0, conn_flood(&self->s.conn[0], &m, len, 200));
	EXPECT_TRUE(conn_is_closed(&self->s.conn[0], SILENCE_MS));
	session_close(&self->s);

	conn_receives = 48;
	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	EXPECT_TRUE(is_served(&self->s));
}

TEST_F(message, disconnect_with_requests_under_way)
{
	struct dsm_wire_name name = {
		.region = self->region,
		.flags = DSM_WIRE_WATCH,
		.name = "never",
	};
	struct dsm_wire_message m;
	size_t len = message_fill(&m, DSM_MSG_NAME_LOOKUP, &name, sizeof(name));

	for (unsigned int i = 0; i < 4; i++) {
		ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM,
					&self->directory));
		ASSERT_EQ(0, conn_flood(&self->s.conn[0], &m, len, 100));
		session_close(&self->s);
	}
}

/* ---- at random ---- */

static size_t valid_message(struct dsm_wire_message *m, uint32_t *state,
			    uint64_t region)
{
	unsigned int type = 1 + next_random(state) % (DSM_MSG_NR - 1);
	struct question q = {};
	size_t len;

	switch (type) {
	case DSM_MSG_NAME_PUBLISH:
	case DSM_MSG_NAME_LOOKUP:
		q.named.region = region;
		q.named.addr = RANGE;
		q.named.size = PAGE_BYTES;
		memcpy(q.named.name, "fuzz", 4);
		break;
	default:
		q.region.id = NO_REGION;
		/* What is removed all peers are told, and we would not answer. */
		memcpy(q.region.name,
		       type == DSM_MSG_REGION_REMOVE ? "none" : "fuzz", 4);
		break;
	}
	len = message_fill(m, type, NULL, 0);
	memcpy(m->bytes, q.bytes, sizeof(q.bytes));
	len += payload_bytes(type);
	m->head.len = payload_bytes(type);
	if (!(next_random(state) % 8))
		m->head.type |= DSM_MSG_REPLY;
	return len;
}

static size_t mutate(struct dsm_wire_message *m, size_t len, uint32_t *state)
{
	unsigned char *bytes = (unsigned char *)m;

	for (unsigned int i = next_random(state) % 4; i; i--) {
		uint32_t random = next_random(state);
		size_t at = random % (len ? len : 1);

		switch (random >> 16 & 7) {
		case 0:
			bytes[at] ^= 1U << (random >> 24 & 7);
			break;
		case 1:
			bytes[at] = random >> 24;
			break;
		case 2:
			memset(bytes + at, random & 1 << 24 ? 0xff : 0,
			       len - at < 8 ? len - at : 8);
			break;
		case 3: /* another length, which it tells */
			len = 16 + (random >> 20) % 241;
			m->head.len = len - 16;
			break;
		case 4: /* and which it does not */
			len = (random >> 20) % 257;
			break;
		default: /* behind the head it is more often let in */
			at = 16 + random % 104;
			bytes[at] ^= random >> 24;
			break;
		}
	}
	/* What removes regions of others is let in, and is not looked for here. */
	if (m->head.type == DSM_MSG_REGION_REMOVE)
		m->region.flags &= ~DSM_WIRE_ADMIN;
	return len;
}

/* What no state of a session lets in. */
static bool is_malformed(const struct dsm_wire_message *m, size_t len)
{
	unsigned int type = m->head.type & ~DSM_MSG_REPLY;
	bool answer = m->head.type & DSM_MSG_REPLY;

	return len < sizeof(m->head) || m->head.len != len - sizeof(m->head) ||
	       m->head.reserved || !type || type >= DSM_MSG_NR ||
	       (!answer &&
		(m->head.error || m->head.len != payload_bytes(type)));
}

/* Well-formed, but it may close the session for what it says. */
static bool may_close(const struct dsm_wire_message *m)
{
	return m->head.type <= DSM_MSG_READY ||
	       m->head.type == DSM_MSG_REGION_GONE;
}

TEST_F_TIMEOUT(message, mutants, 2400)
{
	unsigned int mutants = rounds(200), sessions = 0, bad = 0, answers = 0;
	const char *given = getenv("ROGUE_SEED");
	uint32_t state = given ? strtoul(given, NULL, 0) : 20250923;
	struct dsm_wire_message m, reply;
	struct session *s = &self->s;

	TH_LOG("seed %u, %u mutants", state, mutants);
	for (unsigned int i = 0; i < mutants; i++) {
		uint32_t before = state;
		size_t len = valid_message(&m, &state, self->region);

		len = mutate(&m, len, &state);
		if (!s->conn[0].id) {
			/* Now and then on a link that is up. */
			ASSERT_EQ(0, sessions++ % 8
					     ? session_trusted(s, ROGUE_LOW,
							       VICTIM)
					     : session_up(s, ROGUE_LOW, VICTIM,
							  &self->directory));
		}
		/* A session that is not up is closed after a while anyhow. */
		if (conn_is_closed(&s->conn[0], 0) ||
		    conn_send(&s->conn[0], &m, len)) {
			EXPECT_TRUE(conn_is_closed(&s->conn[0], PROOF_MS));
		} else if (is_malformed(&m, len)) {
			bad++;
			EXPECT_TRUE(conn_is_closed(&s->conn[0], PROOF_MS))
			{
				TH_LOG("seed %u", before);
			}
		} else if (may_close(&m) || !is_served(s)) {
			usleep(20000);
			conn_is_closed(&s->conn[0], 0);
		}
		while (!s->conn[0].closed && session_answer(s, &reply, 0) > 0)
			answers++;
		if (s->conn[0].closed)
			session_close(s);
	}
	TH_LOG("%u sessions, %u malformed, %u more answers", sessions, bad,
	       answers);
}

TEST_HARNESS_MAIN
