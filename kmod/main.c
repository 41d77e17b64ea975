// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>
#include "config.h"
#include "copy.h"
#include "dev.h"
#include "node.h"

static int __init dsm_init(void)
{
	int err;

	err = dsm_copy_init();
	if (err)
		return err;
	err = dsm_node_init();
	if (err)
		goto exit_copy;
	err = dsm_dev_init();
	if (err)
		goto exit_node;
	err = dsm_config_init();
	if (err)
		goto exit_dev;
	return 0;

exit_dev:
	dsm_dev_exit();
exit_node:
	dsm_node_exit();
exit_copy:
	dsm_copy_exit();
	return err;
}

static void __exit dsm_exit(void)
{
	dsm_config_exit();
	dsm_dev_exit();
	dsm_node_exit();
	dsm_copy_exit();
}

module_init(dsm_init);
module_exit(dsm_exit);

MODULE_DESCRIPTION("Ownership-guided distributed shared memory");
MODULE_LICENSE("GPL");
MODULE_SOFTDEP("pre: hmac sha256");
