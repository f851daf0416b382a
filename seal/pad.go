package seal

import "math/bits"

// Padding says how much a record hides of the length of its data.
type Padding uint8

const (
	// Buckets pads to a multiple of 32 bytes up to 1 KiB and beyond to steps
	// that grow with the length (Padmé), at most 6.3 %. The default.
	Buckets Padding = iota

	// Exact does not pad: whoever watches learns the length of each message.
	Exact
)

// padded returns the length of the inner plaintext for n bytes of it, n <= maxInner.
func (p Padding) padded(n int) int {
	if p == Exact {
		return n
	}
	if n <= 1024 {
		return (n + 31) &^ 31
	}
	e := bits.Len(uint(n)) - 1
	step := 1<<(e-bits.Len(uint(e))) - 1
	return min((n+step)&^step, maxInner)
}
