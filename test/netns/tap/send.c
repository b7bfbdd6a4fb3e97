// SPDX-License-Identifier: Apache-2.0
/*
 * send.c DEVICE SPLIT: makes a TAP device whose frames arrive in page fragments, says "ready", and for each line of hex
 * on its input sends one frame, of which only the first SPLIT bytes are linear (IFF_NAPI_FRAGS). Ends with its input.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static size_t decode(const char *line, unsigned char *frame)
{
	size_t length = 0;
	unsigned int byte;

	for (; sscanf(line, "%2x", &byte) == 1; line += 2)
		frame[length++] = byte;
	return length;
}

int main(int argc, char **argv)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_NAPI | IFF_NAPI_FRAGS };
	size_t split = argc > 2 ? strtoul(argv[2], NULL, 10) : 14;
	unsigned char frame[2048];
	char line[4096];
	int tap;

	strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
	tap = open("/dev/net/tun", O_RDWR);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &request)) {
		perror("send: TUNSETIFF");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		size_t length = decode(line, frame);
		struct iovec parts[] = { { frame, split }, { frame + split, length - split } };

		if (writev(tap, parts, 2) < 0)
			perror("send: writev");
		puts("sent");
		fflush(stdout);
	}
	return 0;
}
