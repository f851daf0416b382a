package sallyport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
)

// A revocation that comes after a credential was found good, and before its
// connection is in the registry, finds nobody there. It must not be lost. From
// outside nothing happens in between, so this looks inside.
func TestRevokedOnTheWay_SR43_AT72(t *testing.T) {
	d, err := New(Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   auth.Anonymous("a test"),
		Gates:  []Gate{{Path: "/ws", Route: OnMessage(func(*Conn, Message) {})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	visitor := func(name string) (*Conn, error) {
		r := httptest.NewRequest(http.MethodGet, "/ws", nil)
		v := &visit{door: d, policy: d.policy.Load(), gate: d.policy.Load().gates["/ws"], r: r}
		v.id = auth.Identity{Issuer: "test", Subject: name, Credential: name, Method: "anonymous"}
		place, err := d.places.Admit(netip.MustParseAddr("192.0.2.1"))
		if err != nil {
			t.Fatal(err)
		}
		c := d.newConn(v, place)
		return c, d.enter(c)
	}
	if _, err := d.Revoke(t.Context(), guard.Match{Credential: "ada"}); err != nil {
		t.Fatal(err)
	}
	c, err := visitor("ada")
	if deny.Of(err) != deny.AuthRevoked || c.Reason() != deny.AuthRevoked {
		t.Errorf("SR-43 entered with a revoked credential: got %v and %v, want auth.revoked", err, c.Reason())
	}
	c, err = visitor("bob")
	if err != nil || c.Reason() != 0 {
		t.Errorf("bob was not let in: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Drain(ctx)
}
