package seal

import (
	"bytes"
	"crypto/hpke"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHPKEVectors_SR97 opens the vectors of draft-ietf-hpke-pq that the sources of
// Go carry with the KEM of the hybrid suite and our KDF. Theirs are with
// ChaCha20-Poly1305; the KEM and the exporter, which the seal depends on, are the same.
func TestHPKEVectors_SR97(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("no toolchain: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "crypto", "hpke", "testdata", "hpke-pq.json"))
	if err != nil {
		t.Skipf("no vectors beside this toolchain: %v", err)
	}
	var groups []struct {
		Mode  uint16 `json:"mode"`
		KEM   uint16 `json:"kem_id"`
		KDF   uint16 `json:"kdf_id"`
		AEAD  uint16 `json:"aead_id"`
		Info  hexBytes
		SkRm  hexBytes
		PkRm  hexBytes
		Enc   hexBytes
		Tries []struct{ AAD, CT, PT hexBytes } `json:"encryptions"`
		Exp   []struct {
			Context hexBytes `json:"exporter_context"`
			L       int
			Value   hexBytes `json:"exported_value"`
		} `json:"exports"`
	}
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	kem, n, _ := suiteOf(Hybrid)
	ran := 0
	for _, g := range groups {
		if g.KEM != kem.ID() || g.KDF != hpke.HKDFSHA256().ID() || g.Mode != 0 {
			continue
		}
		sk := must(kem.NewPrivateKey(g.SkRm))
		if !bytes.Equal(sk.PublicKey().Bytes(), g.PkRm) || len(g.PkRm) != n.public || len(g.Enc) != n.enc {
			t.Error("another public key, or another size")
		}
		r := must(hpke.NewRecipient(g.Enc, sk, hpke.HKDFSHA256(), must(hpke.NewAEAD(g.AEAD)), g.Info))
		for i, v := range g.Tries {
			if got, err := r.Open(v.AAD, v.CT); err != nil || !bytes.Equal(got, v.PT) {
				t.Errorf("message %d: %v", i, err)
			}
			ran++
		}
		for i, v := range g.Exp {
			if got := must(r.Export(string(v.Context), v.L)); !bytes.Equal(got, v.Value) {
				t.Errorf("export %d: got %x", i, got)
			}
			ran++
		}
	}
	if ran == 0 {
		t.Error("no vector of the hybrid KEM was run")
	}
}
