// SPDX-License-Identifier: GPL-2.0-only
/* Regions: their names, owners and modes, and who may attach and how. */
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include "harness.h"

FIXTURE(region)
{
	char name[DSM_NAME_BYTES];
};

FIXTURE_SETUP(region)
{
	umask(0);
	regions_clear();
	region_name(self->name);
}

FIXTURE_TEARDOWN(region)
{
	regions_clear();
}

/* What a process of other ids tries; a child's exit status is the errno. */
struct attempt {
	const char *region;
	unsigned int node;
	uid_t uid;
	gid_t gid;
	gid_t group; /* supplementary */
	int open; /* -1: remove the region instead */
	mode_t mode; /* not 0: create the region instead */
};

static int attempt_child(void *p)
{
	const struct attempt *a = p;
	struct dsm_attach_args args = { .size = sizeof(args), .node = a->node };
	int fd, err;

	if (setgroups(a->group ? 1 : 0, &a->group) ||
	    setresgid(a->gid, a->gid, a->gid) ||
	    setresuid(a->uid, a->uid, a->uid))
		return 255;
	if (a->mode)
		return dsm_region_create(a->node, a->region, a->mode) ? errno
								      : 0;
	if (a->open < 0)
		return dsm_region_remove(a->node, a->region) ? errno : 0;

	fd = device_open(a->open);
	if (fd < 0)
		return 254;
	name_copy(args.name, a->region);
	err = -request(fd, DSM_IOC_ATTACH, &args);
	close(fd);
	return err;
}

static int attempt(struct attempt a)
{
	return in_child(attempt_child, &a);
}

static int create_as(const char *region, uid_t uid, mode_t mode)
{
	return attempt((struct attempt){ .region = region,
					 .node = NODE_HOME,
					 .uid = uid,
					 .gid = uid,
					 .mode = mode });
}

static int attach_as(const char *region, uid_t uid, gid_t gid, gid_t group,
		     int flags)
{
	return attempt((struct attempt){ .region = region,
					 .node = NODE_PEER,
					 .uid = uid,
					 .gid = gid,
					 .group = group,
					 .open = flags });
}

static int remove_as(const char *region, uid_t uid)
{
	return attempt((struct attempt){ .region = region,
					 .node = NODE_PEER,
					 .uid = uid,
					 .gid = uid,
					 .open = -1 });
}

TEST_F(region, name_is_taken_on_all_nodes)
{
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->name, 0600));
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		EXPECT_EQ(-1, dsm_region_create(node, self->name, 0600));
		EXPECT_EQ(EEXIST, errno);
	}
	ASSERT_EQ(0, dsm_region_remove(NODE_LAST, self->name));
	EXPECT_EQ(0, dsm_region_create(NODE_PEER, self->name, 0600));
}

TEST_F(region, id_is_never_used_again)
{
	__u64 last[DSM_MAX_NODES] = {};

	for (unsigned int i = 0; i < rounds(8); i++) {
		struct dsm_region_args found;

		ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->name, 0600));
		ASSERT_EQ(0, region_find(self->name, &found));
		EXPECT_NE(0, found.id);
		EXPECT_NE(last[found.registrar], found.id);
		last[found.registrar] = found.id;
		ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->name));
	}
}

TEST_F(region, mode_beyond_permissions_is_EINVAL)
{
	EXPECT_EQ(-1, dsm_region_create(NODE_HOME, self->name, 01000));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, dsm_region_create(NODE_HOME, self->name, 0100600));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(region, unknown_name_is_ENOENT)
{
	EXPECT_EQ(-1, dsm_region_remove(NODE_HOME, self->name));
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(region, list_shows_owner_group_and_mode_less_the_umask)
{
	struct dsm_region_args found;

	umask(027);
	ASSERT_EQ(0, create_as(self->name, 1000, 0777));
	ASSERT_EQ(0, region_find(self->name, &found));
	EXPECT_EQ(1000, found.uid);
	EXPECT_EQ(1000, found.gid);
	EXPECT_EQ(0750, found.mode);
	EXPECT_EQ(0, found.nr_names);
}

TEST_F(region, list_shows_each_region_once_from_any_node)
{
	char names[10][DSM_NAME_BYTES];
	unsigned int seen[10] = {};

	for (unsigned int i = 0; i < 10; i++) {
		region_name(names[i]);
		ASSERT_EQ(0, dsm_region_create(NODE_HOME + i % NODE_LAST,
					       names[i], 0600));
	}
	for (unsigned int asker = NODE_HOME; asker <= NODE_LAST; asker++) {
		for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
			struct dsm_region_args args = {
				.size = sizeof(args),
				.node = asker,
				.registrar = node,
			};
			int fd = device_open(O_RDWR), err;
			unsigned int calls = 0;

			ASSERT_LE(0, fd);
			while (!(err = request(fd, DSM_IOC_REGION_NEXT,
					       &args)) &&
			       calls++ < 100)
				for (unsigned int i = 0; i < 10; i++)
					seen[i] += !strcmp(names[i], args.name);
			EXPECT_EQ(-ENOENT, err);
			close(fd);
		}
	}
	for (unsigned int i = 0; i < 10; i++)
		EXPECT_EQ(NODE_LAST, seen[i]);
}

TEST_F(region, mode_decides_by_owner_group_and_others)
{
	static const struct {
		mode_t mode;
		uid_t uid;
		gid_t gid, group;
		int ro, rw; /* errno of attaching read-only, read-write */
	} rule[] = {
		{ 0600, 1000, 1000, 0, 0, 0 },
		{ 0600, 1001, 1001, 0, EACCES, EACCES },
		{ 0600, 1001, 1000, 0, EACCES, EACCES },
		{ 0400, 1000, 1000, 0, 0, EACCES },
		{ 0640, 1001, 1000, 0, 0, EACCES },
		{ 0660, 1001, 1000, 0, 0, 0 },
		{ 0660, 1001, 1001, 1000, 0, 0 },
		{ 0660, 1001, 1001, 1002, EACCES, EACCES },
		{ 0604, 1001, 1001, 0, 0, EACCES },
		{ 0606, 1001, 1001, 0, 0, 0 },
		/* The first class that fits decides alone. */
		{ 0066, 1000, 1000, 0, EACCES, EACCES },
		{ 0606, 1001, 1000, 0, EACCES, EACCES },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rule); i++) {
		ASSERT_EQ(0, create_as(self->name, 1000, rule[i].mode));
		EXPECT_EQ(rule[i].ro,
			  attach_as(self->name, rule[i].uid, rule[i].gid,
				    rule[i].group, O_RDONLY))
		TH_LOG("rule %u, read-only", i);
		EXPECT_EQ(rule[i].rw,
			  attach_as(self->name, rule[i].uid, rule[i].gid,
				    rule[i].group, O_RDWR))
		TH_LOG("rule %u, read-write", i);
		ASSERT_EQ(0, remove_as(self->name, 1000));
	}
}

TEST_F(region, remove_is_for_owner_and_administrator)
{
	ASSERT_EQ(0, create_as(self->name, 1000, 0666));
	EXPECT_EQ(EPERM, remove_as(self->name, 1001));
	EXPECT_EQ(0, remove_as(self->name, 1000));
	ASSERT_EQ(0, create_as(self->name, 1000, 0666));
	EXPECT_EQ(0, dsm_region_remove(NODE_LAST, self->name));
}

TEST_F(region, read_only_file_can_only_read)
{
	struct dsm_attach_args attach = { .size = sizeof(attach),
					  .node = NODE_HOME };
	struct dsm_object_args object = { .size = sizeof(object) };
	struct dsm_name_args name = { .size = sizeof(name), .name = "it" };
	struct dsm_ref live, frozen;
	struct dsm *dsm;
	int fd;

	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->name, 0600));
	dsm = attach_at(NODE_HOME, self->name, O_RDWR);
	ASSERT_NE(NULL, dsm);
	ASSERT_NE(NULL, dsm_alloc(dsm, PAGE_BYTES, &live));
	ASSERT_NE(NULL, dsm_alloc(dsm, PAGE_BYTES, &frozen));
	ASSERT_EQ(0, dsm_freeze(dsm, &frozen));
	ASSERT_EQ(0, dsm_publish(dsm, "it", &frozen));
	dsm_detach(dsm);

	fd = device_open(O_RDONLY);
	ASSERT_LE(0, fd);
	name_copy(attach.name, self->name);
	ASSERT_EQ(0, request(fd, DSM_IOC_ATTACH, &attach));
	object.ref.size = PAGE_BYTES;
	EXPECT_EQ(-EACCES, request(fd, DSM_IOC_ALLOC, &object));
	object.ref = live;
	EXPECT_EQ(-EACCES, request(fd, DSM_IOC_DROP, &object));
	EXPECT_EQ(-EACCES, request(fd, DSM_IOC_FREEZE, &object));
	EXPECT_EQ(0, request(fd, DSM_IOC_LOOKUP, &name));
	name_copy(name.name, "other");
	EXPECT_EQ(-EACCES, request(fd, DSM_IOC_PUBLISH, &name));
	close(fd);
}

TEST_F(region, works_whichever_node_keeps_its_record)
{
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		struct dsm_region_args found;
		struct dsm_ref ref, got;
		struct dsm *dsm;

		ASSERT_EQ(0, region_name_at(node, self->name));
		dsm = attach_at(NODE_HOME, self->name, O_RDWR | O_CREAT);
		ASSERT_NE(NULL, dsm);
		ASSERT_NE(NULL, dsm_alloc(dsm, PAGE_BYTES, &ref));
		ASSERT_EQ(0, dsm_freeze(dsm, &ref));
		ASSERT_EQ(0, dsm_publish(dsm, "it", &ref));
		dsm_detach(dsm);
		ASSERT_EQ(0, region_find(self->name, &found));
		EXPECT_EQ(node, found.registrar);
		EXPECT_EQ(1, found.nr_names);

		dsm = attach_at(NODE_PEER, self->name, O_RDONLY);
		ASSERT_NE(NULL, dsm);
		ASSERT_EQ((const void *)(uintptr_t)ref.addr,
			  dsm_lookup(dsm, "it", 0, &got));
		EXPECT_EQ(0, memcmp(&ref, &got, sizeof(ref)));
		dsm_detach(dsm);
		EXPECT_EQ(0, dsm_region_remove(NODE_LAST, self->name));
	}
}

TEST_HARNESS_MAIN
