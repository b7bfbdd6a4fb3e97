// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Comparing addresses, by words: the compiler would compare them byte by byte. */
#ifndef BPVS_ADDRESS_H
#define BPVS_ADDRESS_H

#include <bpf/bpf_helpers.h>
#include "abi.h"

static __always_inline int is_same_address(const struct address *one, const struct address *other)
{
	return one->words[0] == other->words[0] && one->words[1] == other->words[1] &&
	       one->words[2] == other->words[2] && one->words[3] == other->words[3];
}

static __always_inline int is_unspecified(const struct address *address)
{
	return !(address->words[0] | address->words[1] | address->words[2] | address->words[3]);
}

#endif
