package chunk

import "hash/crc32"

// Polynomials over GF(2) modulo that of CRC-32, in the bit order of package
// crc32: the coefficient of x^0 is the highest bit.
const (
	polyOne = 1 << 31       // 1
	polyX8  = 1 << (31 - 8) // x^8: one byte further
)

// polyMul returns a times b.
func polyMul(a, b uint32) uint32 {
	var product uint32
	for ; a != 0; a <<= 1 {
		if a&polyOne != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ carry*crc32.IEEE
	}
	return product
}

// crcCombine returns the CRC-32 of two runs of bytes put together, given that
// of each and the length of the second: the bytes of the second move the first
// by x^8 each, and the inversions at start and end cancel out.
func crcCombine(first, second uint32, n int64) uint32 {
	shift := uint32(polyOne)
	for step := uint32(polyX8); n > 0; n >>= 1 {
		if n&1 != 0 {
			shift = polyMul(shift, step)
		}
		step = polyMul(step, step)
	}
	return polyMul(shift, first) ^ second
}
