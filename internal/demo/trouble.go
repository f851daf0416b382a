package demo

import (
	"net/http"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// Bounds of a short token's life.
const (
	minToken = 5 * time.Second
	maxToken = time.Minute
)

// trouble is what a network, a clock and an operator do to a connection, on
// request. It exists in the demo only, and answers whoever the login answers.
type trouble struct {
	people *people
	doors  *doors
	cable  *cable
	relay  *relay
}

// serve is POST /api/trouble {what, seconds}, for who is signed in. what is
//
//   - "look": nothing; tells how things are
//   - "cut": hold the chat of this session, both ways and without closing
//     anything, for so many seconds, 120 at most
//   - "plug": let it go on
//   - "token": a token of the real kind that ends in so many seconds, 5 to 60;
//     whoever renews with it has a connection that ends soon
//   - "sign-out": end the session as another device would: the cookie stays
//   - "flip-up", "flip-down": change one bit of the next message that this
//     session sends, or gets, through the relay
//   - "flip-none": let it pass as it is
//   - "deploy": open another door in the place of this one, which drains
//
// The answer always says how things are: cut, in seconds left; door, the number of
// the one that serves; draining, whether the one before it still does; flip, the
// way of which the next message is changed, "up", "down" or "".
func (t *trouble) serve(w http.ResponseWriter, r *http.Request) {
	var in struct {
		What    string `json:"what"`
		Seconds int    `json:"seconds"`
	}
	if err := t.people.accept(r, &in); err != nil {
		refuse(w, err)
		return
	}
	id, err := t.people.whoIs(r)
	if err != nil {
		refuse(w, err)
		return
	}
	answer := map[string]any{}
	if err := t.do(r, id, in.What, time.Duration(in.Seconds)*time.Second, answer); err != nil {
		refuse(w, err)
		return
	}
	n, draining := t.doors.count()
	answer["cut"], answer["door"], answer["draining"], answer["flip"] = t.cable.left(id.Session).Seconds(), n, draining, t.relay.armed(id.Session)
	reply(w, answer)
}

func (t *trouble) do(r *http.Request, id auth.Identity, what string, d time.Duration, answer map[string]any) (err error) {
	switch what {
	case "look":
	case "cut":
		if d < time.Second || d > longCut {
			return deny.Because(deny.HTTPMalformed, nil)
		}
		return t.cable.cut(id.Session, d)
	case "plug":
		t.cable.plug(id.Session)
	case "token":
		if d < minToken || d > maxToken {
			return deny.Because(deny.HTTPMalformed, nil)
		}
		answer["token"], err = t.people.token(id, d)
		answer["expires_in"] = int(d / time.Second)
	case "sign-out":
		t.cable.plug(id.Session) // so that it learns of it
		if err := t.people.sessions.End(r.Context(), id.Session); err != nil {
			return err
		}
		return t.doors.signOut(r.Context(), id.Session)
	case "flip-up":
		return t.relay.arm(id.Session, up)
	case "flip-down":
		return t.relay.arm(id.Session, down)
	case "flip-none":
		return t.relay.arm(id.Session, "")
	case "deploy":
		_, err = t.doors.deploy()
		answer["seconds"] = int(deployTime / time.Second)
	default:
		return deny.Because(deny.HTTPMalformed, nil)
	}
	return err
}
