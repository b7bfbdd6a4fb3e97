// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CRC-32C of a packet of which only some bytes change, without reading the others. The CRC is linear: what the change
 * adds to it is the remainder of the changed bits, times x to the power of the bits that follow them, by the CRC's
 * polynomial. Remainders are reflected, as everywhere with this CRC: the highest bit is the coefficient of 1.
 */
#ifndef BPVS_CRC32C_H
#define BPVS_CRC32C_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CRC32C_POLYNOMIAL 0x82f63b78U
#define CRC32C_DIGIT_BITS 4
#define CRC32C_DIGITS 4 /* a packet's length has 16 bits */
#define CRC32C_DIGIT_VALUES (1 << CRC32C_DIGIT_BITS)

/* x^(8 * value * 16^digit) modulo the polynomial: a length is the product of what its hexadecimal digits stand for. */
/* clang-format off */
static const __u32 crc32c_powers[CRC32C_DIGITS][CRC32C_DIGIT_VALUES] = {
	{
		0x80000000, 0x00800000, 0x00008000, 0x00000080, 0x82f63b78, 0xfbc3faf9, 0x8b277743, 0x52a0c93f,
		0x6ea2d55c, 0x1c08b7d6, 0xf56e0ef4, 0x34019664, 0xa66805eb, 0x7a1f6b24, 0xe75d06aa, 0xc94ec098,
	}, {
		0x80000000, 0x18b8ea18, 0x510ac59a, 0xb2dea967, 0xb82be955, 0x36c41f1c, 0x19b29a35, 0xc9e90b9e,
		0xb8fdb1e7, 0xe55ef1f3, 0x1fe0b5c3, 0xe0553f1e, 0x18e4a304, 0x2b830011, 0x56993a31, 0x0246e2e6,
	}, {
		0x80000000, 0x88e56f72, 0x74c360a4, 0x631bb273, 0xe4172b16, 0x71892b1b, 0x835305c9, 0x196b1eae,
		0x0d65762a, 0xafc81338, 0xb5a50ab7, 0xf373c3ac, 0x5f60970f, 0xd46d3063, 0x3a5275ea, 0x02331c01,
	}, {
		0x80000000, 0x35d73a62, 0x28461564, 0x43eefc9f, 0xbf455269, 0x5edcdeb9, 0x65059450, 0x4e6f41a4,
		0xe2ea32dc, 0xf5b95b32, 0x695a4c87, 0xf204502c, 0x9a4f01b6, 0x941a0916, 0x4303cb97, 0x4c3d3d65,
	},
};
/* clang-format on */

static __always_inline __u32 multiply_crc32c(__u32 a, __u32 b)
{
	__u32 product = 0, top, bottom;
	int i;

	/* By multiplication with one bit: for masks made of it, verifiers since Linux 6.18 walk both ways at each step.
	 */
	for (i = 0; i < 32; i++) {
		top = a >> 31;
		bottom = b & 1;
		barrier_var(top);
		barrier_var(bottom);
		product ^= b * top;
		b = b >> 1 ^ bottom * CRC32C_POLYNOMIAL;
		a <<= 1;
	}
	return product;
}

/*
 * What the CRC changes by when the first four bytes of a message do. Not static: so the verifier looks at it once, and
 * not again at every call with all that is known there.
 * @param difference of these bytes, exclusive or, the first byte lowest
 * @param length of the whole message, below 65536
 */
__attribute__((noinline)) __u32 crc32c_difference(__u32 difference, __u32 length)
{
	__u32 digit, value;

	for (digit = 0; digit < CRC32C_DIGITS; digit++) {
		value = length >> digit * CRC32C_DIGIT_BITS & (CRC32C_DIGIT_VALUES - 1);
		if (value)
			difference = multiply_crc32c(difference, crc32c_powers[digit][value]);
	}
	return difference;
}

#endif
