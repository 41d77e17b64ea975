/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_WINDOW_H
#define DSM_WINDOW_H

struct dsm_file;
struct file;
struct vm_area_struct;

int dsm_window_mmap(struct file *file, struct vm_area_struct *vma);
void dsm_held_end(struct dsm_file *file, bool (*other)(struct dsm_file *file, u64 addr));
bool dsm_held_has(const struct dsm_file *file, u64 addr);
void dsm_held_free(struct dsm_file *file);

#endif /* DSM_WINDOW_H */
