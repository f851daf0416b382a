package forward

import (
	"errors"
	"testing"

	"github.com/sallyport/sallyport/auth"
)

func TestJudge(t *testing.T) {
	a, err := New(Config{URL: "http://127.0.0.1:3000/me?verbose=1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	for _, row := range []struct {
		name    string
		id      auth.Identity
		foreign bool
	}{
		{name: "its own", id: auth.Identity{Method: Method, Issuer: a.Issuer(), Subject: "alice"}},
		{name: "another application's", id: auth.Identity{Method: Method, Issuer: "http://127.0.0.1:4000/me"}, foreign: true},
		{name: "a token", id: auth.Identity{Method: "jwt", Issuer: a.Issuer()}, foreign: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := errors.Is(a.Judge(row.id), auth.ErrNoCredentials); got != row.foreign {
				t.Errorf("foreign: got %v, want %v", got, row.foreign)
			}
		})
	}
}
