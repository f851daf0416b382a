package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/edwards"
)

var suites = []Suite{Hybrid, Classical}

func TestHandshake(t *testing.T) {
	for _, s := range suites {
		for name, device := range map[string]crypto.Signer{"no device": nil, "Ed25519": newIdentity(t), "ES256": newES256(t)} {
			t.Run(s.String()+" with "+name, func(t *testing.T) {
				h := shake(t, s, device)
				if h.credential.Kind != bearer.Kind || h.credential.Value != bearer.Value {
					t.Errorf("got %v, want %v", h.credential, bearer)
				}
				if (h.credential.Thumbprint == "") != (device == nil) {
					t.Errorf("thumbprint %q", h.credential.Thumbprint)
				}
				for range 3 {
					pass(t, h.client, h.server, Text, "hello")
					pass(t, h.server, h.client, Binary, "")
				}
			})
		}
	}
}

func TestHandshakeSizes(t *testing.T) {
	for s, want := range map[Suite][2]int{Hybrid: {2363, 1153}, Classical: {91, 65}} {
		h := shake(t, s, nil)
		if got := [2]int{len(h.hello), len(h.answer)}; got != want {
			t.Errorf("%v: got %v, want %v", s, got, want)
		}
	}
}

// TestContext_AT28: both sides put where the connection goes into the handshake;
// whoever in between sends it elsewhere ends it.
func TestContext_AT28(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Context)
	}{
		{"AT-28 another application protocol", func(c *Context) { c.Token = "sallyport.v1+seal~chat.v1" }},
		{"AT-28 no application protocol", func(c *Context) { c.Token = "sallyport.v1+seal" }},
		{"another host", func(c *Context) { c.Authority = "api.example.com:443" }},
		{"another port", func(c *Context) { c.Authority = "app.example.com:8443" }},
		{"another gate", func(c *Context) { c.Target = "/admin?room=1" }},
		{"another query", func(c *Context) { c.Target = "/chat?room=2" }},
		{"another origin", func(c *Context) { c.Origin = "https://evil.example" }},
		{"no origin", func(c *Context) { c.Origin = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKeyFor(t, Classical)
			_, hello, err := NewClient(k.Entry(), place, Options{})
			if err != nil {
				t.Fatal(err)
			}
			seen := place
			tt.change(&seen)
			_, _, err = Accept(ringOf(t, k), seen, hello, Options{Now: clockAt(epoch)})
			wantFault(t, err, FaultHandshake)
		})
	}
}

func TestContextIsStrict(t *testing.T) {
	for name, change := range map[string]func(*Context){
		"a plain token":          func(c *Context) { c.Token = "sallyport.v1~chat" },
		"a token without app":    func(c *Context) { c.Token = "sallyport.v1+seal~" },
		"a longer name":          func(c *Context) { c.Token = "sallyport.v1+sealed" },
		"a space in the token":   func(c *Context) { c.Token = "sallyport.v1+seal~a b" },
		"a huge token":           func(c *Context) { c.Token = "sallyport.v1+seal~" + strings.Repeat("a", 300) },
		"no port":                func(c *Context) { c.Authority = "app.example.com" },
		"port zero":              func(c *Context) { c.Authority = "app.example.com:0" },
		"a port too big":         func(c *Context) { c.Authority = "app.example.com:65536" },
		"a port with zeros":      func(c *Context) { c.Authority = "app.example.com:0443" },
		"capitals":               func(c *Context) { c.Authority = "App.example.com:443" },
		"no host":                func(c *Context) { c.Authority = ":443" },
		"half a bracket":         func(c *Context) { c.Authority = "[::1:443" },
		"empty brackets":         func(c *Context) { c.Authority = "[]:443" },
		"user and host":          func(c *Context) { c.Authority = "a@app.example.com:443" },
		"no path":                func(c *Context) { c.Target = "" },
		"a whole URL":            func(c *Context) { c.Target = "https://app.example.com/" },
		"a fragment":             func(c *Context) { c.Target = "/a#b" },
		"a control character":    func(c *Context) { c.Target = "/a\n" },
		"a huge target":          func(c *Context) { c.Target = "/" + strings.Repeat("a", MaxTarget) },
		"an origin with a space": func(c *Context) { c.Origin = "https://a b" },
		"a huge origin":          func(c *Context) { c.Origin = strings.Repeat("a", MaxOrigin+1) },
	} {
		t.Run(name, func(t *testing.T) {
			c := place
			change(&c)
			if c.check() == nil {
				t.Errorf("%+v is accepted", c)
			}
			_, _, err := NewClient(newKeyFor(t, Classical).Entry(), c, Options{})
			wantFault(t, err, FaultMisuse)
			_, _, err = Accept(ringOf(t), c, nil, Options{})
			wantFault(t, err, FaultHandshake)
		})
	}
	for _, a := range []string{"localhost:1", "127.0.0.1:8443", "[::1]:65535", "xn--bcher-kva.example:443"} {
		if err := checkAuthority(a); err != nil {
			t.Error(err)
		}
	}
}

// TestUnsealed_AT28: a client that offered the seal takes nothing else.
func TestUnsealed_AT28(t *testing.T) {
	offered := []string{"sallyport.ticket.abc", SealToken("chat.v2"), SealToken("chat.v1"), SealToken("")}
	for _, tt := range []struct {
		selected string
		want     Fault
	}{
		{SealToken("chat.v2"), ""},
		{SealToken("chat.v1"), FaultUnsealed},
		{SealToken(""), FaultUnsealed},
		{"sallyport.v1~chat.v2", FaultUnsealed},
		{"sallyport.v1", FaultUnsealed},
		{"chat.v2", FaultUnsealed},
		{"", FaultUnsealed},
	} {
		t.Run(fmt.Sprintf("AT-28 the server selects %q", tt.selected), func(t *testing.T) {
			wantFault(t, CheckSelected(offered, tt.selected), tt.want)
		})
	}
	wantFault(t, CheckSelected([]string{"chat"}, "chat"), FaultUnsealed)
}

// TestHelloFlipped_SR97 flips every byte of every message of the handshake, cuts
// it at every length, lengthens and repeats it: each ends in the stated fault.
func TestHelloFlipped_SR97(t *testing.T) {
	k := newKeyFor(t, Classical)
	ring := ringOf(t, k)
	o := Options{Now: clockAt(epoch)}
	_, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range hello {
		for _, bit := range []byte{1, 0x80} {
			bad := slices.Clone(hello)
			bad[i] ^= bit
			want := FaultHandshake
			if i > 0 && i < clientHead {
				want = FaultKeys
			}
			_, _, err := Accept(ring, place, bad, o)
			if got := FaultOf(err); got != want {
				t.Errorf("byte %d, bit %x: got %v, want %v", i, bit, err, want)
			}
		}
	}
	for n := range hello {
		_, _, err := Accept(ring, place, hello[:n], o)
		wantFault(t, err, FaultHandshake)
	}
	_, _, err = Accept(ring, place, append(slices.Clone(hello), 0), o)
	wantFault(t, err, FaultHandshake)
}

func TestHybridHelloFlipped_SR97(t *testing.T) {
	k := newKeyFor(t, Hybrid)
	ring := ringOf(t, k)
	o := Options{Now: clockAt(epoch)}
	c, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(hello); i++ {
		hello[i] ^= 4
		want := FaultHandshake
		if i > 0 && i < clientHead {
			want = FaultKeys
		}
		if _, _, err := Accept(ring, place, hello, o); FaultOf(err) != want {
			t.Errorf("byte %d: got %v, want %v", i, err, want)
		}
		hello[i] ^= 4
	}
	_, answer, err := Accept(ring, place, hello, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range answer {
		answer[i] ^= 4
		if _, _, err := cloneClient(c).Finish(answer, bearer, nil); FaultOf(err) != FaultHandshake {
			t.Errorf("byte %d: got %v", i, err)
		}
		answer[i] ^= 4
	}
}

// cloneClient lets a test finish the same handshake many times.
func cloneClient(c *Client) *Client {
	copied := *c
	return &copied
}

func TestAnswerFlipped_SR97(t *testing.T) {
	k := newKeyFor(t, Classical)
	o := Options{Now: clockAt(epoch)}
	c, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	_, answer, err := Accept(ringOf(t, k), place, hello, o)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, answer []byte) {
		_, _, err := cloneClient(c).Finish(answer, bearer, nil)
		if FaultOf(err) != FaultHandshake {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for i := range answer {
		for bit := range 8 {
			if i > 1 && i < 33 && i%8 != 0 || i == 32 && bit == 7 {
				continue // within the point a few are enough; its top bit means nothing (RFC 7748, section 5)
			}
			bad := slices.Clone(answer)
			bad[i] ^= 1 << bit
			try(fmt.Sprintf("byte %d, bit %d", i, bit), bad)
		}
	}
	for n := range answer {
		try(fmt.Sprintf("%d bytes", n), answer[:n])
	}
	try("one byte more", append(slices.Clone(answer), 0))
	try("the client's own message", hello)
	_, other, err := Accept(ringOf(t, k), place, hello, o)
	if err != nil {
		t.Fatal(err)
	}
	try("halves of two answers", slices.Concat(answer[:33], other[33:]))
	if _, _, err := cloneClient(c).Finish(other, bearer, nil); err != nil {
		t.Errorf("another answer of the same server to the same message: %v", err)
	}
}

// TestTopBit: X25519 ignores the top bit of a point. The transcript does not.
func TestTopBit(t *testing.T) {
	k := newKeyFor(t, Classical)
	o := Options{Now: clockAt(epoch)}
	c, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	_, answer, err := Accept(ringOf(t, k), place, hello, o)
	if err != nil {
		t.Fatal(err)
	}
	answer[32] ^= 0x80
	_, _, err = c.Finish(answer, bearer, nil)
	wantFault(t, err, FaultHandshake)
}

func TestLowOrderPoints_SR97(t *testing.T) {
	k := newKeyFor(t, Classical)
	o := Options{Now: clockAt(epoch)}
	_, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	copy(hello[clientHead:], make([]byte, 32))
	_, _, err = Accept(ringOf(t, k), place, hello, o)
	wantFault(t, err, FaultHandshake)
	if _, err := publicKey(Classical, make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes is accepted")
	}
}

func TestAuthFlipped_SR97(t *testing.T) {
	for name, device := range map[string]crypto.Signer{"bearer": nil, "device": newIdentity(t)} {
		t.Run(name, func(t *testing.T) {
			k := newKeyFor(t, Classical)
			o := Options{Now: clockAt(epoch)}
			begin := func() (*Server, []byte) {
				c, hello, err := NewClient(k.Entry(), place, o)
				if err != nil {
					t.Fatal(err)
				}
				s, answer, err := Accept(ringOf(t, k), place, hello, o)
				if err != nil {
					t.Fatal(err)
				}
				_, record, err := c.Finish(answer, bearer, device)
				if err != nil {
					t.Fatal(err)
				}
				return s, record
			}
			_, first := begin()
			for i := range first {
				s, record := begin()
				record[i] ^= 0x20
				if _, _, err := s.Authenticate(record); FaultOf(err) != FaultHandshake {
					t.Errorf("byte %d: got %v", i, err)
				}
				if _, _, err := s.Authenticate(record); FaultOf(err) != FaultMisuse {
					t.Errorf("a second try: got %v", err)
				}
			}
			for n := 0; n < len(first); n += 7 {
				s, record := begin()
				if _, _, err := s.Authenticate(record[:n]); FaultOf(err) != FaultHandshake {
					t.Errorf("%d bytes: got %v", n, err)
				}
			}
			s, _ := begin()
			_, _, err := s.Authenticate(first)
			wantFault(t, err, FaultHandshake) // replayed from another handshake
		})
	}
}

func TestKeysOutOfUse(t *testing.T) {
	k, other := newKeyFor(t, Hybrid), newKeyFor(t, Classical)
	o := Options{Now: clockAt(epoch)}
	_, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		ring *Ring
		now  time.Time
		want Fault
	}{
		{"in use", ringOf(t, k, other), epoch, ""},
		{"before its time: the client's clock is ahead", ringOf(t, k), epoch.Add(-48 * time.Hour), ""},
		{"withdrawn", ringOf(t, other), epoch, FaultKeys},
		{"over", ringOf(t, k), epoch.Add(30 * 24 * time.Hour), FaultKeys},
		{"an empty ring", ringOf(t), epoch, FaultKeys},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Accept(tt.ring, place, hello, Options{Now: clockAt(tt.now)})
			wantFault(t, err, tt.want)
		})
	}
	k.Erase()
	_, _, err = Accept(ringOf(t, k), place, hello, o)
	wantFault(t, err, FaultKeys)
	if _, err := k.Private(); err == nil {
		t.Error("an erased key can be read")
	}
	if _, err := NewRing(other, other); err == nil {
		t.Error("a key twice in a ring")
	}
}

func TestKeySurvivesItsBytes(t *testing.T) {
	for _, s := range suites {
		k := newKeyFor(t, s)
		private := must(k.Private())
		again, err := ParseKey(s, private, k.from, k.until)
		if err != nil {
			t.Fatal(err)
		}
		clear(private)
		if again.ID() != k.ID() || !bytes.Equal(again.public, k.public) {
			t.Errorf("%v: another key", s)
		}
		_, hello, err := NewClient(k.Entry(), place, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Accept(ringOf(t, again), place, hello, Options{Now: clockAt(epoch)}); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		if _, err := ParseKey(s, make([]byte, 31), k.from, k.until); err == nil {
			t.Error("31 bytes are a key")
		}
	}
}

func TestSuiteUnknown(t *testing.T) {
	if _, err := GenerateKey(3, epoch, epoch.Add(time.Hour)); err == nil {
		t.Error("a key of suite 3")
	}
	_, _, err := NewClient(Entry{Suite: 3, Public: []byte{1}}, place, Options{})
	wantFault(t, err, FaultDocument)
	_, _, err = NewClient(Entry{Suite: Hybrid, Public: bytes.Repeat([]byte{0xff}, 1216)}, place, Options{})
	wantFault(t, err, FaultDocument) // a modulus that ML-KEM refuses (FIPS 203, section 7.2)
}

// brokenDevice has a public key and cannot sign.
type brokenDevice struct{ crypto.Signer }

func (brokenDevice) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no finger on the key")
}

// TestCredentialIsCopiedOnce: a credential with its proof is made in one place, so
// that erasing that erases it, and nothing is left of one that was not proven.
func TestCredentialIsCopiedOnce_SR97(t *testing.T) {
	th := bytes.Repeat([]byte{1}, 32)
	cred := Credential{Kind: Token, Value: strings.Repeat("x", 1000)}
	for name, size := range map[Proof]int{NoProof: 0, ProofEd: 32, ProofES256: 65} {
		key := make([]byte, size)
		if n := testing.AllocsPerRun(100, func() { authBody(cred, name, key) }); n != 1 {
			t.Errorf("proof %d: %v allocations", name, n)
		}
		body := must(authBody(cred, name, key))
		data := must(withProof(body, make([]byte, signatureSize), nil))
		if &data[0] != &body[0] {
			t.Errorf("proof %d: it moved", name)
		}
		if data, err := withProof(body, nil, errors.New("x")); data != nil || err == nil || bytes.ContainsAny(body, "x") {
			t.Errorf("proof %d: %d bytes are left", name, len(data))
		}
	}
	for name, device := range map[string]crypto.Signer{"Ed25519": newIdentity(t), "ES256": newES256(t)} {
		if data, err := authData(th, cred, brokenDevice{device}); data != nil || err == nil {
			t.Errorf("%s: got %d bytes, %v", name, len(data), err)
		}
	}
}

// TestProof: what a device signs is good for this session, credential and key.
func TestProof(t *testing.T) {
	th := bytes.Repeat([]byte{1}, 32)
	for name, device := range map[string]crypto.Signer{"Ed25519": newIdentity(t), "ES256": newES256(t)} {
		t.Run(name, func(t *testing.T) {
			good := must(authData(th, bearer, device))
			if c, err := parseAuth(th, good); err != nil || c.Value != bearer.Value {
				t.Fatal(c, err)
			}
			_, err := parseAuth(bytes.Repeat([]byte{2}, 32), good)
			wantFault(t, err, FaultProof) // another session
			for i := range good {
				bad := slices.Clone(good)
				bad[i] ^= 1
				if c, err := parseAuth(th, bad); FaultOf(err) != FaultProof && FaultOf(err) != FaultMalformed {
					t.Errorf("byte %d: %v %v", i, c, err)
				}
			}
			for n := range good {
				if _, err := parseAuth(th, good[:n]); FaultOf(err) != FaultMalformed {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			_, err = parseAuth(th, append(good, 0))
			wantFault(t, err, FaultMalformed)
		})
	}
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	if _, err := authData(th, bearer, p384); err == nil {
		t.Error("a device's key on P-384")
	}
	for name, c := range map[string]Credential{
		"an unknown kind":          {Kind: 3, Value: "x"},
		"a token without value":    {Kind: Token},
		"a value without kind":     {Value: "x"},
		"a credential of 8193":     {Kind: Token, Value: strings.Repeat("x", MaxCredential+1)},
		"a ticket without a value": {Kind: Ticket},
	} {
		if _, err := authData(th, c, nil); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestWeakDevices: a key of small order signs everything at once.
func TestWeakDevices(t *testing.T) {
	th := make([]byte, 32)
	for _, y := range edwards.WeakPoints() {
		for _, sign := range []byte{0, 0x80} {
			key := unhex(t, y)
			key[31] |= sign
			body := must(authBody(bearer, ProofEd, key))
			for _, sig := range [][]byte{make([]byte, 64), slices.Concat(key, make([]byte, 32)), slices.Concat([]byte{1}, make([]byte, 63))} {
				_, err := parseAuth(th, slices.Concat(body, sig))
				wantFault(t, err, FaultProof)
			}
		}
	}
}

// TestThumbprint uses the key of RFC 8037, appendix A.3, and one of RFC 7638's kind.
func TestThumbprint(t *testing.T) {
	key := unhex(t, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	if got, want := thumbprint(ProofEd, key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
