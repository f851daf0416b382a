package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"testing"
	"time"
)

// epoch is the time of the tests' documents and keys.
var epoch = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clockAt(t time.Time) func() time.Time { return func() time.Time { return t } }

// place is where the tests' connections go.
var place = Context{
	Token:     "sallyport.v1+seal~chat.v2",
	Authority: "app.example.com:443",
	Target:    "/chat?room=1",
	Origin:    "https://app.example.com",
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKeyFor(t testing.TB, s Suite) *Key {
	t.Helper()
	k, err := GenerateKey(s, epoch.Add(-time.Hour), epoch.Add(30*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ringOf(t testing.TB, keys ...*Key) *Ring {
	t.Helper()
	r, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newIdentity(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, sk, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sk
}

func newES256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	sk, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sk
}

// shaken is a handshake, step by step: each message is kept as it was sent.
type shaken struct {
	key                 *Key
	hello, answer, auth []byte
	client, server      *Session
	credential          Credential
}

var bearer = Credential{Kind: Token, Value: "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}

// shake makes a whole handshake over suite s at the time epoch.
func shake(t testing.TB, s Suite, device crypto.Signer) *shaken {
	t.Helper()
	return shakeWith(t, s, device, Options{Now: clockAt(epoch)})
}

func shakeWith(t testing.TB, s Suite, device crypto.Signer, o Options) *shaken {
	t.Helper()
	h := &shaken{key: newKeyFor(t, s)}
	c, hello, err := NewClient(h.key.Entry(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	srv, answer, err := Accept(ringOf(t, h.key), place, hello, o)
	if err != nil {
		t.Fatal(err)
	}
	h.hello, h.answer = slices.Clone(hello), slices.Clone(answer)
	h.client, h.auth, err = c.Finish(answer, bearer, device)
	if err != nil {
		t.Fatal(err)
	}
	h.server, h.credential, err = srv.Authenticate(slices.Clone(h.auth))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *shaken) ends() []*Session { return []*Session{h.client, h.server} }

// pass sends one message from one session to the other and compares.
func pass(t testing.TB, from, to *Session, k Kind, text string) {
	t.Helper()
	record, err := from.Seal(nil, k, false, []byte(text))
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	got, err := to.Open(record)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if got.Kind != k || got.More || !bytes.Equal(got.Data, []byte(text)) {
		t.Fatalf("got %v %q, want %v %q", got.Kind, got.Data, k, text)
	}
}

func wantFault(t testing.TB, err error, want Fault) {
	t.Helper()
	if got := FaultOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// agree makes a new agreement, with a message of each side under way at each step.
func agree(t testing.TB, client, server *Session) {
	t.Helper()
	offer := must(client.Offer(nil))
	early := must(client.Seal(nil, Text, false, []byte("under the old keys"))) // sent before the answer arrives
	if r, err := server.Open(offer); err != nil || r.Kind != Offer {
		t.Fatalf("offer: %v %v", r, err)
	}
	pass(t, server, client, Binary, "old keys")
	answer := must(server.Reply(nil))
	late := must(server.Seal(nil, Text, false, []byte("under the new keys")))
	if r, err := server.Open(early); err != nil || string(r.Data) != "under the old keys" {
		t.Fatalf("early: %v %v", r, err)
	}
	if r, err := client.Open(answer); err != nil || r.Kind != Answer {
		t.Fatalf("answer: %v %v", r, err)
	}
	if r, err := client.Open(late); err != nil || string(r.Data) != "under the new keys" {
		t.Fatalf("late: %v %v", r, err)
	}
	pass(t, client, server, Binary, "still old keys")
	turn := must(client.Reply(nil))
	if r, err := server.Open(turn); err != nil || r.Kind != Turn {
		t.Fatalf("turn: %v %v", r, err)
	}
	pass(t, client, server, Text, "new keys")
	pass(t, server, client, Text, "new keys")
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
