// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest code of the Cpu benchmark: the same object on every emulated Cpu and, linked to low addresses, on the hardware. Each
 * bench_* function does its work n times and returns a value that depends on all of it.
 */
#include <linux/compiler.h>

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

/* The traced function, and its replacement. */
noinline long traced(long x)
{
	barrier();
	return x + 1;
}

noinline long lp_traced(long x)
{
	barrier();
	return x + 2;
}

/* The return address of the emulated calls: a breakpoint. */
noinline notrace void bench_done(void)
{
}

/* n calls; and the same loop with no call in it, to be subtracted. */
noinline notrace long bench_call(long n)
{
	long x = 0;

	for (long i = 0; i < n; i++)
		x = traced(x);
	return x;
}

noinline notrace long bench_loop(long n)
{
	long x = 0;

	for (long i = 0; i < n; i++) {
		barrier();
		x++;
	}
	return x;
}

static u32 crc_table[256];
static u8 buffer[4096];
static u8 copy[4096];

static notrace void fill(u64 seed)
{
	for (int i = 0; i < 4096; i++) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		buffer[i] = seed >> 56;
	}
}

noinline notrace long bench_crc(long n)
{
	u32 crc = ~0u;

	for (u32 i = 0; i < 256; i++) {
		u32 c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
		crc_table[i] = c;
	}
	fill(1);
	for (long r = 0; r < n; r++) {
		for (int i = 0; i < 4096; i++)
			crc = crc_table[(crc ^ buffer[i]) & 0xff] ^ (crc >> 8);
	}
	return ~crc;
}

noinline notrace long bench_sort(long n)
{
	long sum = 0;

	for (long r = 0; r < n; r++) {
		fill(r);
		/* Insertion sort of the first 256 bytes. */
		for (int i = 1; i < 256; i++) {
			u8 key = buffer[i];
			int j = i - 1;

			while (j >= 0 && buffer[j] > key) {
				buffer[j + 1] = buffer[j];
				j--;
			}
			buffer[j + 1] = key;
		}
		sum = sum * 31 + buffer[128];
	}
	return sum;
}

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND							\
	do {								\
		v0 += v1; v1 = ROTL(v1, 13); v1 ^= v0; v0 = ROTL(v0, 32); \
		v2 += v3; v3 = ROTL(v3, 16); v3 ^= v2;			\
		v0 += v3; v3 = ROTL(v3, 21); v3 ^= v0;			\
		v2 += v1; v1 = ROTL(v1, 17); v1 ^= v2; v2 = ROTL(v2, 32); \
	} while (0)

noinline notrace long bench_siphash(long n)
{
	u64 out = 0;

	fill(2);
	for (long r = 0; r < n; r++) {
		u64 v0 = 0x736f6d6570736575UL, v1 = 0x646f72616e646f6dUL ^ r;
		u64 v2 = 0x6c7967656e657261UL, v3 = 0x7465646279746573UL ^ out;

		for (int i = 0; i < 4096; i += 8) {
			u64 m = *(u64 *)(buffer + i);

			v3 ^= m;
			SIPROUND;
			SIPROUND;
			v0 ^= m;
		}
		v2 ^= 0xff;
		SIPROUND;
		SIPROUND;
		SIPROUND;
		SIPROUND;
		out += v0 ^ v1 ^ v2 ^ v3;
	}
	return out;
}

noinline notrace long bench_memcpy(long n)
{
	long sum = 0;

	fill(3);
	for (long r = 0; r < n; r++) {
		const u8 *from = buffer;
		u8 *to = copy;

		for (int i = 0; i < 4096; i += 8) {
			*(u64 *)(to + i) = *(const u64 *)(from + i) + r;
			barrier();
		}
		sum += copy[r & 4095];
	}
	return sum;
}
