package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/ecsig"
)

// The vectors of the Wycheproof project (C2SP/wycheproof, testvectors_v1) against
// the primitives as this package calls them. The files are not part of the
// repository.
type wycheproofFile struct {
	NumberOfTests int
	TestGroups    []struct {
		IvSize, TagSize int
		PublicKey       struct{ Uncompressed, PK string }
		Tests           []wycheproofCase
	}
}

type wycheproofCase struct {
	TcID                       int
	Comment, Result            string
	Flags                      []string
	Key, IV, AAD, Msg, CT, Tag string // AEAD and HMAC
	IKM, Salt, Info, OKM       string // HKDF
	Size                       int
	Public, Private, Shared    string // X25519
	Sig                        string
	Seed, EK, C, K             string // ML-KEM
}

// wycheproof calls check with every case of a file; it returns whether the case
// was run, and what it found.
func wycheproof(t *testing.T, file string, check func(t *testing.T, group int, f wycheproofFile, c wycheproofCase) (ran, ok bool)) {
	t.Helper()
	dir := os.Getenv("WYCHEPROOF_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "vectors", "wycheproof")
	}
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Skipf("no vectors: set WYCHEPROOF_DIR to testvectors_v1 of C2SP/wycheproof: %v", err)
	}
	var f wycheproofFile
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	all, ran := 0, 0
	for i, g := range f.TestGroups {
		for _, c := range g.Tests {
			all++
			did, ok := check(t, i, f, c)
			if !did {
				continue
			}
			ran++
			// "acceptable" leaves it to the implementation; what we do is asserted by check.
			if c.Result != "acceptable" && ok != (c.Result == "valid") {
				t.Errorf("case %d (%s): got %v, want %s", c.TcID, c.Comment, ok, c.Result)
			}
		}
	}
	if all != f.NumberOfTests || ran == 0 {
		t.Errorf("%d cases in a file of %d, %d run", all, f.NumberOfTests, ran)
	}
	t.Logf("%s: %d of %d cases run", file, ran, all)
}

// TestWycheproofAESGCM_SR97 runs the cases with what we use: keys of 256 bits,
// nonces of 96, tags of 128.
func TestWycheproofAESGCM_SR97(t *testing.T) {
	wycheproof(t, "aes_gcm_test.json", func(t *testing.T, i int, f wycheproofFile, c wycheproofCase) (bool, bool) {
		key, iv := unhex(t, c.Key), unhex(t, c.IV)
		if len(key) != 32 || len(iv) != 12 || f.TestGroups[i].TagSize != 128 {
			return false, false
		}
		aead := must(newAEAD(key))
		msg, aad, sealed := unhex(t, c.Msg), unhex(t, c.AAD), append(unhex(t, c.CT), unhex(t, c.Tag)...)
		if c.Result == "valid" && !bytes.Equal(aead.Seal(nil, iv, msg, aad), sealed) {
			t.Errorf("case %d: sealed to something else", c.TcID)
		}
		got, err := aead.Open(sealed[:0], iv, sealed, aad) // in place, as half does
		return true, err == nil && bytes.Equal(got, msg)
	})
}

func TestWycheproofHMAC_SR97(t *testing.T) {
	wycheproof(t, "hmac_sha256_test.json", func(t *testing.T, i int, f wycheproofFile, c wycheproofCase) (bool, bool) {
		m := hmac.New(sha256.New, unhex(t, c.Key))
		m.Write(unhex(t, c.Msg))
		return true, hmac.Equal(m.Sum(nil)[:f.TestGroups[i].TagSize/8], unhex(t, c.Tag))
	})
}

// TestWycheproofHKDF_SR97 runs extract as it is; expand, whose infos are ours, is
// compared with crypto/hkdf, which the cases run against.
func TestWycheproofHKDF_SR97(t *testing.T) {
	wycheproof(t, "hkdf_sha256_test.json", func(t *testing.T, _ int, _ wycheproofFile, c wycheproofCase) (bool, bool) {
		prk := extract(unhex(t, c.Salt), unhex(t, c.IKM))
		okm, err := hkdf.Expand(sha256.New, prk[:], string(unhex(t, c.Info)), c.Size)
		want := must(hkdf.Expand(sha256.New, prk[:], string(labelled("label", []byte("th"))), 32))
		if got := prk.expand("label", []byte("th")); !bytes.Equal(got[:], want) {
			t.Errorf("case %d: expand differs from crypto/hkdf", c.TcID)
		}
		return true, err == nil && bytes.Equal(okm, unhex(t, c.OKM))
	})
}

// TestWycheproofX25519_SR97: low-order points are refused, non-canonical ones are
// computed with, as RFC 7748 says.
func TestWycheproofX25519_SR97(t *testing.T) {
	wycheproof(t, "x25519_test.json", func(t *testing.T, _ int, _ wycheproofFile, c wycheproofCase) (bool, bool) {
		sk := must(ecdh.X25519().NewPrivateKey(unhex(t, c.Private)))
		pk, err := ecdh.X25519().NewPublicKey(unhex(t, c.Public))
		if err != nil {
			return true, false
		}
		got, err := sk.ECDH(pk)
		if zero := slices.Contains(c.Flags, "ZeroSharedSecret"); zero != (err != nil) {
			t.Errorf("case %d: zero %v, got %v", c.TcID, zero, err)
		}
		ok := err == nil && bytes.Equal(got, unhex(t, c.Shared))
		if c.Result == "acceptable" && err == nil && !ok {
			t.Errorf("case %d: another secret", c.TcID)
		}
		return true, ok
	})
}

func TestWycheproofEd25519_SR97(t *testing.T) {
	wycheproof(t, "ed25519_test.json", func(t *testing.T, i int, f wycheproofFile, c wycheproofCase) (bool, bool) {
		sig := unhex(t, c.Sig)
		if len(sig) != signatureSize { // the parsers take exactly 64 bytes
			return true, false
		}
		key := unhex(t, f.TestGroups[i].PublicKey.PK)
		ok := verifyProof(ProofEd, key, unhex(t, c.Msg), sig)
		if ok != ed25519.Verify(key, unhex(t, c.Msg), sig) {
			t.Errorf("case %d: a proof and a document are judged differently", c.TcID)
		}
		return true, ok
	})
}

func TestWycheproofES256_SR97(t *testing.T) {
	wycheproof(t, "ecdsa_secp256r1_sha256_p1363_test.json", func(t *testing.T, i int, f wycheproofFile, c wycheproofCase) (bool, bool) {
		sig := unhex(t, c.Sig)
		if len(sig) != signatureSize {
			return true, false
		}
		return true, verifyProof(ProofES256, unhex(t, f.TestGroups[i].PublicKey.Uncompressed), unhex(t, c.Msg), sig)
	})
}

// TestWycheproofMLKEM_SR97 decapsulates with keys made from seeds, as a suite's are.
func TestWycheproofMLKEM_SR97(t *testing.T) {
	wycheproof(t, "mlkem_768_test.json", func(t *testing.T, _ int, _ wycheproofFile, c wycheproofCase) (bool, bool) {
		dk, err := mlkem.NewDecapsulationKey768(unhex(t, c.Seed))
		if err != nil {
			return true, false
		}
		if c.EK != "" && !bytes.Equal(dk.EncapsulationKey().Bytes(), unhex(t, c.EK)) {
			return true, false
		}
		k, err := dk.Decapsulate(unhex(t, c.C))
		return true, err == nil && bytes.Equal(k, unhex(t, c.K))
	})
}

// TestFixed: the ASN.1 of a signature becomes r and s, or nothing.
func TestFixed(t *testing.T) {
	type rs struct{ R, S *big.Int }
	n := elliptic.P256().Params().N
	for name, tt := range map[string]struct {
		der []byte
		ok  bool
	}{
		"small numbers":   {must(asn1.Marshal(rs{big.NewInt(1), big.NewInt(2)})), true},
		"large numbers":   {must(asn1.Marshal(rs{n, n})), true},
		"zero":            {must(asn1.Marshal(rs{big.NewInt(0), big.NewInt(2)})), false},
		"negative":        {must(asn1.Marshal(rs{big.NewInt(-1), big.NewInt(2)})), false},
		"257 bits":        {must(asn1.Marshal(rs{new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(2)})), false},
		"bytes behind it": {append(must(asn1.Marshal(rs{big.NewInt(1), big.NewInt(2)})), 0), false},
		"nothing":         {nil, false},
	} {
		if b, err := ecsig.Fixed(tt.der); (err == nil) != tt.ok || tt.ok && len(b) != signatureSize {
			t.Errorf("%s: got %x, %v", name, b, err)
		}
	}
}
