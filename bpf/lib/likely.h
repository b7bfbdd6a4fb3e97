// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the compiler is to lay out in a row: the way of an ordinary packet of a known connection. Between two packets
 * the stack throws it out of the first cache, so each line of instructions less is time.
 */
#ifndef BPVS_LIKELY_H
#define BPVS_LIKELY_H

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
