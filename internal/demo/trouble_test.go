package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sallyport/sallyport/deny"
)

func (b *browser) trouble(what string, seconds int) map[string]any {
	b.t.Helper()
	return b.want(200, "POST", troublePath, map[string]any{"what": what, "seconds": seconds}, nil)
}

// wantNothing reports what arrives on c within d, which is not long.
func wantSilence(t *testing.T, lines <-chan string, d time.Duration) {
	t.Helper()
	select {
	case l, ok := <-lines:
		t.Errorf("got %q, %v; want silence", l, ok)
	case <-time.After(d):
	}
}

// hear reads c to its end.
func hear(c *websocket.Conn) <-chan string {
	lines := make(chan string, 16)
	go func() {
		defer close(lines)
		for {
			_, data, err := c.Read(context.Background())
			if err != nil {
				return
			}
			lines <- string(data)
		}
	}()
	return lines
}

func wantHeard(t *testing.T, lines <-chan string, text string) {
	t.Helper()
	select {
	case l, ok := <-lines:
		if !ok || !strings.Contains(l, text) {
			t.Errorf("got %q, %v; want %q", l, ok, text)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("nothing came; want %q", text)
	}
}

func TestACutCableHoldsTheChatOfOneSessionAndNothingElse(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	a, b := ada.connect(), bob.connect()
	atAda, atBob := hear(a), hear(b)

	if left := ada.trouble("cut", 60)["cut"].(float64); left < 55 || left > 60 {
		t.Errorf("cut for %v s, want 60", left)
	}
	say(t, a, "into the cut cable")
	say(t, b, "anybody there?")
	wantHeard(t, atBob, "anybody there?")
	wantSilence(t, atAda, 300*time.Millisecond)
	wantSilence(t, atBob, 0)
	if got := bob.trouble("look", 0)["cut"]; got != 0.0 {
		t.Errorf("bob's cable: cut for %v s, want 0", got)
	}

	ada.trouble("plug", 0)
	wantHeard(t, atBob, "into the cut cable")
	wantHeard(t, atAda, "anybody there?")
	wantHeard(t, atAda, "into the cut cable")
}

func TestACutCableAnswersNoHandshakeAndEndsByItself(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	ada.trouble("cut", 1)
	began := time.Now()
	c := ada.connect() // waits for the cable
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("answered after %s, while the cable was cut", took)
	}
	say(t, c, "through")
	wantLine(t, c, "ada", "through")
}

func TestStoppingPlugsEveryCableIn(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c := ada.connect()
	ada.trouble("cut", 60)
	done := make(chan error, 1)
	go func() { done <- d.stop() }()
	wantEnd(t, c, deny.Drain)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAShortTokenEndsTheConnectionUnlessItIsRenewed(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c, began := ada.connect(), time.Now()
	token := ada.trouble("token", 5)["token"].(string)
	ada.want(200, "POST", "/api/renew", map[string]string{"gate": chatGate}, http.Header{"Authorization": {"Bearer " + token}})
	if took := wantEnd(t, c, deny.AuthExpired).Sub(began); took < 3*time.Second || took > 7*time.Second {
		t.Errorf("ended after %s, want 5s", took)
	}
}

func TestASignOutElsewhereEndsTheSessionAndItsConnections(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c := ada.connect()
	ada.trouble("sign-out", 0)
	wantEnd(t, c, deny.AuthSignedOut)
	ada.want(401, "GET", "/api/getToken?gate=/chat", nil, nil)
}

func TestADeploymentDrainsTheFirstDoorAndServesFromTheSecond(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	old := ada.connect()
	if n := ada.trouble("deploy", 0)["door"]; n != 2.0 {
		t.Errorf("door %v serves, want 2", n)
	}
	if status, answer := ada.do("POST", troublePath, map[string]any{"what": "deploy"}, nil); status != 429 || answer["error"] != "guard.too-fast" {
		t.Errorf("another one at once: got %d %v, want 429 guard.too-fast", status, answer)
	}
	next := ada.connect() // the session and its tokens are good at both
	wantEnd(t, old, deny.Drain)
	say(t, next, "from the second door")
	wantLine(t, next, "ada", "from the second door")
	ada.want(200, "POST", "/api/logout", map[string]any{}, nil)
	wantEnd(t, next, deny.AuthSignedOut)
}

func TestALogoutReachesADoorThatDrains_SR43(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	for range 3 { // a drain ends plain connections in turn: with bob's among them the last is not the first
		bob.connect()
	}
	conns := []*websocket.Conn{ada.connect(), ada.connect(), ada.connect(), ada.connect(), ada.connect(), ada.connect()}
	bob.trouble("deploy", 0)
	ada.want(200, "POST", "/api/logout", map[string]any{}, nil)
	began, signedOut := time.Now(), 0
	for _, c := range conns {
		_, _, err := c.Read(t.Context())
		closed, _ := errors.AsType[websocket.CloseError](err)
		switch closed.Reason {
		case deny.AuthSignedOut.CloseReason():
			signedOut++
		case deny.Drain.CloseReason(): // its turn came before the log-out
		default:
			t.Errorf("got %v", err)
		}
	}
	if took := time.Since(began); took > time.Second || signedOut == 0 {
		t.Errorf("%d ended with the log-out, the last after %s; want some, within a second", signedOut, took)
	}
}

func TestTroubleIsForWhoIsSignedInOnThisPage(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	if status, answer := ada.do("POST", troublePath, map[string]any{"what": "deploy"}, nil); status != 401 || answer["error"] != "auth.missing" {
		t.Errorf("signed out: got %d %v, want 401 auth.missing", status, answer)
	}
	ada.login("ada")
	for _, row := range []struct {
		name, method string
		body         any
		want         int
	}{
		{"nothing of that name", "POST", map[string]any{"what": "flood"}, 400},
		{"a cut for ever", "POST", map[string]any{"what": "cut", "seconds": 121}, 400},
		{"a cut for no time", "POST", map[string]any{"what": "cut"}, 400},
		{"a token of a second", "POST", map[string]any{"what": "token", "seconds": 1}, 400},
		{"a token of an hour", "POST", map[string]any{"what": "token", "seconds": 3600}, 400},
		{"a long body", "POST", map[string]any{"what": strings.Repeat("a", maxLogin)}, 413},
		{"a GET", "GET", nil, 405},
	} {
		if got, answer := ada.do(row.method, troublePath, row.body, nil); got != row.want {
			t.Errorf("%s: got %d %v, want %d", row.name, got, answer, row.want)
		}
	}
	ada.page = d.evil
	if status, answer := ada.do("POST", troublePath, map[string]any{"what": "deploy"}, nil); status != 403 || answer["error"] != "http.cross-site" {
		t.Errorf("from another page: got %d %v, want 403 http.cross-site", status, answer)
	}
}

func TestThereIsARoomForCuts(t *testing.T) {
	c := newCable()
	for i := range maxCuts {
		if err := c.cut(string(rune('A'+i)), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cut("one more", time.Minute); deny.Of(err) != deny.GuardFull {
		t.Errorf("got %v, want guard.full", err)
	}
	if err := c.cut("A", 2*time.Minute); err != nil || c.left("A") < 90*time.Second {
		t.Errorf("one that is cut: got %v and %s, want it cut for longer", err, c.left("A"))
	}
	c.close()
	if c.left("A") != 0 || deny.Of(c.cut("A", time.Minute)) != deny.Drain {
		t.Error("a closed cable is cut")
	}
}

// wires returns both ends of a socket, the first on a cable.
func wires(t *testing.T) (w *wire, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c, err := newCable().over(l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		peer.Close()
		c.Close()
		c.(*wire).release()
	})
	return c.(*wire), peer
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 64)
	if n, err := c.Read(b); err != nil || string(b[:n]) != want {
		t.Errorf("got %q, %v; want %q", b[:n], err, want)
	}
}

func readNothing(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	b := make([]byte, 64)
	if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v; want nothing until the deadline", b[:n], err)
	}
}

func TestAWireThatIsHeld(t *testing.T) {
	w, peer := wires(t)
	w.hold()
	peer.Write([]byte("up"))
	w.Write([]byte("do"))
	w.Write([]byte("wn"))
	readNothing(t, w)
	readNothing(t, w) // what arrived meanwhile is not lost by a deadline
	readNothing(t, peer)
	w.release()
	read(t, w, "up")
	read(t, peer, "down")
	w.Write([]byte("and on"))
	read(t, peer, "and on")
}

func TestAWireThatIsClosedWhileItIsHeldSaysSoLater(t *testing.T) {
	w, peer := wires(t)
	w.hold()
	ended := make(chan error, 1)
	go func() {
		_, err := w.Read(make([]byte, 1))
		ended <- err
	}()
	w.Write([]byte("goodbye"))
	w.CloseWrite()
	w.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the reader: got %v, want net.ErrClosed", err)
	}
	if _, err := w.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer: got %v, want net.ErrClosed", err)
	}
	readNothing(t, peer)
	w.release()
	read(t, peer, "goodbye")
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Error("the peer was not told the end")
	}
	if len(w.cable.wires) != 0 {
		t.Error("the cable still knows the wire")
	}
}

func TestAHeldWireKeepsSoMuchAndNoMore(t *testing.T) {
	w, _ := wires(t)
	w.hold()
	piece := make([]byte, 64<<10)
	for range heldBytes / len(piece) {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, errTorn) {
		t.Errorf("got %v, want %v", err, errTorn)
	}
}
