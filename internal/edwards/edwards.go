// Package edwards refuses Ed25519 keys that prove nothing.
//
// Under a public key of small order one signature fits many messages (RFC 8032
// does not forbid such keys, and crypto/ed25519 takes them), so whoever may choose
// a key could sign for everybody. There is nothing to configure.
package edwards

import (
	"encoding/hex"
	"slices"
)

// weakPoints are the y-coordinates of the points of small order on edwards25519,
// in every encoding, sign bit cleared.
var weakPoints = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// WeakPoints are the keys that SmallOrder refuses, in hexadecimal, sign bit cleared.
func WeakPoints() []string { return slices.Clone(weakPoints) }

// SmallOrder reports whether a public key of 32 bytes is a point of small order.
func SmallOrder(key []byte) bool {
	y := slices.Clone(key)
	y[len(y)-1] &= 0x7f
	return slices.Contains(weakPoints, hex.EncodeToString(y))
}
