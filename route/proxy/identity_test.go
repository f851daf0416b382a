package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
)

func claimsOf(t *testing.T, token string) (head, body map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", token)
	}
	for i, into := range []*map[string]any{&head, &body} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return head, body
}

func TestIdentityToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, err := jwt.NewSigner()
		if err != nil {
			t.Fatal(err)
		}
		identity, err := NewIdentity(signer, page, "chat")
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for _, tt := range []struct {
			name string
			id   auth.Identity
			want string
		}{
			{"all of it", auth.Identity{Issuer: "idp", Subject: "alice", Session: "s", Method: "jwt", Scopes: []string{"a", "b"}},
				fmt.Sprintf("map[aud:chat cid:c1 exp:%d iat:%d iss:%s method:jwt scope:a b sid:s sub:alice sub_id:map[format:iss_sub iss:idp sub:alice]]", now.Unix()+60, now.Unix(), page)},
			{"never beyond the end of the credential", auth.Identity{Issuer: "idp", Subject: "alice", Expires: now.Add(7 * time.Second)},
				fmt.Sprintf("map[aud:chat cid:c1 exp:%d iat:%d iss:%s sub:alice sub_id:map[format:iss_sub iss:idp sub:alice]]", now.Unix()+7, now.Unix(), page)},
			{"nobody", auth.Identity{Method: "anonymous"},
				fmt.Sprintf("map[aud:chat cid:c1 exp:%d iat:%d iss:%s method:anonymous]", now.Unix()+60, now.Unix(), page)},
		} {
			token, err := identity.Token(tt.id, "c1")
			if err != nil {
				t.Fatal(err)
			}
			head, body := claimsOf(t, token)
			for _, name := range []string{"exp", "iat"} {
				body[name] = int64(body[name].(float64))
			}
			if got := fmt.Sprint(body); got != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
			}
			if head["typ"] != IdentityType || head["kid"] != signer.KeyID() {
				t.Errorf("%s: header %v", tt.name, head)
			}
		}
		if !strings.Contains(string(identity.JWKS()), signer.KeyID()) {
			t.Error("the key is not in the set")
		}
	})
	signer, _ := jwt.NewSigner()
	for _, bad := range []func() (*Identity, error){
		func() (*Identity, error) { return NewIdentity(nil, "a", "b") },
		func() (*Identity, error) { return NewIdentity(signer, "", "b") },
		func() (*Identity, error) { return NewIdentity(signer, "a", "") },
	} {
		if _, err := bad(); err == nil {
			t.Error("accepted")
		}
	}
}

// An identity is no credential at the door, even where a verifier is given its
// key, issuer and audience.
func TestIdentityIsNoToken(t *testing.T) {
	signer, err := jwt.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := NewIdentity(signer, "https://door.example", "chat")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := jwt.New(jwt.Config{Issuer: "https://door.example", Audience: "chat", Algs: []string{"ES256"}, Keys: jwt.PublicSet(signer)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.Token(auth.Identity{Issuer: "idp", Subject: "alice"}, "c")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := verifier.Authenticate(context.Background(), &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}); err == nil {
		t.Errorf("admitted %v", id)
	}
}
