package ws

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// Two libraries that have read the web for years are asked the same questions.
// Legal streams must mean the same to all three. What they let through and this
// package does not is written down, so that the list stays true.

// script is a net.Conn that says what it was told and forgets what it hears. As
// a server it answers the handshake that it hears first.
type script struct {
	net.Conn
	say    *bytes.Reader
	answer []byte // said after the handshake, with the right accept value
}

func (s *script) Read(b []byte) (int, error) { return s.say.Read(b) }
func (s *script) Write(b []byte) (int, error) {
	if s.answer != nil {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return 0, err
		}
		head := AppendResponse(nil, Offer{Key: r.Header.Get("Sec-WebSocket-Key")}, "", nil)
		s.say, s.answer = bytes.NewReader(append(head, s.answer...)), nil
	}
	return len(b), nil
}
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// hijackable gives a handler the script as its connection.
type hijackable struct {
	*httptest.ResponseRecorder
	conn *script
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReaderSize(h.conn, 16), bufio.NewWriter(h.conn)), nil
}

// RoundTrip answers a client's handshake with the script as the body.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	head := AppendResponse(nil, Offer{Key: r.Header.Get("Sec-WebSocket-Key")}, "", nil)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), r)
	if err == nil {
		resp.Body = s
	}
	return resp, err
}

// byGorilla says what gorilla/websocket in the given role reads from stream.
func byGorilla(t testing.TB, role Role, stream []byte) (out []string) {
	t.Helper()
	var c *gorilla.Conn
	var err error
	if role == Server {
		h := &hijackable{httptest.NewRecorder(), &script{say: bytes.NewReader(stream)}}
		c, err = (&gorilla.Upgrader{ReadBufferSize: 512}).Upgrade(h, request(t, "GET / HTTP/1.1"), nil)
	} else {
		dialer := gorilla.Dialer{ReadBufferSize: 512, WriteBufferSize: 512, NetDial: func(string, string) (net.Conn, error) {
			return &script{answer: append([]byte{}, stream...)}, nil
		}}
		c, _, err = dialer.Dial("ws://a/", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.SetPingHandler(func(s string) error { out = append(out, fmt.Sprintf("9 %q", s)); return nil })
	c.SetPongHandler(func(s string) error { out = append(out, fmt.Sprintf("10 %q", s)); return nil })
	for {
		kind, data, err := c.ReadMessage()
		if err != nil {
			return append(out, ending(err))
		}
		out = append(out, fmt.Sprintf("%d %q", kind, data))
	}
}

// byCoder says what coder/websocket in the given role reads from stream.
func byCoder(t testing.TB, role Role, stream []byte) (out []string) {
	t.Helper()
	ctx := context.Background()
	ping := func(_ context.Context, b []byte) bool { out = append(out, fmt.Sprintf("9 %q", b)); return false }
	pong := func(_ context.Context, b []byte) { out = append(out, fmt.Sprintf("10 %q", b)) }
	s := &script{say: bytes.NewReader(stream)}
	var c *coder.Conn
	var err error
	if role == Server {
		c, err = coder.Accept(&hijackable{httptest.NewRecorder(), s}, request(t, "GET / HTTP/1.1"), &coder.AcceptOptions{OnPingReceived: ping, OnPongReceived: pong})
	} else {
		c, _, err = coder.Dial(ctx, "ws://a/", &coder.DialOptions{HTTPClient: &http.Client{Transport: s}, OnPingReceived: ping, OnPongReceived: pong})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, data, err := c.Read(ctx)
		if err != nil {
			return append(out, ending(err))
		}
		out = append(out, fmt.Sprintf("%d %q", kind, data))
	}
}

// ending tells a close frame and the end of the input from a refusal.
func ending(err error) string {
	var g *gorilla.CloseError
	var c coder.CloseError
	switch {
	case errors.As(err, &g) && g.Code != 1006:
		return fmt.Sprintf("close %d %q", g.Code, g.Text)
	case errors.As(err, &c):
		return fmt.Sprintf("close %d %q", c.Code, c.Reason)
	case errors.As(err, &g), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end"
	}
	return "refused"
}

// byUs is the same in the same words.
func byUs(t testing.TB, l limits, stream []byte) []string {
	out := transcribe(t, l, stream)
	switch {
	case len(out) > 0 && strings.HasPrefix(out[len(out)-1], "fault"):
		out[len(out)-1] = "refused"
	case len(out) == 0 || !strings.HasPrefix(out[len(out)-1], "close"):
		out = append(out, "end")
	}
	return out
}

// Streams made of legal frames only: messages in random fragments, with control
// frames between, ended by a close or by nothing.
func TestLegalStreamsMeanTheSame_AT42(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 26))
	for range 150 {
		var masked, plain []byte
		put := func(first byte, payload string) {
			masked = append(masked, frame(true, first, payload)...)
			plain = append(plain, frame(false, first, payload)...)
		}
		control := func() {
			if r.IntN(4) == 0 {
				put(0x89+byte(r.IntN(2)), strings.Repeat("c", r.IntN(126)))
			}
		}
		for range r.IntN(6) {
			size := []int{0, 1, 9, 125, 126, 200, 3000, 65535, 65536}[r.IntN(9)]
			rest := strings.ToValidUTF8(strings.Repeat("aé€😀", size)[:size], "")
			first := byte(1 + r.IntN(2))
			for parts := r.IntN(5); parts > 0; parts-- {
				n := r.IntN(len(rest) + 1)
				put(first, rest[:n]) // may cut a character
				rest, first = rest[n:], 0
				control()
			}
			put(0x80|first, rest)
			control()
		}
		if r.IntN(2) == 0 {
			put(0x88, []string{"", "\x03\xe8", "\x0f\xa0Idle timeout;guard.idle"}[r.IntN(3)])
		}
		for role, stream := range map[Role][]byte{Server: masked, Client: plain} {
			want := byUs(t, limits{role: role, message: 1 << 20}, stream)
			for name, read := range map[string]func(testing.TB, Role, []byte) []string{"gorilla": byGorilla, "coder": byCoder} {
				if got := read(t, role, stream); !slices.Equal(got, want) {
					t.Fatalf("role %d: %s reads %.300q, we read %.300q", role, name, got, want)
				}
			}
		}
	}
}

// Over the whole battery: where we accept, they accept the same; where we
// refuse, they refuse, or the row is on the list of differences.
func TestWhereOthersAreLaxer_SR50_SR51_SR52_SR53_SR54_SR55(t *testing.T) {
	const both = "gorilla coder"
	laxer := map[string]string{ // row of verdicts: who lets it through
		"a header and silence":                                            "coder", // a message that was never sent, read as empty
		"SR-50 a masked server frame":                                     "coder", // not even unmasked
		"SR-50 a masked server ping":                                      "coder",
		"SR-53 AT-33 125 bytes in 16 bits":                                both,
		"SR-53 AT-33 no bytes in 16 bits":                                 both,
		"SR-53 AT-33 5 bytes in 64 bits":                                  both,
		"SR-53 AT-33 65535 bytes in 64 bits":                              both,
		"SR-53 AT-32 the top bit of a length":                             both, // they wait for the rest of the header
		"SR-54 AT-38 a byte that is never UTF-8":                          both,
		"SR-54 AT-38 an overlong slash":                                   both,
		"SR-54 AT-38 an overlong form of three bytes":                     both,
		"SR-54 AT-38 a surrogate":                                         both,
		"SR-54 AT-38 above U+10FFFF":                                      both,
		"SR-54 AT-38 an incomplete last character":                        both,
		"SR-54 AT-38 the last fragment leaves a character open":           both,
		"SR-54 AT-38 an impossible byte in the next fragment":             both,
		"SR-54 AT-38 an impossible byte long before the end of its frame": both,
		"SR-54 AT-38 a close reason that is not UTF-8":                    "coder",
		"SR-54 AT-38 a close reason that ends inside a character":         "coder",
		"SR-55 AT-39 a close with one byte":                               "gorilla", // taken for a close without a code
	}
	agreed := 0
	for _, row := range verdicts {
		if row.l.message != 0 || row.l.fragments != 0 || strings.Contains(row.name, "fragments by default") || slices.Equal(row.want, []string{"fault 1009"}) {
			continue // limits are a matter of settings
		}
		want := byUs(t, row.l, row.stream)
		for name, read := range map[string]func(testing.TB, Role, []byte) []string{"gorilla": byGorilla, "coder": byCoder} {
			got := read(t, row.l.role, row.stream)
			same := slices.Equal(got, want)
			if listed := strings.Contains(laxer[row.name], name); same == listed {
				t.Errorf("%s: %s reads %q, we read %q, listed as laxer: %v", row.name, name, got, want, listed)
			} else if same {
				agreed++
			}
		}
	}
	t.Logf("%d verdicts are the same, %d rows are laxer elsewhere", agreed, len(laxer))
}

// The same for handshakes: what we accept they accept, and what they accept and
// we do not is this list.
func TestWhereOthersUpgradeMore_SR09_SR80_SR81_AT22(t *testing.T) {
	const both = "gorilla coder"
	for _, row := range []struct {
		name  string
		start string
		lines []string
		we    bool
		they  string // who accepts
	}{
		{name: "a good handshake", we: true, they: both},
		{name: "odd case, tabs, several lines", lines: []string{"Upgrade: WebSocket", "Connection: keep-alive", "+Connection:\tuPGRADE , x"}, we: true, they: both},
		{name: "subprotocols", lines: []string{"+Sec-WebSocket-Protocol: a, b"}, we: true, they: both},
		{name: "a body", lines: []string{"+Content-Length: 5"}, they: both},
		{name: "a chunked body", lines: []string{"+Transfer-Encoding: chunked"}, they: both},
		{name: "Expect", lines: []string{"+Expect: 100-continue"}, they: both},
		{name: "two upgrades", lines: []string{"Upgrade: websocket, h2c"}, they: both},
		{name: "two upgrades on two lines", lines: []string{"+Upgrade: h2c"}, they: both},
		{name: "h2c", lines: []string{"Upgrade: h2c"}},
		{name: "the key twice", lines: []string{"+Sec-WebSocket-Key: " + sampleKey}, they: "gorilla"},
		{name: "a key with bits in its padding", lines: []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="}, they: both},
		{name: "versions 13 and 8", lines: []string{"Sec-WebSocket-Version: 13, 8"}, they: "gorilla"},
		{name: "version 13 twice", lines: []string{"+Sec-WebSocket-Version: 13"}, they: both},
		{name: "version 8", lines: []string{"Sec-WebSocket-Version: 8"}},
		{name: "a subprotocol twice", lines: []string{"+Sec-WebSocket-Protocol: a, a"}, they: both},
		{name: "a subprotocol that is no token", lines: []string{`+Sec-WebSocket-Protocol: "a b"`}, they: both},
		{name: "HTTP/1.0", start: "GET / HTTP/1.0", they: "gorilla"},
		{name: "POST", start: "POST / HTTP/1.1"},
	} {
		if row.start == "" {
			row.start = "GET / HTTP/1.1"
		}
		if _, err := CheckUpgrade(request(t, row.start, row.lines...)); (err == nil) != row.we {
			t.Errorf("%s: we say %v", row.name, err)
		}
		h := &hijackable{httptest.NewRecorder(), &script{say: bytes.NewReader(nil)}}
		if _, err := (&gorilla.Upgrader{}).Upgrade(h, request(t, row.start, row.lines...), nil); (err == nil) != strings.Contains(row.they, "gorilla") {
			t.Errorf("%s: gorilla says %v", row.name, err)
		}
		h = &hijackable{httptest.NewRecorder(), &script{say: bytes.NewReader(nil)}}
		c, err := coder.Accept(h, request(t, row.start, row.lines...), nil)
		if (err == nil) != strings.Contains(row.they, "coder") {
			t.Errorf("%s: coder says %v", row.name, err)
		}
		if err == nil {
			c.CloseNow()
		}
	}
}
