package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/wss"
)

// What the backend decodes is what the client sent, however it is fragmented, masked
// and cut, with control frames in between that end at the door.
func TestPassedMasksMeanTheSame_SR84(t *testing.T) {
	for seed := range uint64(4) {
		polled := seed%2 == 1
		t.Run(fmt.Sprintf("seed %d, on a listener of ours %v", seed, polled), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 7))
			var stream []byte
			var want []arrived
			pings := 0
			for i := range 200 {
				data := make([]byte, random.IntN([]int{3, 200, 3000, 100_000}[i%4]))
				for j := range data {
					data[j] = byte(random.IntN(128))
				}
				op := ws.Opcode(1 + random.IntN(2))
				want = append(want, arrived{op, string(data)})
				for rest, first := data, true; ; first = false {
					n := len(rest)
					if random.IntN(2) == 0 && n > 0 {
						n = random.IntN(n)
					}
					frameOp := op
					if !first {
						frameOp = ws.Continuation
					}
					var key ws.MaskKey // zero, now and then
					if random.IntN(8) > 0 {
						key = ws.MaskKey{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}
					}
					stream = append(stream, chosen(n == len(rest), frameOp, rest[:n], key)...)
					if random.IntN(10) == 0 {
						stream = append(stream, chosen(true, ws.Ping, []byte("p"), key)...)
						pings++
					}
					if rest = rest[n:]; len(rest) == 0 {
						break
					}
				}
			}
			stream = append(stream, chosen(true, ws.Close, []byte("\x03\xe8bye"), ws.MaskKey{1, 2, 3, 4})...)
			got := make(chan []arrived, 1)
			f := backendAt(t, func(conn net.Conn) {
				_, w := accept(t, conn)
				var list []arrived
				var message []byte
				for {
					ev, err := w.event()
					if err != nil || ev.Kind == ws.CloseEvent || ev.Kind == ws.PingEvent {
						if ev.Kind != ws.CloseEvent || ev.Code != 1000 || string(ev.Data) != "bye" {
							t.Errorf("after %d messages: %+v, %v", len(list), ev, err)
						}
						w.close(1000, "")
						got <- list
						return
					}
					if message = append(message, ev.Data...); ev.Last {
						list = append(list, arrived{ev.Op, string(message)})
						message = nil
					}
				}
			})
			s := &setup{proxy: passing(f)}
			var c *wire
			if polled {
				_, c = shake(t, s.strict(t, s.door(t)), "/ws/", nil)
			} else {
				_, addr := s.start(t)
				c = connect(t, addr)
			}
			go func() {
				for rest := stream; len(rest) > 0; {
					n := min(len(rest), 1+random.IntN([]int{4, 500, 70_000}[random.IntN(3)]))
					c.conn.Write(rest[:n])
					rest = rest[n:]
				}
			}()
			for pongs := 0; ; pongs++ {
				ev, err := c.event()
				if err != nil {
					t.Fatal(err)
				}
				if ev.Kind == ws.CloseEvent {
					if pongs == 0 || pongs > pings { // of pings that come faster than their answers leave, the last is answered
						t.Errorf("%d pongs for %d pings", pongs, pings)
					}
					break
				}
			}
			list := <-got
			if len(list) != len(want) {
				t.Fatalf("the backend got %d messages, want %d", len(list), len(want))
			}
			for i := range want {
				if list[i] != want[i] {
					t.Fatalf("message %d: got %v of %d bytes, want %v of %d", i, list[i].op, len(list[i].data), want[i].op, len(want[i].data))
				}
			}
		})
	}
}

// strict serves a door on a listener of our own, whose connections are polled where
// that is possible, and dials it.
func (s *setup) strict(t *testing.T, d *sallyport.Door) net.Conn {
	t.Helper()
	ca, err := wss.OpenDevCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := ca.For("localhost")
	if err != nil {
		t.Fatal(err)
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: certificates})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := wss.Listen(inner, wss.Options{TLS: profile})
	server := &http.Server{Handler: d, ErrorLog: log.New(io.Discard, "", 0)}
	l.Install(server)
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	conn, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := d.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		server.Close()
		l.Close()
		serving.Wait()
		if conn != nil {
			conn.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
