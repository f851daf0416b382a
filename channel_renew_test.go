package sallyport_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/sallyporttest"
)

// Who has the answer to a renewal may ask for the next.
func TestRenewalsFollowEachOther_SR42(t *testing.T) {
	slow := func(c *sallyport.Config) { // whoever writes the log takes his time
		c.Observe = func(e sallyport.Event) {
			if e.Kind == sallyport.Renewed {
				time.Sleep(time.Second)
			}
		}
	}
	bubble(t, slow, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada;10s"))
		for range 3 {
			c.say(`{"t":"renew","token":"ada;1h"}`)
			c.control("renewed")
		}
		c.say(`{"t":"renew","token":"ada;1h"}`)
		c.say(`{"t":"renew","token":"ada;1h"}`) // while the other waits
		if got := c.control("renew-refused"); got["code"] != deny.GuardTooFast.Code() {
			t.Errorf("refused with %v", got)
		}
		c.control("renewed")
	})
}

// What no authenticator takes for a credential renews nothing and ends nothing,
// although the gate would let anybody in.
func TestNobodyRenewsInBand_SR42_AT55(t *testing.T) {
	tests := []struct {
		name, who, say string
		want           deny.Reason
	}{
		{"nobody, as nobody", "", `{"t":"renew","ticket":"sallyport.ticket.x"}`, deny.RenewMismatch},
		{"somebody, as nobody", "ada;10s", `{"t":"renew","ticket":"sallyport.ticket.x"}`, deny.RenewMismatch},
		{"a ticket that is none", "ada;10s", `{"t":"renew","ticket":"chat"}`, deny.AuthInvalid},
		{"a ticket behind something else", "ada;10s", `{"t":"renew","ticket":"chat,sallyport.ticket.x"}`, deny.AuthInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.Auth = auth.First(named{}, auth.Anonymous("a test")) }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				o := withChannel(tt.who)
				if tt.who == "" {
					o.Header = nil
				}
				c, _ := speak(t, s, o)
				c.say(tt.say)
				if got := c.control("renew-refused"); got["code"] != tt.want.Code() {
					t.Errorf("refused with %v, want %s", got, tt.want)
				}
				c.text("still here")
				c.wantText("still here")
			})
		})
	}
}

// Who tries credentials on an open connection is seen, as at POST …/renew.
func TestRefusedRenewalsAreObserved_SR92(t *testing.T) {
	var events chan sallyport.Event
	bubble(t, func(c *sallyport.Config) {
		events = make(chan sallyport.Event, 10)
		c.Observe = func(e sallyport.Event) {
			if e.Kind == sallyport.Refused {
				events <- e
			}
		}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, hello := speak(t, s, withChannel("ada"))
		c.say(`{"t":"renew","token":"ada;-1s"}`)
		c.control("renew-refused")
		if e := <-events; e.Conn != hello["id"] || e.Gate != "/ws" || e.Reason != deny.AuthExpired || e.Identity.Subject != "ada" {
			t.Errorf("observed %+v", e)
		}
	})
}

// waiting is an authenticator that has not answered yet when the rules change.
type waiting struct {
	named
	asked, answer chan struct{}
}

func (w waiting) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	id, err := w.named.Authenticate(ctx, r)
	if id.Session = "s"; strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ada;1h") {
		id.KeyID = "old"
		close(w.asked)
		<-w.answer
	}
	return id, err
}

// without refuses credentials by a key that has left.
type without struct{ named }

func (without) Judge(id auth.Identity) error {
	if id.KeyID == "old" {
		return deny.Because(deny.AuthInvalid, nil)
	}
	return nil
}

func TestRenewalMeetsReload_SR43(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := waiting{asked: make(chan struct{}), answer: make(chan struct{})}
		rules := config(func(c *sallyport.Config) { c.Auth = auth.First(w) })
		door, err := sallyport.New(rules)
		if err != nil {
			t.Fatal(err)
		}
		s := sallyporttest.Serve(t, door)
		c, _ := speak(t, s, withChannel("ada;10s"))
		c.say(`{"t":"renew","token":"ada;1h"}`)
		<-w.asked
		rules.Auth = auth.First(without{})
		if err := door.Reload(rules); err != nil {
			t.Fatal(err)
		}
		close(w.answer)
		c.wantEnd(deny.PolicyChanged, 0)
		if err := door.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
}
