/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_CONFIG_H
#define DSM_CONFIG_H

struct dsm_info;

int dsm_config_init(void);
void dsm_config_exit(void);
int dsm_config_info(struct dsm_info *info);

#endif /* DSM_CONFIG_H */
