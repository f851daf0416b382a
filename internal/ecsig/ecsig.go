// Package ecsig has the form that ES256 gives a signature: r and s as 32 bytes
// each (RFC 7518, section 3.4). There is nothing to configure.
package ecsig

import (
	"encoding/asn1"
	"errors"
	"math/big"
)

// Size is that of a signature, in bytes.
const Size = 64

// Fixed turns the ASN.1 of crypto/ecdsa, with a P-256 key, into that form. It fails
// for anything else.
func Fixed(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) != 0 {
		return nil, errors.New("a signature of another form")
	}
	if sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 256 || sig.S.BitLen() > 256 {
		return nil, errors.New("a signature out of range")
	}
	out := make([]byte, Size)
	sig.R.FillBytes(out[:Size/2])
	sig.S.FillBytes(out[Size/2:])
	return out, nil
}
