package jwt

import (
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

func TestJudge(t *testing.T) {
	old, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	v, err := New(Config{Issuer: "https://idp.example.com", Audience: "chat", Keys: PublicSet(old)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := old.Sign(TypeAccess, map[string]any{
		"iss": "https://idp.example.com", "aud": "chat", "sub": "alice", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	other := func(change func(*auth.Identity)) auth.Identity {
		id := id
		change(&id)
		return id
	}
	for _, row := range []struct {
		name    string
		id      auth.Identity
		foreign bool
		changed bool
	}{
		{name: "the identity as it was made", id: id},
		{name: "another method is another's business", id: other(func(id *auth.Identity) { id.Method = "session" }), foreign: true},
		{name: "another issuer is another's business", id: other(func(id *auth.Identity) { id.Issuer = "https://idp.example.net" }), foreign: true},
		{name: "another audience", id: other(func(id *auth.Identity) { id.Audience = "mail" }), changed: true},
		{name: "a key that was never in the set", id: other(func(id *auth.Identity) { id.KeyID = "nobody" }), changed: true},
		{name: "no key at all", id: other(func(id *auth.Identity) { id.KeyID = "" }), changed: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := v.Judge(row.id)
			if got := errors.Is(err, auth.ErrNoCredentials); got != row.foreign {
				t.Errorf("foreign: got %v, want %v", got, row.foreign)
			}
			if got := deny.Of(err) == deny.PolicyChanged; got != row.changed {
				t.Errorf("changed: got %v (%v), want %v", got, err, row.changed)
			}
		})
	}

	t.Run("a key that has left the set", func(t *testing.T) {
		next, err := NewSigner()
		if err != nil {
			t.Fatal(err)
		}
		if err := v.SetKeys(PublicSet(next)); err != nil {
			t.Fatal(err)
		}
		if err := v.Judge(id); deny.Of(err) != deny.PolicyChanged {
			t.Errorf("got %v, want %v", err, deny.PolicyChanged)
		}
	})
}
