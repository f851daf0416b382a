package proxy

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/internal/ws/conform"
)

// lost are the cases that a relay cannot answer as an endpoint can: the client
// breaks a rule, or says goodbye, while the echo of an earlier message is still
// with the backend. The door ends at once, which the suite calls non-strict.
var lost = []string{"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}

// Every other case of the rule suite is strict through the door and the relay,
// with limits raised to what the suite sends.
func TestRelayIsStrict_SR62_SR84(t *testing.T) {
	for _, c := range []Config{{}, {Stream: true}, {DangerouslyPassMasked: "the backend of this test checks text"}} {
		t.Run(fmt.Sprintf("stream %v, masked %v", c.Stream, c.DangerouslyPassMasked != ""), func(t *testing.T) {
			f := backendAt(t, func(conn net.Conn) {
				if _, w := accept(t, conn); w != nil {
					conform.Echo(prefixed{conn, w}, &ws.Parser{Role: ws.Server, MaxMessage: 16 << 20, MaxFragments: -1})
				}
			})
			short := testing.Short() || c.Stream || c.DangerouslyPassMasked != ""
			c.To = "ws://" + f.addr
			s := &setup{proxy: c}
			_, addr := s.start(t)
			report := conform.RunServer(func() (net.Conn, error) {
				w := connect(t, addr)
				return prefixed{w.conn, w}, nil
			}, conform.Options{Short: short, Timeout: 40 * time.Second})
			t.Log(report)
			if len(report) < 200 {
				t.Errorf("only %d cases ran", len(report))
			}
			for _, result := range report.Others() {
				if !slices.Contains(lost, result.ID) {
					t.Errorf("%s is %s: %s", result.ID, result.Outcome, result.Why)
				}
			}
		})
	}
}

// prefixed reads on where the reader of a handshake stopped.
type prefixed struct {
	net.Conn
	w *wire
}

func (p prefixed) Read(b []byte) (int, error) { return p.w.in.Read(b) }
func (p prefixed) CloseWrite() error          { return p.Conn.(*net.TCPConn).CloseWrite() }
