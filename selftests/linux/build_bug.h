/* SPDX-License-Identifier: GPL-2.0-only */
/* What kmod/wire.h needs of the kernel's header of that name. */
#ifndef BUILD_BUG_H
#define BUILD_BUG_H

#include <assert.h>

#endif /* BUILD_BUG_H */
