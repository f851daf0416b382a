package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/state"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

func (d *running) middle() string {
	d.t.Helper()
	return strings.Fields(d.find(`Proxy +https://localhost:\d+`))[1]
}

// through opens a socket as a page does, by the proxy.
func (b *browser) through(protocols ...string) *websocket.Conn {
	b.t.Helper()
	c, _, err := websocket.Dial(b.t.Context(), "wss"+strings.TrimPrefix(b.middle(), "https")+chatGate, &websocket.DialOptions{
		HTTPClient: b.client, HTTPHeader: http.Header{"Origin": {b.page}}, Subprotocols: protocols,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.CloseNow() })
	return c
}

// eavesdrop is what the proxy is known to have seen, once it contains want.
func (b *browser) eavesdrop(want ...string) string {
	b.t.Helper()
	c, _, err := websocket.Dial(b.t.Context(), "wss"+strings.TrimPrefix(b.origin, "https")+middleGate, &websocket.DialOptions{
		HTTPClient: b.client, HTTPHeader: http.Header{"Origin": {b.page}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.CloseNow()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	var all string
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			b.t.Fatalf("%v; the proxy saw: %s, want %q", err, all, want)
		}
		if all += string(data); containsAll(all, want) {
			return all
		}
	}
}

// sealedChat is a page's side of a sealed connection.
type sealedChat struct {
	*websocket.Conn
	t       *testing.T
	session *seal.Session
}

// sealed opens a sealed connection through the proxy, as a page that has the pin.
func (b *browser) sealed() *sealedChat {
	b.t.Helper()
	authority := hostOf(b.middle())
	page := b.read("/")
	pin, err := seal.ParsePin(page[strings.Index(page, "sp1."):][:47])
	if err != nil {
		b.t.Fatal(err)
	}
	document, err := seal.Verify([]byte(b.read("/middle.keys")), seal.Policy{Pins: []seal.Pin{pin}, Authority: authority, Now: time.Now()})
	if err != nil {
		b.t.Fatal(err)
	}
	key, err := document.Pick(time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	_, ticket := b.trade(b.token())
	c := &sealedChat{b.through("sallyport.v1+seal"), b.t, nil}
	client, hello, err := seal.NewClient(key, seal.Context{Token: c.Subprotocol(), Authority: authority, Target: chatGate, Origin: b.page}, seal.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	c.write(hello)
	_, answer, err := c.Read(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	session, record, err := client.Finish(answer, seal.Credential{Kind: seal.Ticket, Value: ticket["ticket"].(string)}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	c.session = session
	c.write(record)
	c.want("hello")
	return c
}

func (b *browser) read(path string) string {
	b.t.Helper()
	response, err := b.client.Get(b.origin + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		b.t.Fatalf("%s: %d, %v", path, response.StatusCode, err)
	}
	return string(data)
}

func (c *sealedChat) write(message []byte) {
	c.t.Helper()
	if err := c.Write(c.t.Context(), websocket.MessageBinary, message); err != nil {
		c.t.Fatal(err)
	}
}

func (c *sealedChat) say(text string) {
	c.t.Helper()
	record, err := c.session.Seal(nil, seal.Text, false, []byte("\x00"+text))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(record)
}

// want opens records until one contains text.
func (c *sealedChat) want(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	for {
		_, record, err := c.Read(ctx)
		if err != nil {
			c.t.Fatalf("%v, want %q", err, text)
		}
		r, err := c.session.Open(record)
		if err != nil {
			c.t.Fatalf("%v, want %q", err, text)
		}
		if strings.Contains(string(r.Data), text) {
			return
		}
	}
}

func TestTheProxyReadsAndChangesWhatIsNotSealed(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	_, ticket := ada.trade(ada.token())
	a, b := ada.through(ticket["ticket"].(string), "sallyport"), bob.connect()
	say(t, a, "pay bob 100 euros")
	wantLine(t, b, "ada", "pay bob 100 euros")
	saw := ada.eavesdrop("pay bob 100 euros", `"way":"up"`, `"way":"down"`, `"cookie":true`, `"text":"GET /chat from `+d.origin)
	if strings.Contains(saw, ticket["ticket"].(string)) || strings.Contains(saw, `"sealed":true`) {
		t.Errorf("the list shows a ticket, or a seal: %s", saw)
	}

	if got := ada.trouble("flip-up", 0)["flip"]; got != "up" {
		t.Errorf("flip: got %v, want up", got)
	}
	say(t, a, "pay bob 100 euros")
	wantLine(t, b, "ada", "pay bob 900 euros")
	wantLine(t, a, "ada", "pay bob 100 euros")
	wantLine(t, a, "ada", "pay bob 900 euros")
	ada.eavesdrop(`"flipped":true`)
	if got := ada.trouble("look", 0)["flip"]; got != "" {
		t.Errorf("flip: got %v, want one message changed, and no other", got)
	}
	ada.trouble("flip-down", 0)
	say(t, b, "2 o'clock")
	wantLine(t, a, "bob", "3 o'clock")
	ada.trouble("flip-down", 0)
	ada.trouble("flip-none", 0)
	say(t, b, "2 o'clock")
	wantLine(t, a, "bob", "2 o'clock")

	bob.through().CloseNow()
	if saw := bob.eavesdrop(`"what":"opened"`); strings.Contains(saw, "euros") {
		t.Errorf("bob is shown what is ada's: %s", saw)
	}
}

func TestTheProxySeesSealedBytesAndAFlippedBitEndsTheConnection(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	b := hear(bob.connect())
	const secret = "pay bob 100 euros"
	line, _ := json.Marshal(map[string]string{"text": secret})

	c := ada.sealed()
	c.say(string(line))
	c.want(secret)
	wantHeard(t, b, secret)
	saw := ada.eavesdrop(`"sealed":true`, `"size":2363`, `"size":1153`, `"hex":"10`, "sallyport.v1+seal")
	if strings.Contains(saw, secret) || strings.Contains(saw, "sallyport.ticket") || strings.Contains(saw, `"way":"up","sealed":true,"text"`) {
		t.Errorf("the proxy reads what is sealed: %s", saw)
	}

	ada.trouble("flip-up", 0)
	c.say(string(line))
	for {
		_, record, err := c.Read(t.Context())
		if closed, ok := errors.AsType[websocket.CloseError](err); ok {
			if closed.Code != websocket.StatusCode(deny.SealBroken.Close()) {
				t.Errorf("sent with a flipped bit: ended with %v, want %s", closed, deny.SealBroken)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := c.session.Open(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.session.Closed(); seal.FaultOf(err) != seal.FaultTruncated {
		t.Errorf("what was said outside the seal counts: %v", err)
	}
	wantSilence(t, b, 200*time.Millisecond)

	c = ada.sealed()
	ada.trouble("flip-down", 0)
	c.say(string(line))
	for {
		_, record, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.session.Open(record)
		if seal.FaultOf(err) == seal.FaultBroken {
			break
		}
		if err != nil || strings.Contains(string(r.Data), secret) {
			t.Fatalf("got with a flipped bit: %q, %v, want %s", r.Data, err, seal.FaultBroken)
		}
	}
}

func TestNothingIsFlippedForWhoDoesNotGoThroughTheProxy(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	ada.connect()
	bob.through()
	if status, answer := ada.do("POST", troublePath, map[string]any{"what": "flip-up"}, nil); status != 404 || answer["error"] != "http.not-found" {
		t.Errorf("got %d %v, want 404 http.not-found", status, answer)
	}
	c, _, err := websocket.Dial(t.Context(), "wss"+strings.TrimPrefix(d.origin, "https")+middleGate, &websocket.DialOptions{
		HTTPClient: d.browser().client, HTTPHeader: http.Header{"Origin": {d.origin}}, Subprotocols: []string{"sallyport"},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantEnd(t, c, deny.AuthMissing)
}

func TestTheProxyCarriesTheChatAlone(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	for path, want := range map[string]int{"/": 200, "/api/session": 404, "/chat": 404, "/events": 404} {
		response, err := ada.client.Get(d.middle() + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, response.StatusCode, want)
		}
	}
	evil := d.browser()
	evil.page = d.evil
	wantEnd(t, evil.through("sallyport"), deny.OriginUntrusted) // the door still judges
}

func TestStoppingEndsWhatGoesThroughTheProxy(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c := ada.through()
	done := make(chan error, 1)
	go func() { done <- d.stop() }()
	wantEnd(t, c, deny.Drain)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestACutCableHoldsAlsoWhatGoesThroughTheProxy(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c := ada.through()
	lines := hear(c)
	ada.trouble("cut", 60)
	say(t, c, "into the cut cable")
	wantSilence(t, lines, 300*time.Millisecond)
	ada.trouble("plug", 0)
	wantHeard(t, lines, "into the cut cable")
}

func TestFlip(t *testing.T) {
	for _, row := range []struct {
		name, message string
		sealed        bool
		want          string // empty: left alone
	}{
		{"the first digit", "\x00" + `{"text":"pay 100"}`, false, "\x00" + `{"text":"pay 900"}`},
		{"a digit that stays one", `{"text":"at 7"}`, false, `{"text":"at 6"}`},
		{"the first letter, without digits", `{"from":"ada","text":"hello"}`, false, `{"from":"ada","text":"iello"}`},
		{"not what stands before the text", `{"from":"b0b","text":"ok"}`, false, `{"from":"b0b","text":"gk"}`},
		{"not behind an escape", `{"text":"\u0031"}`, false, ""},
		{"no letter and no digit", `{"text":"€ …"}`, false, ""},
		{"a message of the protocol", "\x01" + `{"t":"probe","text":"1"}`, false, ""},
		{"no text", `{"t":1}`, false, ""},
		{"any bit of a sealed one", "\x10ab", true, "\x10`b"},
		{"nothing", "", true, ""},
	} {
		message := []byte(row.message)
		if got := flip(message, row.sealed); got != (row.want != "") {
			t.Errorf("%s: got %v", row.name, got)
		} else if got && string(message) != row.want {
			t.Errorf("%s: got %q, want %q", row.name, message, row.want)
		}
	}
}

func TestWhatTheProxyRemembersIsBounded(t *testing.T) {
	o := newOverheard()
	for range 3 * heardSize {
		text, _ := spoken(ws.Text, []byte("\x00"+strings.Repeat("€", 5000)))
		_, head := spoken(ws.Binary, make([]byte, 5000))
		o.note(heard{session: "s", What: "message", Text: text, Hex: head, Before: strings.Repeat("x", 5000)})
	}
	all, n, _ := o.later(0, of("s"))
	if len(all) != heardSize || n != 3*heardSize || len(o.last) != heardSize {
		t.Fatalf("got %d of %d, want the last %d", len(all), n, heardSize)
	}
	if h := all[0]; len(h.Text) > heardText+len("…") || len(h.Before) > heardText+len("…") || len(h.Hex) != 2*heardHex {
		t.Errorf("too long: %+v", h)
	}
	if all, _, _ := o.later(0, of("another")); len(all) != 0 {
		t.Errorf("another session gets %d", len(all))
	}
}

func TestTheRelayHasRoomForSoManyAndNoneOnceClosed(t *testing.T) {
	p := newRelay("127.0.0.1:1", nil)
	var all []*relayed
	for i := range maxRelayed {
		c := &relayed{relay: p, name: string(rune('a' + i))}
		if all = append(all, c); !p.add(c) {
			t.Fatalf("no room for number %d", i+1)
		}
	}
	if p.add(&relayed{relay: p, name: "one more"}) {
		t.Error("there is room for one more")
	}
	for _, c := range all {
		p.remove(c)
	}
	p.close()
	if p.add(&relayed{relay: p, name: "late"}) {
		t.Error("a closed relay takes a connection")
	}
}

func TestTheIdentityOfTheSealIsKeptByAState(t *testing.T) {
	s := state.Memory()
	defer s.Close()
	first, err := newSeals(s, "localhost:8443", "localhost:8444")
	if err != nil {
		t.Fatal(err)
	}
	second, err := newSeals(s, "localhost:8443")
	if err != nil || second.pin != first.pin {
		t.Errorf("another pin with the same state: %v", err)
	}
	if len(first.sealing.Documents) != 2 {
		t.Errorf("got %d documents, want one for each name", len(first.sealing.Documents))
	}
}
