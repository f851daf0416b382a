package seal

import (
	"crypto/cipher"
	"crypto/hpke"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wantErased looks into a session for bytes of keys.
func wantErased(t testing.TB, s *Session) {
	t.Helper()
	for name, b := range owned(s) {
		if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
			t.Errorf("%s is not erased", name)
		}
	}
	if s.out.aead != nil || s.in.aead != nil || s.agreement.private != nil {
		t.Error("a key schedule is still held")
	}
}

// owned are the bytes of keys that the package itself holds for a session.
func owned(s *Session) map[string][]byte {
	return map[string][]byte{
		"out secret": s.out.secret[:], "out iv": s.out.iv[:], "out nonce": s.out.nonce[:],
		"in secret": s.in.secret[:], "in iv": s.in.iv[:], "in nonce": s.in.nonce[:],
		"root": s.agreement.root[:], "next": s.agreement.next[:],
	}
}

// TestErase_SR97 inspects every key that the package owns after each way in which
// it goes out of use.
func TestErase_SR97(t *testing.T) {
	t.Run("a session that its owner ends", func(t *testing.T) {
		h := shake(t, Hybrid, nil)
		for name, b := range owned(h.client) {
			if name != "next" && name != "in nonce" && !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
				t.Errorf("the test looks at the wrong place: %s is zero in a live session", name)
			}
		}
		for _, s := range h.ends() {
			s.Erase()
			wantErased(t, s)
			_, err := s.Seal(nil, Text, false, nil)
			wantFault(t, err, FaultMisuse)
		}
	})
	t.Run("between answer and turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := shakeWith(t, Hybrid, nil, Options{})
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			must(h.client.Open(must(h.server.Reply(nil))))
			for _, s := range h.ends() {
				if s.agreement.next == (secret{}) {
					t.Error("the test looks at the wrong place: next is zero")
				}
				s.Erase()
				wantErased(t, s)
			}
		})
	})
	t.Run("secrets of past epochs", func(t *testing.T) {
		h := shake(t, Classical, nil)
		old := h.client.out.secret
		must(h.server.Open(must(h.client.Ratchet(nil))))
		for name, b := range owned(h.client) {
			if strings.Contains(string(b), string(old[:])) {
				t.Errorf("the past secret is still in %s", name)
			}
		}
	})
	t.Run("a handshake that is finished, fails, or is given up", func(t *testing.T) {
		k := newKeyFor(t, Classical)
		for name, end := range map[string]func(c *Client, answer []byte){
			"finished": func(c *Client, answer []byte) { _, _, _ = c.Finish(answer, bearer, nil) },
			"failed":   func(c *Client, answer []byte) { _, _, _ = c.Finish(answer[1:], bearer, nil) },
			"misused":  func(c *Client, answer []byte) { _, _, _ = c.Finish(answer, Credential{Kind: 9}, nil) },
			"given up": func(c *Client, answer []byte) { c.Erase() },
		} {
			c, hello, err := NewClient(k.Entry(), place, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, answer, err := Accept(ringOf(t, k), place, hello, Options{Now: clockAt(epoch)})
			if err != nil {
				t.Fatal(err)
			}
			if c.s1 == (secret{}) {
				t.Error("the test looks at the wrong place: s1 is zero")
			}
			end(c, answer)
			if c.s1 != (secret{}) || c.private != nil {
				t.Errorf("%s: the client keeps a secret", name)
			}
		}
	})
	t.Run("what the key schedule uses up", func(t *testing.T) {
		prk, s1, s2 := secret{1}, secret{2}, []byte{3}
		k := derive(&prk, nil)
		handshakeKeys(nil, &s1, s2)
		var h half
		h.limits = defaultLimits
		if err := h.start(&k.c2s); err != nil {
			t.Fatal(err)
		}
		if prk != (secret{}) || s1 != (secret{}) || s2[0] != 0 || k.c2s != (secret{}) {
			t.Error("an input is left")
		}
		k.erase()
		if k != (schedule{}) {
			t.Error("the schedule is left")
		}
	})
	t.Run("a server that gets a wrong credential", func(t *testing.T) {
		k := newKeyFor(t, Classical)
		for name, spoil := range map[string]func(s *Server, record []byte) []byte{
			"that does not open": func(_ *Server, record []byte) []byte { record[5] ^= 1; return record },
			"of another kind":    func(s *Server, _ []byte) []byte { return sealAs(t, s, []byte{byte(Text), 0, 0}) },
			"that is cut short":  func(s *Server, _ []byte) []byte { return sealAs(t, s, []byte{byte(Auth), 0, 1, 0}) },
			"with a wrong proof": func(s *Server, _ []byte) []byte { return sealAs(t, s, wrongProof(t)) },
			"that has parts":     func(s *Server, _ []byte) []byte { return sealAs(t, s, []byte{byte(Auth) | flagMore, 0, 4, 0, 0, 0, 0}) },
		} {
			c, hello, _ := NewClient(k.Entry(), place, Options{})
			srv, answer, err := Accept(ringOf(t, k), place, hello, Options{Now: clockAt(epoch)})
			if err != nil {
				t.Fatal(err)
			}
			_, record, err := c.Finish(answer, bearer, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := srv.session
			spoiled := spoil(srv, record)
			if _, cred, err := srv.Authenticate(spoiled); err == nil || cred != (Credential{}) {
				t.Errorf("%s: accepted %+v", name, cred)
			}
			if slices.ContainsFunc(spoiled, func(b byte) bool { return b != 0 }) {
				t.Errorf("%s: the opened credential is left in its buffer", name)
			}
			wantErased(t, s)
		}
	})
	t.Run("a server that waits for a credential", func(t *testing.T) {
		k := newKeyFor(t, Classical)
		_, hello, _ := NewClient(k.Entry(), place, Options{})
		srv, _, err := Accept(ringOf(t, k), place, hello, Options{Now: clockAt(epoch)})
		if err != nil {
			t.Fatal(err)
		}
		s := srv.session
		srv.Erase()
		wantErased(t, s)
	})
}

// TestForwardSecrecy_SR97: who holds the server's long-term keys, the identity
// and a whole recording opens the client's first message, which says nothing, and
// no record. With the client's ephemeral key as well, which is gone, it would.
func TestForwardSecrecy_SR97(t *testing.T) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) {
			k := newKeyFor(t, s)
			o := Options{Now: clockAt(epoch)}
			c, hello, err := NewClient(k.Entry(), place, o)
			if err != nil {
				t.Fatal(err)
			}
			ephemeral := c.private
			srv, answer, err := Accept(ringOf(t, k), place, hello, o)
			if err != nil {
				t.Fatal(err)
			}
			client, auth, err := c.Finish(answer, bearer, newIdentity(t))
			if err != nil {
				t.Fatal(err)
			}
			recording := [][]byte{slices.Clone(auth), must(client.Seal(nil, Text, false, []byte("secret")))}
			if _, _, err := srv.Authenticate(auth); err != nil {
				t.Fatal(err)
			}

			// The thief, later.
			static := k.usable(epoch)
			_, n, _ := suiteOf(s)
			p := place.prologue(s, k.public)
			ctx1, err := hpkeRecipient(hello[clientHead:clientHead+n.enc], static, labelled(labelClient, p[:]))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ctx1.Open(hello[:clientHead], hello[clientHead+n.enc:]); err != nil {
				t.Fatalf("the thief is no thief: %v", err)
			}
			s1 := must(ctx1.Export(labelS1, 32))
			th1 := sha(labelTh1, p[:], hello)
			enc2 := answer[1 : 1+n.enc]
			opens := func(s2 []byte) bool {
				own := secret(s1)
				keys := handshakeKeys(sha(labelTh2, th1, enc2), &own, slices.Clone(s2))
				h := half{limits: defaultLimits}
				if err := h.start(&keys.c2s); err != nil {
					t.Fatal(err)
				}
				_, _, _, err := h.open(slices.Clone(recording[0]))
				return err == nil
			}
			tries := [][]byte{nil, make([]byte, 32), s1, th1}
			for _, key := range []hpke.PrivateKey{static} {
				if ctx, err := hpkeRecipient(enc2, key, labelled(labelServer, th1)); err == nil {
					tries = append(tries, must(ctx.Export(labelS2, 32)))
				}
			}
			for i, s2 := range tries {
				if opens(s2) {
					t.Errorf("try %d opens the recording", i)
				}
			}
			ctx2, err := hpkeRecipient(enc2, ephemeral, labelled(labelServer, th1))
			if err != nil {
				t.Fatal(err)
			}
			if !opens(must(ctx2.Export(labelS2, 32))) {
				t.Error("even the client's own key does not open it: the test proves nothing")
			}
		})
	}
}

// TestHealing_SR97: a thief of the whole state of a session is out after the next
// agreement that he only listens to.
func TestHealing_SR97(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := shakeWith(t, Hybrid, nil, Options{})
		stolen := h.client.out
		root := h.client.agreement.root
		time.Sleep(MinAgreement)
		agree(t, h.client, h.server)
		record := must(h.client.Seal(nil, Text, false, []byte("healed")))
		for range 10 {
			try := stolen
			if _, _, _, err := try.open(slices.Clone(record)); err == nil {
				t.Fatal("the thief goes on reading")
			}
			if err := stolen.step(); err != nil {
				t.Fatal(err)
			}
		}
		if h.client.agreement.root == root {
			t.Error("the root is the old one")
		}
	})
}

// auditor records every (key, nonce) with which anything is sealed.
type auditor struct {
	mu   sync.Mutex
	seen map[string]bool
	bad  []string
}

type auditedAEAD struct {
	cipher.AEAD
	key string
	a   *auditor
}

func (x auditedAEAD) Seal(dst, nonce, plaintext, aad []byte) []byte {
	x.a.mu.Lock()
	defer x.a.mu.Unlock()
	pair := x.key + string(nonce)
	if x.a.seen[pair] {
		x.a.bad = append(x.a.bad, fmt.Sprintf("key %x…, nonce %x", x.key[:4], nonce))
	}
	x.a.seen[pair] = true
	return x.AEAD.Seal(dst, nonce, plaintext, aad)
}

func audit(t *testing.T) *auditor {
	a := &auditor{seen: map[string]bool{}}
	plain := newAEAD
	newAEAD = func(key []byte) (cipher.AEAD, error) {
		aead, err := plain(key)
		return auditedAEAD{aead, string(key), a}, err
	}
	t.Cleanup(func() { newAEAD = plain })
	return a
}

// TestNoncesAreNeverRepeated_SR97 runs sessions with both sides sending at once,
// over many epochs and agreements, and looks at every key and nonce.
func TestNoncesAreNeverRepeated_SR97(t *testing.T) {
	a := audit(t)
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			h := shakeWith(t, Classical, newIdentity(t), Options{})
			for _, s := range h.ends() {
				s.out.limits.records, s.in.limits.records = 50, 50
			}
			for range 20 {
				var wg sync.WaitGroup
				for side := range 2 {
					wg.Go(func() {
						from, to := h.ends()[side], h.ends()[1-side]
						for i := range 150 {
							if i%40 == 39 {
								must(to.Open(must(from.Ratchet(nil))))
							}
							must(to.Open(must(from.Seal(nil, Text, false, []byte("x")))))
						}
					})
				}
				wg.Wait()
				time.Sleep(MinAgreement)
				agree(t, h.client, h.server)
			}
		}
	})
	for _, b := range a.bad {
		t.Errorf("twice: %s", b)
	}
	if want := 3 * 20 * 2 * 150; len(a.seen) < want {
		t.Errorf("%d pairs seen, want at least %d", len(a.seen), want)
	}
}

// TestAuditBites: the auditor sees a repeated nonce.
func TestAuditBites(t *testing.T) {
	a := audit(t)
	h := shake(t, Classical, nil)
	must(h.client.Seal(nil, Text, false, nil))
	h.client.out.records--
	must(h.client.Seal(nil, Text, false, nil))
	if len(a.bad) != 1 {
		t.Errorf("%d repetitions seen, want 1", len(a.bad))
	}
}

// sealAs seals any inner plaintext as the client's next record to s.
func sealAs(t *testing.T, s *Server, inner []byte) []byte {
	t.Helper()
	out := half{limits: defaultLimits, secret: s.session.in.secret}
	if err := out.enter(); err != nil {
		t.Fatal(err)
	}
	return sealRaw(&Session{out: out}, inner)
}

// wrongProof is the inner plaintext of a credential with the proof of another session.
func wrongProof(t *testing.T) []byte {
	data := must(authData(make([]byte, 32), bearer, newIdentity(t)))
	return append([]byte{byte(Auth), byte(len(data) >> 8), byte(len(data))}, data...)
}
