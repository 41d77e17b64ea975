// SPDX-License-Identifier: GPL-2.0-only
/* What libdsm adds to the kernel's interface. */
#include <fcntl.h>
#include <sys/stat.h>

#include "harness.h"

FIXTURE(lib)
{
	char region[DSM_NAME_BYTES];
};

FIXTURE_SETUP(lib)
{
	umask(022);
	regions_clear();
	region_name(self->region);
	setenv("DSM_NODE", "1", 1);
}

FIXTURE_TEARDOWN(lib)
{
	regions_clear();
}

TEST_F(lib, attach_creates_a_region_on_request_only)
{
	struct dsm_region_args found;
	struct dsm *dsm;

	EXPECT_EQ(NULL, dsm_attach(self->region, O_RDWR, 0));
	EXPECT_EQ(ENOENT, errno);
	dsm = dsm_attach(self->region, O_RDWR | O_CREAT | O_EXCL, 0666);
	ASSERT_NE(NULL, dsm);
	ASSERT_EQ(0, region_find(self->region, &found));
	EXPECT_EQ(0644, found.mode);
	dsm_detach(dsm);
	EXPECT_EQ(NULL,
		  dsm_attach(self->region, O_RDWR | O_CREAT | O_EXCL, 0600));
	EXPECT_EQ(EEXIST, errno);
	dsm = dsm_attach(self->region, O_RDWR | O_CREAT, 0600);
	EXPECT_NE(NULL, dsm);
	dsm_detach(dsm);
	dsm = dsm_attach(self->region, O_RDONLY, 0);
	EXPECT_NE(NULL, dsm);
	dsm_detach(dsm);
}

TEST_F(lib, detach_makes_room_for_the_next)
{
	char second[DSM_NAME_BYTES];

	region_name(second);
	for (unsigned int i = 0; i < rounds(10); i++) {
		struct dsm *dsm = attach_at(NODE_HOME + i % NODE_LAST,
					    i % 2 ? self->region : second,
					    O_RDWR | O_CREAT);

		ASSERT_NE(NULL, dsm);
		EXPECT_EQ(NULL,
			  dsm_attach(self->region, O_RDWR | O_CREAT, 0600));
		EXPECT_EQ(EBUSY, errno);
		dsm_detach(dsm);
	}
	dsm_detach(NULL);
}

TEST_F(lib, environment_names_the_node)
{
	struct dsm *dsm;

	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		dsm = attach_at(node, self->region, O_RDWR | O_CREAT);
		ASSERT_NE(NULL, dsm);
		EXPECT_EQ(node, dsm_node(dsm));
		dsm_detach(dsm);
	}
	/* Three are up: none is the only one. */
	unsetenv("DSM_NODE");
	EXPECT_EQ(NULL, dsm_attach(self->region, O_RDWR, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(NULL, attach_at(NODE_UNKNOWN, self->region, O_RDWR));
	EXPECT_EQ(ENODEV, errno);
}

TEST_F(lib, bad_names_are_EINVAL)
{
	char name[DSM_NAME_BYTES + 1];

	EXPECT_EQ(NULL, dsm_attach("", O_RDWR | O_CREAT, 0600));
	EXPECT_EQ(EINVAL, errno);
	memset(name, 'x', DSM_NAME_BYTES);
	name[DSM_NAME_BYTES] = '\0';
	EXPECT_EQ(NULL, dsm_attach(name, O_RDWR | O_CREAT, 0600));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, dsm_region_create(NODE_HOME, name, 0600));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(lib, home_of_an_address)
{
	struct dsm *dsm = attach_at(NODE_HOME, self->region, O_RDWR | O_CREAT);
	const char *base = (const char *)0x200000000000UL;

	ASSERT_NE(NULL, dsm);
	EXPECT_EQ(0, dsm_home(dsm, base));
	EXPECT_EQ(1, dsm_home(dsm, base + (1UL << 39)));
	EXPECT_EQ(63, dsm_home(dsm, base + (1UL << 45) - 1));
	EXPECT_EQ(-1, dsm_home(dsm, base - 1));
	EXPECT_EQ(ERANGE, errno);
	EXPECT_EQ(-1, dsm_home(dsm, base + (1UL << 45)));
	EXPECT_EQ(ERANGE, errno);
	dsm_detach(dsm);
}

TEST_HARNESS_MAIN
