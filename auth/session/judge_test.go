package session

import (
	"errors"
	"testing"

	"github.com/sallyport/sallyport/auth"
)

func TestJudge(t *testing.T) {
	s, err := New(Config{Store: NewMemory(0), Issuer: "https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		id      auth.Identity
		foreign bool
	}{
		{name: "its own", id: auth.Identity{Method: Method, Issuer: "https://app.example.com", Subject: "alice"}},
		{name: "a session of another issuer", id: auth.Identity{Method: Method, Issuer: "https://app.example.net"}, foreign: true},
		{name: "a token of the same issuer", id: auth.Identity{Method: "jwt", Issuer: "https://app.example.com"}, foreign: true},
		{name: "nobody", foreign: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := errors.Is(s.Judge(row.id), auth.ErrNoCredentials); got != row.foreign {
				t.Errorf("foreign: got %v, want %v", got, row.foreign)
			}
		})
	}
}
