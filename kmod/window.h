/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_WINDOW_H
#define DSM_WINDOW_H

#include <linux/types.h>

struct dsm_file;
struct file;
struct vm_area_struct;

int dsm_window_mmap(struct file *file, struct vm_area_struct *vma);

/* Does another process of the region say that it holds an object? */
typedef bool dsm_held_other(struct dsm_file *file, u64 addr, unsigned int *patience);

void dsm_held_end(struct dsm_file *file, dsm_held_other *other);
bool dsm_held_has(const struct dsm_file *file, u64 addr, unsigned int *patience);
void dsm_held_abandon(struct dsm_file *file, u64 addr);
void dsm_held_free(struct dsm_file *file);

#endif /* DSM_WINDOW_H */
